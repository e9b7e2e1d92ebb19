"""What Key Vault answers about secrets, certificates and keys: its bundles."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

if TYPE_CHECKING:
    from .vault_keys import KeyVersion, VaultCertificate


@dataclass(frozen=True)
class Bundles:
    """The bundles of one vault.

    Attributes:
        url: The vault's URL, no trailing slash.
        created: When all that is in it was made, in seconds since the epoch.
    """

    url: str
    created: int

    def secret(self, name: str, version: str, value: str) -> dict[str, Any]:
        """Return the bundle of a secret."""
        secret_id = f"{self.url}/secrets/{name}/{version}"
        return {"value": value, "id": secret_id, "attributes": self._attributes(enabled=True)}

    def certificate_secret(
        self, found: KeyVersion, certificate: VaultCertificate
    ) -> dict[str, Any]:
        """Return the bundle of the secret that every certificate has."""
        return {
            "value": base64.b64encode(_pkcs12(found, certificate)).decode("ascii"),
            "contentType": "application/x-pkcs12",
            "id": _secret_id(certificate),
            "kid": certificate.key_id,
            "managed": True,
            "attributes": self._version_attributes(found),
        }

    def certificate(self, found: KeyVersion, certificate: VaultCertificate) -> dict[str, Any]:
        """Return the bundle of a certificate."""
        sha1 = bytes.fromhex(certificate.thumbprint_sha1)
        properties = {"exportable": found.exportable, "kty": "RSA", "reuse_key": False}
        return {
            "id": certificate.id,
            "kid": certificate.key_id,
            "sid": _secret_id(certificate),
            "x5t": base64.urlsafe_b64encode(sha1).rstrip(b"=").decode("ascii"),
            "cer": base64.b64encode(certificate.der).decode("ascii"),
            "attributes": self._version_attributes(found),
            "policy": {
                "id": f"{self.url}/certificates/{certificate.name}/policy",
                "key_props": properties,
            },
        }

    def key(self, key_id: str, found: KeyVersion) -> dict[str, Any]:
        """Return the bundle of a key."""
        jwk = {"kid": key_id, **found.jwk, "key_ops": ["sign", "verify"]}
        return {"key": jwk, "attributes": self._version_attributes(found)}

    def _version_attributes(self, found: KeyVersion) -> dict[str, Any]:
        attributes = self._attributes(enabled=found.enabled)
        if found.validity is not None:
            attributes["nbf"], attributes["exp"] = found.validity
        return attributes

    def _attributes(self, *, enabled: bool) -> dict[str, Any]:
        return {
            "enabled": enabled,
            "created": self.created,
            "updated": self.created,
            "recoveryLevel": "Recoverable+Purgeable",
        }


def _pkcs12(found: KeyVersion, certificate: VaultCertificate) -> bytes:
    """Return a certificate as PKCS#12, with its key only if that may leave the vault."""
    loaded = x509.load_der_x509_certificate(certificate.der)
    key = found.key if found.exportable else None
    return pkcs12.serialize_key_and_certificates(None, key, loaded, None, NoEncryption())


def _secret_id(certificate: VaultCertificate) -> str:
    return certificate.id.replace("/certificates/", "/secrets/")
