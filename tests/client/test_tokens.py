from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from msal_msi_v2 import BindingCertificate, MsiV2ClientError, MtlsBindingStrength
from msal_msi_v2.tokens import verify_cnf_binding

KEY = rsa.generate_private_key(65537, 2048)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
ISSUED = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 5, NOW, NOW + timedelta(7)).sign(
    KEY, hashes.SHA256()
)
DER, PEM = ISSUED.public_bytes(Encoding.DER), ISSUED.public_bytes(Encoding.PEM)
CERTIFICATE = BindingCertificate(DER, KEY, MtlsBindingStrength.SOFTWARE)


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(claims: Any) -> str:
    return ".".join(map(b64url, (b"{}", json.dumps(claims).encode(), b"signature")))


BOUND = jwt({"cnf": {"x5t#S256": b64url(ISSUED.fingerprint(hashes.SHA256()))}})


@pytest.mark.parametrize(
    "certificate", [CERTIFICATE, DER, PEM, PEM.decode(), "\n" + PEM.decode()], ids=type
)
def test_every_form_of_certificate(certificate: Any) -> None:
    assert verify_cnf_binding(BOUND, certificate)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b.c",
        jwt({}),
        jwt([]),
        jwt({"cnf": {"x5t#S256": None}}),
        jwt({"cnf": {"x5t#S256": "ä"}}),
        jwt({"cnf": {"x5t#S256": CERTIFICATE.x5t_s256 + "="}}),
        jwt({"cnf": {"x5t": CERTIFICATE.x5t_s256}}),
    ],
)
def test_any_other_token_is_not_bound(token: str) -> None:
    assert not verify_cnf_binding(token, DER)


@pytest.mark.parametrize(
    "certificate", ["", b"", "-----BEGIN CERTIFICATE-----", "ä", DER[:-1], None]
)
def test_an_unreadable_certificate_is_an_error_not_a_no(certificate: Any) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        verify_cnf_binding(BOUND, certificate)
    assert caught.value.error == "invalid_request"


def test_the_thumbprint_is_the_one_of_rfc_8705() -> None:
    """The example of RFC 8705 appendix A: certificate and ``x5t#S256``."""
    pem = """-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----
"""
    token = jwt({"cnf": {"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}})
    assert verify_cnf_binding(token, pem)


def test_a_binding_certificate_shows_no_key() -> None:
    assert repr(CERTIFICATE) == (
        f"<BindingCertificate CN=client x5t#S256={CERTIFICATE.x5t_s256} "
        "SOFTWARE until 2026-06-08T00:00:00Z>"
    )
