"""Client assertions in place of secrets: signed by Key Vault, by a key of yours, or by nobody.

Each is a callable for ``msal.ConfidentialClientApplication(client_credential={"client_assertion":
…})``; ``bind(client_id, tenant_id)`` makes one for ``azure.identity.ClientAssertionCredential``.
"""

from __future__ import annotations

from .base import ClientAssertion
from .credentials import BearerCredential, BoundCredential
from .key_vault_certificate import KeyVaultCertificateAssertion
from .key_vault_key import KeyVaultKeyAssertion
from .managed_identity import ManagedIdentityAssertion
from .signed import SignedAssertion

__all__ = [
    "BearerCredential",
    "BoundCredential",
    "ClientAssertion",
    "KeyVaultCertificateAssertion",
    "KeyVaultKeyAssertion",
    "ManagedIdentityAssertion",
    "SignedAssertion",
]
