"""Whether a file carries an Authenticode signature that Windows trusts."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from msal_key_attestation._native.constants import WINTRUST_ACTION_GENERIC_VERIFY_V2, WinTrust
from msal_key_attestation._native.libs import ffi, wintrust
from msal_key_attestation._native.status import check_status

if TYPE_CHECKING:
    from pathlib import Path


def check_signature(path: Path) -> None:
    """Refuse a file that is not signed, or whose signer Windows does not trust.

    Raises:
        NativeCallError: With what ``WinVerifyTrust`` found.
    """
    name = ffi.new("WCHAR[]", str(path))
    file = ffi.new("WINTRUST_FILE_INFO *")
    file.cbStruct = ffi.sizeof("WINTRUST_FILE_INFO")
    file.pcwszFilePath = name
    data = ffi.new("WINTRUST_DATA *")
    data.cbStruct = ffi.sizeof("WINTRUST_DATA")
    data.dwUIChoice = WinTrust.WTD_UI_NONE
    data.fdwRevocationChecks = WinTrust.WTD_REVOKE_NONE
    data.dwUnionChoice = WinTrust.WTD_CHOICE_FILE
    data.pFile = file
    data.dwStateAction = WinTrust.WTD_STATEACTION_VERIFY
    action = ffi.new("GUID *")
    ffi.memmove(action, uuid.UUID(WINTRUST_ACTION_GENERIC_VERIFY_V2).bytes_le, ffi.sizeof("GUID"))
    no_window = ffi.cast("HWND", -1)
    status = wintrust().WinVerifyTrust(no_window, action, data)
    data.dwStateAction = WinTrust.WTD_STATEACTION_CLOSE
    wintrust().WinVerifyTrust(no_window, action, data)
    check_status("WinVerifyTrust", status)
