"""Managed identity tokens that are bound to a key which cannot leave the machine (MSI v2).

The names below are loaded when first used, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .binding import BindingCertificate
    from .capabilities import ManagedIdentityCapabilities
    from .client import ManagedIdentityClient
    from .confidential import BoundConfidentialClient
    from .errors import (
        AttestationError,
        KeyVaultError,
        MsiV2ClientError,
        MsiV2Error,
        MsiV2ServiceError,
        TransportError,
    )
    from .strength import MtlsBindingStrength
    from .tokens import authorization_header, verify_cnf_binding

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent until its user wants a log

__all__ = [
    "AttestationError",
    "BindingCertificate",
    "BoundConfidentialClient",
    "KeyVaultError",
    "ManagedIdentityCapabilities",
    "ManagedIdentityClient",
    "MsiV2ClientError",
    "MsiV2Error",
    "MsiV2ServiceError",
    "MtlsBindingStrength",
    "TransportError",
    "__version__",
    "authorization_header",
    "verify_cnf_binding",
]

_HOMES = {
    "AttestationError": "errors",
    "BindingCertificate": "binding",
    "BoundConfidentialClient": "confidential",
    "KeyVaultError": "errors",
    "ManagedIdentityCapabilities": "capabilities",
    "ManagedIdentityClient": "client",
    "MsiV2ClientError": "errors",
    "MsiV2Error": "errors",
    "MsiV2ServiceError": "errors",
    "MtlsBindingStrength": "strength",
    "TransportError": "errors",
    "authorization_header": "tokens",
    "verify_cnf_binding": "tokens",
}


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted({*globals(), *__all__})
