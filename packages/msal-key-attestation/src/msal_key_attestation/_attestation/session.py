"""One session with the native library per process, and what it writes into our log."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING, Any

from msal_key_attestation._native.constants import AttestationLogLevel
from msal_key_attestation._native.handles import attestation_token
from msal_key_attestation._native.libs import ffi
from msal_key_attestation.errors import NativeAttestationError
from msal_msi_v2.errors import MsiV2ClientError, quote

from .codes import is_passing, meaning
from .library import load_library

if TYPE_CHECKING:
    from pathlib import Path

    from msal_key_attestation._native.libs import AttestationLibrary, CData

_logger = logging.getLogger("msal_key_attestation")
_LEVELS = {
    AttestationLogLevel.ERROR: logging.ERROR,
    AttestationLogLevel.WARN: logging.WARNING,
    AttestationLogLevel.INFO: logging.INFO,
    AttestationLogLevel.DEBUG: logging.DEBUG,
}
_NO_AUTH_TOKEN = b""
_EMPTY_PAYLOAD = b"{}"  # a null pointer is refused with -8


class AttestationSession:
    """The native library, initialised when first needed. One per process: see ``session_for``.

    Calls come one at a time; whether the library bears more is not documented.
    """

    def __init__(self, library: AttestationLibrary) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._is_initialised = False
        # The library may log at any time until it is uninitialised: both must live as long.
        self._callback = ffi.callback("AttestationLogCallback", _log)
        self._info = ffi.new("AttestationLogInfo *", {"log": self._callback})

    def attest(self, endpoint: str, key_handle: int, client_id: str) -> str:
        """Return the service's JWT for a key.

        Raises:
            NativeAttestationError: The library failed, or returned nothing.
            MsiV2ClientError: ``invalid_request``: an argument is blank or not plain ASCII.
        """
        endpoint_text, client_id_text = _ansi("endpoint", endpoint), _ansi("client_id", client_id)
        token = ffi.new("char **")
        with self._lock:
            self._initialise()
            code = self._library.AttestKeyGuardImportKey(
                endpoint_text, _NO_AUTH_TOKEN, _EMPTY_PAYLOAD, key_handle, token, client_id_text
            )
        jwt = self._take(token[0])
        if code != 0:
            raise _failure("AttestKeyGuardImportKey", code)
        if not jwt:
            raise _failure("AttestKeyGuardImportKey", code, "it returned no token")
        return jwt

    def _take(self, token: CData) -> str:
        """Copy the token, and free it."""
        if token == ffi.NULL:
            return ""
        with attestation_token(token, self._library.FreeAttestationToken) as owned:
            text: bytes = ffi.string(owned.value)
        return text.decode("ascii", "replace").strip()

    def _initialise(self) -> None:
        if self._is_initialised:
            return
        code = self._library.InitAttestationLib(self._info)
        if code != 0:
            raise _failure("InitAttestationLib", code)
        self._is_initialised = True
        atexit.register(self._end)

    def _end(self) -> None:
        if self._lock.acquire(blocking=False):  # else a daemon thread is in there, for good
            self._library.UninitAttestationLib()


_sessions: dict[Path, AttestationSession] = {}
_sessions_lock = threading.Lock()


def session_for(path: Path) -> AttestationSession:
    """Return this process's session with the library in a file; the first call loads it.

    Raises:
        NativeLibraryError: It does not load.
    """
    with _sessions_lock:
        if path not in _sessions:
            _sessions[path] = AttestationSession(load_library(path))
        return _sessions[path]


def _ansi(name: str, text: str) -> bytes:
    if not text.strip() or not text.isascii() or "\0" in text:
        raise MsiV2ClientError("invalid_request", f"{name} is blank, or not plain ASCII.")
    return text.encode("ascii")


def _failure(api: str, code: int, why: str | None = None) -> NativeAttestationError:
    error = NativeAttestationError(
        "attestation_failed",
        f"{api} returned {code} (0x{code & 0xFFFFFFFF:08X}): {why or meaning(code)}.",
        is_retryable=is_passing(code),
    )
    error.api = api
    error.status = code & 0xFFFFFFFF
    error.native_error_code = code
    return error


def _log(_context: Any, tag: Any, level: int, function: Any, _line: int, message: Any) -> None:
    """Write one line of the library's log into ours; C must never see an exception."""
    try:
        python_level = _LEVELS.get(AttestationLogLevel(level), logging.DEBUG)
        if _logger.isEnabledFor(python_level):
            words = [quote(_text(pointer)) for pointer in (tag, function, message)]
            _logger.log(python_level, "%s %s: %s", *words)
    except Exception:  # noqa: BLE001 - there is nobody to raise to: the caller is C
        _logger.debug("A line of the native library's log was lost.")


def _text(pointer: Any) -> str:
    if pointer == ffi.NULL:
        return ""
    text: bytes = ffi.string(pointer)
    return text.decode("utf-8", "replace")
