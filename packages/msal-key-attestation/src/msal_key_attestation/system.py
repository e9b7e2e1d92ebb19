"""Whether this interpreter can use KeyGuard keys at all."""

from __future__ import annotations

import sys
import sysconfig

from .errors import UnsupportedSystemError

_X64_WINDOWS = "win-amd64"
_OTHER_INTERPRETERS = {"win32": "a 32-bit", "win-arm64": "an ARM64"}


def require_x64_windows() -> None:
    """Refuse every system but x64 Windows, in words that say what to do.

    Raises:
        UnsupportedSystemError: ``attestation_not_supported``.
    """
    platform = sysconfig.get_platform()
    if platform == _X64_WINDOWS:
        return
    if platform in _OTHER_INTERPRETERS:
        reason = (
            f"this Python is {_OTHER_INTERPRETERS[platform]} build for Windows, and "
            "AttestationClientLib.dll exists for x64 only. Install the 64-bit (x64) Python."
        )
    else:
        reason = f"KeyGuard keys exist on Windows only, and this is {sys.platform}."
    raise UnsupportedSystemError(
        "attestation_not_supported", f"msal-key-attestation cannot serve here: {reason}"
    )
