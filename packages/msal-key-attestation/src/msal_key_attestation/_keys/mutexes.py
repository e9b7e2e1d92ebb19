"""Locks that processes of one machine share, by name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msal_key_attestation._native.constants import Token, Wait, Win32Error
from msal_key_attestation._native.handles import Owned, kernel_handle, local_memory
from msal_key_attestation._native.libs import advapi32, ffi, kernel32
from msal_key_attestation._native.status import call_error, check_result, last_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_TOKEN_USER = 256


@contextmanager
def named_mutex(name: str, timeout: float) -> Iterator[bool]:
    r"""Hold a mutex that all sessions of the machine share, or else those of this session.

    Args:
        name: The name without its namespace: ``Global\``, and ``Local\`` when access is denied.
        timeout: How long to wait for it, in seconds.

    Yields:
        Whether it was had in time. One whose owner died counts as had.

    Raises:
        NativeCallError: Windows makes no such mutex.
    """
    with _create(name) as mutex:
        result = kernel32().WaitForSingleObject(mutex.value, round(timeout * 1000))
        held = result in {Wait.WAIT_OBJECT_0, Wait.WAIT_ABANDONED}
        if not held and result != Wait.WAIT_TIMEOUT:
            raise call_error("WaitForSingleObject", last_error())
        try:
            yield held
        finally:
            if held:
                kernel32().ReleaseMutex(mutex.value)


def user_sid() -> str:
    """Return the SID of the user whom this process runs as, e.g. ``S-1-5-18``.

    Raises:
        NativeCallError: The token of this process cannot be read.
    """
    buffer = ffi.new("BYTE[]", _LARGEST_TOKEN_USER)
    with _process_token() as token:
        check_result(
            "GetTokenInformation",
            advapi32().GetTokenInformation(
                token.value, Token.TokenUser, buffer, len(buffer), ffi.new("DWORD *")
            ),
        )
    text = ffi.new("WCHAR **")
    sid = ffi.cast("TOKEN_USER *", buffer).User.Sid
    check_result("ConvertSidToStringSidW", advapi32().ConvertSidToStringSidW(sid, text))
    with local_memory(text[0]) as memory:
        found: str = ffi.string(memory.value)
        return found


def _create(name: str) -> Owned:
    mutex = kernel32().CreateMutexW(ffi.NULL, 0, f"Global\\{name}")
    if not mutex and last_error() == Win32Error.ERROR_ACCESS_DENIED:
        mutex = kernel32().CreateMutexW(ffi.NULL, 0, f"Local\\{name}")
    check_result("CreateMutexW", mutex)
    return kernel_handle(mutex)


def _process_token() -> Owned:
    token = ffi.new("HANDLE *")
    process = kernel32().GetCurrentProcess()
    check_result("OpenProcessToken", advapi32().OpenProcessToken(process, Token.TOKEN_QUERY, token))
    return kernel_handle(token[0])
