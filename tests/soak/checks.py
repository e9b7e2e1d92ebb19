"""What every result, and every error, must be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from msal_msi_v2 import MsiV2Error, verify_cnf_binding

from .timeline import LONGEST_STEP_BACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msal_msi_v2 import BindingCertificate

    from .witness import Witness
    from .world import Ask

_SECRET = re.compile(r"eyJ[\w-]{10,}\.|[A-Za-z0-9+/_-]{100,}")
_CACHE_MARGIN = 300.0
_FLOOR_CODES = {"mtls_pop_requires_keyguard", "min_strength_not_met"}
_ATTESTATION_CODES = {"attestation_not_supported"}


def check_result(
    ask: Ask, result: dict[str, Any], witness: Witness, before: float
) -> Iterator[str]:
    """Yield what is wrong with a result.

    Args:
        ask: What was asked for.
        result: What was answered.
        witness: Knows what each certificate was issued for.
        before: The time just before it was asked for, Unix seconds.
    """
    certificate = result["binding_certificate"]
    if result["token_type"] != "mtls_pop" or result["resource"] != ask.resource:
        yield "it is of another type, or for another resource"
    if ask.options.get("correlation_id", result["correlation_id"]) != result["correlation_id"]:
        yield "it carries another correlation id than the caller's"
    fresh = ask.options.get("force_refresh") or ask.options.get("claims_challenge")
    cached = result["token_source"] == "cache"
    if fresh and cached:
        yield "it is from the cache, against the caller's will"
    yield from _check_certificate(ask, certificate, witness)
    claims = _claims(result["access_token"])
    if claims is None:
        witness.count("opaque tokens returned")
        return
    if not verify_cnf_binding(result["access_token"], certificate):
        yield "the token is bound to another certificate"
    yield from _check_claims(ask, claims)
    if cached:  # what is fresh may age by days while it is on its way
        yield from _check_age(claims, certificate, before)


def _check_certificate(
    ask: Ask, certificate: BindingCertificate, witness: Witness
) -> Iterator[str]:
    if certificate.strength < ask.required:
        yield f"the binding is too weak; {certificate.strength!r}"
    parsed = x509.load_der_x509_certificate(certificate.der)
    public_key = parsed.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    if public_key.public_numbers() != certificate.private_key.public_key().public_numbers():
        yield "the private key is not the certificate's"
    subject = {part.oid: part.value for part in parsed.subject}
    if subject[NameOID.COMMON_NAME] != ask.identity.client_id:
        yield "the certificate names another identity"
    issued = witness.certificates.get(certificate.der)
    if issued is None:
        yield "the certificate was never issued"
    elif issued != (ask.identity.client_id, ask.attested):
        yield f"the certificate is another one's; {issued}"


def _check_age(
    claims: dict[str, Any], certificate: BindingCertificate, before: float
) -> Iterator[str]:
    left = claims["exp"] - before
    if left < _CACHE_MARGIN - 2 * LONGEST_STEP_BACK:
        yield f"the token is too old; {left:.0f} s left"
    if certificate.not_after.timestamp() < before - LONGEST_STEP_BACK:
        yield "the certificate has expired"


def _check_claims(ask: Ask, claims: dict[str, Any]) -> Iterator[str]:
    expected = {
        "aud": ask.resource,
        "appid": ask.identity.client_id,
        "oid": ask.identity.object_id,
        "xms_cc": ask.capabilities,
    }
    for name, value in expected.items():
        if claims.get(name) != value:
            yield f"the token's {name} is wrong; {claims.get(name)!r}, not {value!r}"


def check_error(ask: Ask, error: Exception) -> Iterator[str]:
    """Yield what is wrong with an error."""
    if not isinstance(error, MsiV2Error):
        yield f"{type(error).__name__}: {error}"
        return
    if not error.correlation_id:
        yield f"{error.error} carries no correlation id"
    if _SECRET.search(f"{error} {error!r}"):
        yield f"{error.error} shows a secret"
    code = error.error
    if code in _FLOOR_CODES | _ATTESTATION_CODES and ask.can_be_had:
        yield f"refused, and the host can do it; {code}"
    elif not ask.can_be_had and code not in _FLOOR_CODES | _ATTESTATION_CODES:
        yield f"tried, and the host cannot do it; {code}"


def _claims(token: str) -> dict[str, Any] | None:
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.DecodeError:
        return None
