"""KeyGuard keys, their attestation, and TLS with them, for msal-msi-v2 on Windows.

The package imports everywhere; on other systems than x64 Windows, what it offers says why it
cannot serve.
"""

from .attestor import create_attestation_provider, get_attestation_jwt
from .errors import (
    KeyAttestationError,
    NativeAttestationError,
    NativeCallError,
    NativeLibraryError,
    UnsupportedSystemError,
)
from .platform import create_platform

__all__ = [
    "KeyAttestationError",
    "NativeAttestationError",
    "NativeCallError",
    "NativeLibraryError",
    "UnsupportedSystemError",
    "create_attestation_provider",
    "create_platform",
    "get_attestation_jwt",
]

__version__ = "0.1.0"
