"""What this package raises: always part of msal-msi-v2's own tree of errors.

::

    MsiV2Error
    └── KeyAttestationError             .api, .status
        ├── UnsupportedSystemError      also an MsiV2ClientError: not x64 Windows
        ├── NativeLibraryError          also an MsiV2ClientError: a DLL is missing or broken
        ├── NativeCallError             also an MsiV2ServiceError: a Windows function failed
        └── NativeAttestationError      also an AttestationError: the key was not attested

What goes wrong between two machines is msal-msi-v2's ``TransportError``.
"""

from __future__ import annotations

from msal_msi_v2.errors import AttestationError, MsiV2ClientError, MsiV2Error, MsiV2ServiceError


class KeyAttestationError(MsiV2Error):
    """Keys, their attestation, or the libraries behind them failed.

    Attributes:
        api: The native function that failed, e.g. ``"NCryptSignHash"``, where one did.
        status: What it returned, unsigned; the text of the error has it in hex.
    """

    api: str | None = None
    status: int | None = None


class UnsupportedSystemError(KeyAttestationError, MsiV2ClientError):
    """This system or interpreter cannot use KeyGuard keys (``attestation_not_supported``)."""


class NativeLibraryError(KeyAttestationError, MsiV2ClientError):
    """A DLL is missing, damaged or of another architecture (``attestation_package_broken``)."""


class NativeCallError(KeyAttestationError, MsiV2ServiceError):
    """A function of Windows failed (``native_call_failed``)."""


class NativeAttestationError(KeyAttestationError, AttestationError):
    """The native library did not attest the key (``attestation_failed``)."""
