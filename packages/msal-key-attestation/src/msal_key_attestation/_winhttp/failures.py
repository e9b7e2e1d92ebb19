"""Where a WinHTTP request failed, and why: its codes, and what it reports on the way."""

from __future__ import annotations

import functools
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from msal_key_attestation._native.constants import (
    SecureFailure,
    Win32Error,
    WinHttpError,
    WinHttpStatus,
)
from msal_key_attestation._native.libs import CData, ffi
from msal_key_attestation._native.status import describe
from msal_msi_v2.errors import TransportError, TransportFailure

NOTIFICATIONS = (
    WinHttpStatus.WINHTTP_CALLBACK_FLAG_CONNECT_TO_SERVER
    | WinHttpStatus.WINHTTP_CALLBACK_FLAG_SEND_REQUEST
    | WinHttpStatus.WINHTTP_CALLBACK_FLAG_SECURE_FAILURE
)
_Problem = SecureFailure
_REASONS = {
    _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_DATE_INVALID: "it has expired, or is not valid yet",
    _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_CN_INVALID: "it was issued to another host",
    _Problem.WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CA: "no trusted CA has issued it",
    _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_REVOKED: "it was revoked",
    _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_REV_FAILED: "its revocation cannot be checked",
    _Problem.WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CERT: "it is damaged",
    _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_WRONG_USAGE: "it is not for servers",
}
_PROBLEM_OF_CODE: dict[int, int] = {
    WinHttpError.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID: (
        _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_DATE_INVALID
    ),
    WinHttpError.ERROR_WINHTTP_SECURE_CERT_CN_INVALID: (
        _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_CN_INVALID
    ),
    WinHttpError.ERROR_WINHTTP_SECURE_INVALID_CA: (
        _Problem.WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CA
    ),
    WinHttpError.ERROR_WINHTTP_SECURE_CERT_REVOKED: (
        _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_REVOKED
    ),
    WinHttpError.ERROR_WINHTTP_SECURE_CERT_REV_FAILED: (
        _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_REV_FAILED
    ),
    WinHttpError.ERROR_WINHTTP_SECURE_INVALID_CERT: (
        _Problem.WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CERT
    ),
    WinHttpError.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE: (
        _Problem.WINHTTP_CALLBACK_STATUS_FLAG_CERT_WRONG_USAGE
    ),
}
_HANDSHAKE_CODES = {
    WinHttpError.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED,
    WinHttpError.ERROR_WINHTTP_SECURE_CHANNEL_ERROR,
    WinHttpError.ERROR_WINHTTP_SECURE_FAILURE,
    WinHttpError.ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY,
    WinHttpError.ERROR_WINHTTP_CLIENT_CERT_NO_ACCESS_PRIVATE_KEY,
}
_TIMEOUT_CODES = {WinHttpError.ERROR_WINHTTP_TIMEOUT, Win32Error.WSAETIMEDOUT}
_SSPI_FACILITY = 0x8009


@dataclass
class Progress:
    """How far a request has come, as WinHTTP reports it on the way.

    Attributes:
        connect_timeout: How long it may take until it can be sent, in seconds.
        started: When it began, on the monotonic clock.
        token: The number by which WinHTTP names this request to the callback.
        connected: Whether it made a TCP connection, rather than taking one that was kept alive.
        sending: Whether it has begun to send; TLS is up by then.
        certificate_problems: Why the server's certificate was refused.
    """

    connect_timeout: float
    started: float = field(default_factory=time.monotonic)
    token: int = field(default_factory=itertools.count(1).__next__)
    connected: bool = False
    sending: bool = False
    certificate_problems: int = 0

    @property
    def is_late(self) -> bool:
        """Whether it has taken longer to connect than it may."""
        return not self.sending and time.monotonic() - self.started >= self.connect_timeout

    def __enter__(self) -> Progress:  # noqa: PYI034 - Self needs Python 3.11; nothing subclasses this
        _under_way[self.token] = self
        return self

    def __exit__(self, *_exc: object) -> None:
        del _under_way[self.token]


_under_way: dict[int, Progress] = {}


@functools.cache
def status_callback() -> CData:
    """Return the function that WinHTTP reports to; made once, it lives as long as the process."""
    return ffi.callback("WINHTTP_STATUS_CALLBACK", _report)


def transport_error(api: str, code: int, progress: Progress, host: object) -> TransportError:
    """Return, for raising, what a failed WinHTTP call means.

    Args:
        api: The function that failed.
        code: What ``GetLastError`` said.
        progress: How far the request had come.
        host: Whom it was for.
    """
    failure, why = _explain(code, progress)
    return TransportError(failure, f"The request to {host} failed: {why} ({api}: {describe(code)})")


def _explain(code: int, progress: Progress) -> tuple[TransportFailure, str]:
    problems = progress.certificate_problems | _PROBLEM_OF_CODE.get(code, 0)
    reasons = [text for flag, text in _REASONS.items() if problems & flag]
    if reasons:
        return (
            TransportFailure.SERVER_CERTIFICATE,
            f"its TLS certificate was refused: {', and '.join(reasons)}",
        )
    if code in _TIMEOUT_CODES or progress.is_late:
        return _explain_timeout(progress)
    if code in _HANDSHAKE_CODES or code >> 16 == _SSPI_FACILITY:
        return (
            TransportFailure.HANDSHAKE,
            "TLS failed; the server may have refused the client certificate",
        )
    if progress.sending:
        return TransportFailure.BROKEN, "the connection broke"
    if progress.connected:
        return TransportFailure.HANDSHAKE, "the connection broke during the TLS handshake"
    return (
        TransportFailure.CONNECT,
        "no connection could be made. Check name resolution, firewall and proxy",
    )


def _explain_timeout(progress: Progress) -> tuple[TransportFailure, str]:
    if progress.sending:
        return TransportFailure.READ_TIMEOUT, "no answer within the read timeout"
    return TransportFailure.CONNECT_TIMEOUT, "no connection within the connect timeout"


def _report(_handle: Any, token: int, status: int, information: Any, _size: int) -> None:
    """Note what WinHTTP reports; C must never see an exception."""
    try:
        progress = _under_way.get(token)
        if progress is None:
            return
        if status == WinHttpStatus.WINHTTP_CALLBACK_STATUS_CONNECTED_TO_SERVER:
            progress.connected = True
        elif status == WinHttpStatus.WINHTTP_CALLBACK_STATUS_SENDING_REQUEST:
            progress.sending = True
        elif status == WinHttpStatus.WINHTTP_CALLBACK_STATUS_SECURE_FAILURE:
            progress.certificate_problems |= ffi.cast("DWORD *", information)[0]
    except Exception:  # noqa: BLE001, S110 - there is nobody to raise to: the caller is C
        pass
