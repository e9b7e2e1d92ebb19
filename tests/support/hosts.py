"""What kind of Windows this is."""

from __future__ import annotations

import sys

from msal_key_attestation._native import libs


def has_standin() -> bool:
    """Whether this process's ncrypt.dll is the stand-in."""
    libs.ncrypt()
    module = libs.kernel32().GetModuleHandleW("ncrypt.dll")
    return bool(libs.kernel32().GetProcAddress(module, b"StandinOpenHandles"))


def is_wine() -> bool:
    """Whether this is Wine."""
    return sys.platform == "win32" and libs.is_wine()
