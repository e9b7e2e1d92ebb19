"""The certificate that an assertion names, and the check that its key is the one that signed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from msal_msi_v2._base64 import b64url_encode
from msal_msi_v2.binding import BindingCertificate
from msal_msi_v2.errors import MsiV2ClientError
from msal_msi_v2.protocol.certificate import UNREADABLE, load_certificate

from .jwt import padding_of

if TYPE_CHECKING:
    from cryptography import x509

    from .jwt import Algorithm

CertificateLike = Any  # BindingCertificate | x509.Certificate | str | bytes


@dataclass(frozen=True)
class SigningCertificate:
    """A certificate over an RSA key.

    Attributes:
        certificate: The certificate.
        public_key: Its key.
    """

    certificate: x509.Certificate
    public_key: rsa.RSAPublicKey

    def header(self, algorithm: Algorithm, *, send_x5c: bool) -> dict[str, Any]:
        """Return the header of the JWTs that its key signs.

        Args:
            algorithm: ``PS256`` names the certificate by ``x5t#S256``, ``RS256`` by ``x5t``.
            send_x5c: Send the certificate itself too, without its issuers.
        """
        header: dict[str, Any] = thumbprint_header(
            algorithm,
            sha1=self.certificate.fingerprint(hashes.SHA1()),  # noqa: S303 - a name, RFC 7515 §4.1.7
            sha256=self.certificate.fingerprint(hashes.SHA256()),
        )
        if send_x5c:
            der = self.certificate.public_bytes(Encoding.DER)
            header["x5c"] = [base64.b64encode(der).decode("ascii")]
        return header

    def check(self, signature: bytes, signed: bytes, algorithm: Algorithm) -> None:
        """Refuse a signature that the certificate's key did not make.

        Raises:
            MsiV2ClientError: ``assertion_key_mismatch``.
        """
        try:
            self.public_key.verify(signature, signed, padding_of(algorithm), hashes.SHA256())
        except InvalidSignature as exc:
            raise MsiV2ClientError(
                "assertion_key_mismatch",
                f"The key that signed is not that of the certificate {self!r}; Entra would refuse "
                "the assertion. Pass the certificate and the key of one and the same version.",
            ) from exc

    def __repr__(self) -> str:
        """Return the thumbprint, which Entra and the portal show too."""
        sha1 = self.certificate.fingerprint(hashes.SHA1())  # noqa: S303 - a name
        return f"<SigningCertificate {sha1.hex().upper()}>"


def thumbprint_header(
    algorithm: Algorithm, *, sha1: bytes | None, sha256: bytes | None
) -> dict[str, Any]:
    """Return a JWT's header that names the signer's certificate.

    Args:
        algorithm: Of the signature.
        sha1: SHA-1 of the certificate's DER, where known; what ``RS256`` names it by.
        sha256: SHA-256 of it, where known.
    """
    header: dict[str, Any] = {"alg": algorithm, "typ": "JWT"}
    if algorithm == "RS256" and sha1 is not None:
        header["x5t"] = b64url_encode(sha1)
    elif sha256 is not None:
        header["x5t#S256"] = b64url_encode(sha256)
    return header


def signing_certificate(certificate: CertificateLike) -> SigningCertificate:
    """Read a certificate.

    Args:
        certificate: PEM text or bytes, DER bytes, a ``BindingCertificate`` or pyca's
            ``x509.Certificate``.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is none of these, or not over an RSA key.
    """
    if isinstance(certificate, BindingCertificate):
        certificate = certificate.der
    if isinstance(certificate, str | bytes) or not hasattr(certificate, "public_key"):
        certificate = load_certificate(certificate)
    try:
        key = certificate.public_key()
    except UNREADABLE:
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        raise MsiV2ClientError(
            "invalid_request",
            "The certificate is not over an RSA key; assertions are signed with RSA (PS256, "
            "RS256).",
        )
    return SigningCertificate(certificate, key)
