"""Reading certificates, and the checks of the one that IMDS issued."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from msal_msi_v2.errors import MsiV2ClientError, MsiV2ServiceError

if TYPE_CHECKING:
    from datetime import datetime

UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm)
"""What base64 and pyca raise over something that is no certificate."""

# Clocks of the host and of the issuer differ; MSAL and Windows tolerate as much.
_CLOCK_SKEW = timedelta(minutes=5)


def load_certificate(certificate: str | bytes) -> x509.Certificate:
    """Read a caller's certificate, PEM text or bytes, or DER bytes.

    Raises:
        MsiV2ClientError: ``invalid_request``: it cannot be read.
    """
    try:
        data = certificate.encode("ascii") if isinstance(certificate, str) else certificate
        pem = data.lstrip().startswith(b"-----BEGIN")
        return (x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate)(data)
    except (*UNREADABLE, AttributeError) as exc:
        raise MsiV2ClientError(
            "invalid_request",
            "The certificate cannot be read: pass PEM text, DER bytes or a BindingCertificate.",
        ) from exc


def check_certificate(encoded: str, public_key: rsa.RSAPublicKey, now: datetime) -> bytes:
    """Return an issued certificate's DER bytes, once it is known to be usable with a key.

    Args:
        encoded: Base64 of the DER, as IMDS sent it.
        public_key: The public half of the key that was to be certified.
        now: The time, an aware datetime.

    Raises:
        MsiV2ServiceError: ``invalid_certificate``: not base64, not a certificate, over another
            key, or not valid now.
    """
    try:
        der = base64.b64decode("".join(encoded.split()), validate=True)
        certificate = x509.load_der_x509_certificate(der)
        certified = certificate.public_key()
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        certificate.subject.rfc4514_string()  # pyca parses late: be sure that all of it can be read
    except UNREADABLE as exc:
        raise _invalid("cannot be read as base64 of a DER certificate") from exc
    if not isinstance(certified, rsa.RSAPublicKey) or certified != public_key:
        raise _invalid("certifies another key than the one it was requested for")
    if now < not_before - _CLOCK_SKEW:
        raise _invalid(f"is not valid before {not_before}, and it is {now}: check the clock")
    if now >= not_after:
        raise _invalid(f"expired at {not_after}, and it is {now}: check the clock")
    return der


def _invalid(problem: str) -> MsiV2ServiceError:
    return MsiV2ServiceError("invalid_certificate", f"The certificate that IMDS issued {problem}.")
