"""A WinHTTP session for one certificate and proxy; its connections are kept alive."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from msal_key_attestation._native.constants import (
    Win32Error,
    WinHttpOpenFlag,
    WinHttpOption,
    WinHttpOptionValue,
)
from msal_key_attestation._native.handles import Owned, internet_handle
from msal_key_attestation._native.libs import CData, ffi, winhttp
from msal_key_attestation._native.status import check_result, last_error
from msal_key_attestation.certificates import BoundCertificate

from .failures import NOTIFICATIONS, status_callback
from .proxy import DIRECT

if TYPE_CHECKING:
    from msal_key_attestation._keys.ncrypt_key import NCryptKey

_logger = logging.getLogger("msal_key_attestation")

_TLS_1_2 = WinHttpOptionValue.WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_2
_TLS_1_3 = WinHttpOptionValue.WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_3


class Session:
    """A session handle and a certificate; open as long as anyone uses it."""

    def __init__(self, der: bytes, key: NCryptKey, proxy: str | None) -> None:
        """Open a session.

        Args:
            der: The certificate that its requests present, DER bytes.
            key: The certificate's key.
            proxy: As of ``choose_proxy``.

        Raises:
            NativeCallError: Windows takes the certificate with its key, or the session, not.
        """
        # As long as its users are many. Not a number under a lock: the garbage collector may
        # release a share in the middle of anything, and what a list does is done at once.
        self._shares = [None]
        self._certificate = BoundCertificate(der, key)
        try:
            self._handle = _open(proxy)
        except BaseException:
            self._certificate.close()
            raise

    @property
    def handle(self) -> CData:
        """The session's ``HINTERNET``."""
        return self._handle.value

    @property
    def certificate_context(self) -> CData:
        """The certificate that its requests present."""
        return self._certificate.context

    def use(self) -> None:
        """Count one more user; the one who calls is counted already."""
        self._shares.append(None)

    def release(self) -> None:
        """Count one user less; the last one closes the session."""
        self._shares.pop()
        if not self._shares:
            self._handle.close()
            self._certificate.close()


def set_number(handle: CData, option: WinHttpOption, value: int) -> None:
    """Set an option that is a number.

    Raises:
        NativeCallError: Windows refused.
    """
    number = ffi.new("DWORD *", value)
    done = winhttp().WinHttpSetOption(handle, option, number, ffi.sizeof("DWORD"))
    check_result(f"WinHttpSetOption({option.name})", done)


def _open(proxy: str | None) -> Owned:
    session = internet_handle(_open_with_proxy(proxy))
    try:
        _allow_tls(session.value)
        winhttp().WinHttpSetStatusCallback(session.value, status_callback(), NOTIFICATIONS, 0)
    except BaseException:
        session.close()
        raise
    return session


def _open_with_proxy(proxy: str | None) -> CData:
    if proxy is None:
        # The first is as the user's own programs find it, and unknown before Windows 8.1.
        accesses = [
            WinHttpOpenFlag.WINHTTP_ACCESS_TYPE_AUTOMATIC_PROXY,
            WinHttpOpenFlag.WINHTTP_ACCESS_TYPE_DEFAULT_PROXY,
        ]
    elif proxy == DIRECT:
        accesses = [WinHttpOpenFlag.WINHTTP_ACCESS_TYPE_NO_PROXY]
    else:
        accesses = [WinHttpOpenFlag.WINHTTP_ACCESS_TYPE_NAMED_PROXY]
    handle = ffi.NULL
    for access in accesses:
        handle = winhttp().WinHttpOpen(ffi.NULL, access, proxy or ffi.NULL, ffi.NULL, 0)
        if handle or last_error() != Win32Error.ERROR_INVALID_PARAMETER:
            break
    check_result("WinHttpOpen", handle)
    return handle


def _allow_tls(session: CData) -> None:
    """Allow TLS 1.2 and, where Windows knows it, 1.3; nothing older."""
    both = ffi.new("DWORD *", _TLS_1_2 | _TLS_1_3)
    option = WinHttpOption.WINHTTP_OPTION_SECURE_PROTOCOLS
    if not winhttp().WinHttpSetOption(session, option, both, ffi.sizeof("DWORD")):
        _logger.debug("WinHTTP knows no TLS 1.3 here.")
        set_number(session, option, _TLS_1_2)
