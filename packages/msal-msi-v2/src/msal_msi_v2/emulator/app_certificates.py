"""The certificates of an application: which can be registered, and which an assertion names."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from .jwts import x5t_s256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def by_thumbprint(certificates: Iterable[bytes | str]) -> dict[str, bytes]:
    """Return the DER of certificates, each given as DER or PEM, by ``x5t#S256``.

    Raises:
        ValueError: One cannot be read, or is not over an RSA key.
    """
    found = [_load(one).public_bytes(Encoding.DER) for one in certificates]
    return {x5t_s256(der): der for der in found}


def find_named(
    certificates: Mapping[str, bytes], header: Mapping[str, Any]
) -> x509.Certificate | None:
    """Return the certificate that an assertion's header names; ``None``: it names none of them.

    Args:
        certificates: DER by ``x5t#S256``.
        header: The header.
    """
    for thumbprint, der in list(certificates.items()):
        certificate = x509.load_der_x509_certificate(der)
        if _names(header, thumbprint, certificate):
            return certificate
    return None


def _load(certificate: bytes | str) -> x509.Certificate:
    data = certificate.encode() if isinstance(certificate, str) else certificate
    if not isinstance(data, bytes):
        raise ValueError("Certificates are a list, each DER bytes or PEM.")  # noqa: TRY004 - as for whatever is no certificate
    is_pem = b"-----BEGIN" in data
    load = x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate
    loaded = load(data)
    if not isinstance(loaded.public_key(), rsa.RSAPublicKey):
        raise ValueError("A certificate's key must be RSA: assertions are PS256 or RS256.")  # noqa: TRY004 - a value that cannot be used
    return loaded


def _names(header: Mapping[str, Any], thumbprint: str, certificate: x509.Certificate) -> bool:
    """Say whether a header names a certificate; msal pads base64url, and wraps the lines of x5c."""
    if "x5c" in header:
        chain = header["x5c"] if isinstance(header["x5c"], list) else []
        leaf = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")
        if not chain or "".join(str(chain[0]).split()) != leaf:
            return False
    if "x5t#S256" in header or header.get("alg") == "PS256":
        return str(header.get("x5t#S256")).rstrip("=") == thumbprint
    sha1 = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA1()))  # noqa: S303 - as in RFC 7515
    return str(header.get("x5t")).rstrip("=") == sha1.rstrip(b"=").decode("ascii")
