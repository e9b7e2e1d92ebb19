"""What a token is bound to: a key, a certificate over it, and the endpoint that honours them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ._base64 import b64url_encode

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import rsa

    from .platforms import BindingTransport
    from .strength import MtlsBindingStrength


@dataclass(frozen=True, eq=False)
class BindingCertificate:
    """The certificate that a token is bound to, with the private key behind it.

    Attributes:
        der: The certificate, DER bytes.
        private_key: The key, which signs. A KeyGuard or TPM key cannot be exported:
            its ``private_bytes()`` raises.
        strength: How well the private key is protected.
        transport: The TLS stack of the platform that made the key; ``None``: the key is OpenSSL's
            to use.
    """

    der: bytes = field(repr=False)
    private_key: rsa.RSAPrivateKey = field(repr=False)
    strength: MtlsBindingStrength
    transport: BindingTransport | None = field(default=None, repr=False)

    @cached_property
    def _x509(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)

    @cached_property
    def pem(self) -> str:
        """The certificate in PEM armour, ASCII text."""
        return self._x509.public_bytes(Encoding.PEM).decode("ascii")

    @cached_property
    def x5t_s256(self) -> str:
        """SHA-256 of the DER, base64url, unpadded: what a token's ``cnf`` names (RFC 8705 §3.1)."""
        return b64url_encode(hashlib.sha256(self.der).digest())

    @cached_property
    def thumbprint_sha1(self) -> str:
        """SHA-1 of the DER, upper-case hex: the thumbprint as Windows and the portal show it."""
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest().upper()

    @cached_property
    def subject(self) -> str:
        """The subject, RFC 4514, e.g. ``CN=<client id>,DC=<tenant id>``."""
        return self._x509.subject.rfc4514_string()

    @cached_property
    def common_name(self) -> str:
        """The subject's common name: the client id."""
        names = self._x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    @cached_property
    def expires_at(self) -> float:
        """End of validity, Unix seconds."""
        return self.not_after.timestamp()

    @cached_property
    def half_life(self) -> float:
        """The middle of its validity, Unix seconds."""
        return (self.not_before.timestamp() + self.expires_at) / 2

    @cached_property
    def der_b64(self) -> str:
        """The DER in base64, padded, on one line."""
        return base64.b64encode(self.der).decode("ascii")

    @property
    def not_before(self) -> datetime:
        """Start of validity, an aware datetime in UTC."""
        return self._x509.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of validity, an aware datetime in UTC."""
        return self._x509.not_valid_after_utc

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the public key, which is also the certificate's."""
        return self.private_key.public_key()

    def __repr__(self) -> str:
        """Return subject, thumbprint, strength and end of validity; never the key."""
        return (
            f"<BindingCertificate {self.subject} x5t#S256={self.x5t_s256} "
            f"{self.strength.name} until {self.not_after:%Y-%m-%dT%H:%M:%SZ}>"
        )


@dataclass(frozen=True, eq=False)
class Binding:
    """One snapshot of everything that a token request needs and its token is bound to.

    Attributes:
        certificate: Certificate and key.
        endpoint: The token service's base URL for mutual TLS, no trailing slash.
        tenant_id: The tenant, a GUID.
        client_id: The identity's canonical client id, a GUID.
    """

    certificate: BindingCertificate
    endpoint: str
    tenant_id: str
    client_id: str
