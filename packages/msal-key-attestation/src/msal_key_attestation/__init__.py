"""KeyGuard keys, their attestation, and TLS with them, for msal-msi-v2 on Windows."""

__version__ = "0.1.0"
