"""Turns SECURITY_STATUS, HRESULT and Win32 codes into exceptions that name the function."""

from __future__ import annotations

from msal_key_attestation.errors import NativeCallError

from .constants import VBS_NOT_AVAILABLE, NteStatus, Win32Error, WinHttpError
from .libs import ffi

_NO_TEXT = ("Unknown error", "Windows Error")  # what cffi and Wine say instead of nothing
_LARGEST_INT = 0x7FFFFFFF
_KNOWN = (*NteStatus, *Win32Error, *WinHttpError)
_NAMES = {
    **{int(member): member.name for member in _KNOWN},
    VBS_NOT_AVAILABLE: "virtualization-based security is not available",
}


def unsigned(status: int) -> int:
    """Return a status as the headers and the web write it: 32 bits, unsigned."""
    return status & 0xFFFFFFFF


def describe(status: int) -> str:
    """Return a status in hex, with its name where we know it and Windows' text where it has one."""
    status = unsigned(status)
    words = [f"0x{status:08X}"]
    if status in _NAMES:
        words.append(f"({_NAMES[status]})")
    text = _windows_text(status)
    return f"{' '.join(words)}: {text}" if text else " ".join(words)


def check_status(api: str, status: int) -> None:
    """Raise unless a function that returns a status succeeded.

    Raises:
        NativeCallError: With the function's name and the status.
    """
    if status != 0:
        raise call_error(api, status)


def check_result(api: str, result: object) -> None:
    """Raise unless a function that returns a BOOL, or a handle, succeeded.

    Raises:
        NativeCallError: With the function's name and what ``GetLastError`` says.
    """
    if not result:
        raise call_error(api, last_error())


def last_error() -> int:
    """Return ``GetLastError()`` as the last native call of this thread left it."""
    code: int = ffi.getwinerror()[0]
    return unsigned(code)


def call_error(api: str, status: int) -> NativeCallError:
    """Return, for raising, the error of one failed call."""
    error = NativeCallError("native_call_failed", f"{api} failed with {describe(status)}")
    error.api = api
    error.status = unsigned(status)
    return error


def _windows_text(status: int) -> str:
    if not hasattr(ffi, "getwinerror"):  # not Windows
        return ""
    signed = status - (1 << 32) if status > _LARGEST_INT else status
    text: str = ffi.getwinerror(signed)[1]
    return "" if text.startswith(_NO_TEXT) else text.strip()
