"""The CA that issues binding certificates, and its revocation list."""

from __future__ import annotations

import enum
import threading
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .clock import utc

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "managedidentitysnissuer.login.microsoft.com"
_CA_LIFETIME = 50 * 365 * 86400


class CertificateState(enum.Enum):
    """Whether a certificate counts; the value says so to a person."""

    VALID = "is valid"
    NOT_YET_VALID = "is not valid yet"
    EXPIRED = "has expired"
    REVOKED = "has been revoked"


class IssuingAuthority:
    """A self-signed CA for client certificates. Safe to use from many threads."""

    def __init__(self, common_name: str, now: float) -> None:
        """Make a key and a certificate over it.

        Args:
            common_name: The CN of the CA.
            now: The time, in seconds since the epoch.
        """
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        self._lock = threading.Lock()
        self._issued: set[int] = set()
        self._revoked: set[int] = set()
        builder = (
            # The services' clock may be set back or forth by years: TLS must not mind.
            _builder(self._name, self._key.public_key(), now - _CA_LIFETIME / 2, _CA_LIFETIME)
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
        )
        self.certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> str:
        """The CA's certificate in PEM armour."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    def issue(
        self, subject: x509.Name, key: rsa.RSAPublicKey, *, start: float, lifetime: float
    ) -> x509.Certificate:
        """Issue a client certificate.

        Args:
            subject: The subject.
            key: The key that it is about.
            start: When it becomes valid, in seconds since the epoch.
            lifetime: For how many seconds.
        """
        builder = (
            _builder(subject, key, start, lifetime)
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        with self._lock:
            self._issued.add(certificate.serial_number)
        return certificate

    def revoke(self, certificate: bytes | int) -> None:
        """Revoke a certificate: DER bytes, or a serial number."""
        if isinstance(certificate, bytes):
            certificate = x509.load_der_x509_certificate(certificate).serial_number
        with self._lock:
            self._revoked.add(certificate)

    def revoke_all(self) -> None:
        """Revoke every certificate issued so far."""
        with self._lock:
            self._revoked |= self._issued

    def state(self, certificate: x509.Certificate, now: float) -> CertificateState:
        """Say whether a certificate that TLS has found to be of this CA counts now."""
        if now >= certificate.not_valid_after_utc.timestamp():
            return CertificateState.EXPIRED
        if now < certificate.not_valid_before_utc.timestamp():
            return CertificateState.NOT_YET_VALID
        with self._lock:
            revoked = certificate.serial_number in self._revoked
        return CertificateState.REVOKED if revoked else CertificateState.VALID


def _builder(
    subject: x509.Name,
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    start: float,
    lifetime: float,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc(start))
        .not_valid_after(utc(start + lifetime))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
