"""Issues binding certificates as the managed identity issuer does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from msal_msi_v2.binding import BindingCertificate
from msal_msi_v2.strength import MtlsBindingStrength

if TYPE_CHECKING:
    from msal_key_attestation._keys.ncrypt_key import NCryptKey

ISSUER_NAME = "managedidentitysnissuer.login.microsoft.com"
CLIENT_ID = "3c6e0b8a-9c15-4f2a-8d7e-5b4a39281706"
WEEK = timedelta(days=7)


class Issuer:
    """A CA with a key of its own.

    Attributes:
        pem: Its certificate, for those who are to trust it.
    """

    def __init__(self, name: str = ISSUER_NAME) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(self._name, self._key.public_key(), WEEK, ca=True)
        self.pem = certificate.public_bytes(Encoding.PEM).decode()

    def issue(
        self, public_key: rsa.RSAPublicKey, *, lasts: timedelta = WEEK, common_name: str = CLIENT_ID
    ) -> bytes:
        """Return a certificate, DER bytes, that ends after ``lasts`` from now."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        return self._sign(subject, public_key, lasts, ca=False).public_bytes(Encoding.DER)

    def bind(self, key: NCryptKey | rsa.RSAPrivateKey) -> BindingCertificate:
        """Return a binding certificate with its key."""
        return BindingCertificate(self.issue(key.public_key()), key, MtlsBindingStrength.SOFTWARE)

    def _sign(
        self, subject: x509.Name, public_key: rsa.RSAPublicKey, lasts: timedelta, *, ca: bool
    ) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + lasts)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
