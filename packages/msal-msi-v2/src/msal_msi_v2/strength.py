"""How strongly a token is bound; a module of its own because everything may import it."""

from __future__ import annotations

import enum


class MtlsBindingStrength(enum.IntEnum):
    """How well the private key behind a binding certificate is protected.

    The values are those of MSAL .NET, so that they compare and store alike.
    """

    NONE = 0
    """No bound token at all."""
    SOFTWARE = 1
    """A key of this process's memory, or of the TPM: not isolated by virtualization."""
    KEYGUARD = 3
    """A key isolated by virtualization (KeyGuard), which Azure can attest."""
