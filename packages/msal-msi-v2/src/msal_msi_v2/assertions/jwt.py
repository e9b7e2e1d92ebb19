"""The client assertion as a value: a JWT (RFC 7523), its claims, and what is signed of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from msal_msi_v2._base64 import b64url_encode
from msal_msi_v2.errors import MsiV2ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

Algorithm = Literal["PS256", "RS256"]
LIFETIME = 600
"""Seconds from ``nbf`` to ``exp``: as long as msal's own assertions live."""


def check_algorithm(algorithm: str) -> None:
    """Refuse what is neither PS256 nor RS256 (RFC 7518 §3.1).

    Raises:
        MsiV2ClientError: ``invalid_request``.
    """
    if algorithm not in get_args(Algorithm):
        raise MsiV2ClientError(
            "invalid_request", f"algorithm is {algorithm!r}; it must be 'PS256' or 'RS256'."
        )


def padding_of(algorithm: Algorithm) -> AsymmetricPadding:
    """Return the RSA padding of an algorithm; both hash with SHA-256."""
    if algorithm == "RS256":
        return padding.PKCS1v15()
    # The salt is as long as the digest (RFC 7518 §3.5).
    return padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)


def make_claims(client_id: str, audience: str, now: float, guid: str) -> dict[str, Any]:
    """Return the claims with which an application says who it is.

    Args:
        client_id: The application's client id.
        audience: The token endpoint that the assertion is for.
        now: The time, Unix seconds.
        guid: The ``jti``, never used before.
    """
    start = int(now)
    return {
        "aud": audience,
        "exp": start + LIFETIME,
        "iat": start,
        "iss": client_id,
        "jti": guid,
        "nbf": start,
        "sub": client_id,
    }


def signing_input(header: Mapping[str, Any], claims: Mapping[str, Any]) -> bytes:
    """Return what is signed (RFC 7515 §5.1): header and claims in base64url, a dot between."""
    return b".".join(
        b64url_encode(json.dumps(part, separators=(",", ":")).encode("utf-8")).encode("ascii")
        for part in (header, claims)
    )


def serialize(signed: bytes, signature: bytes) -> str:
    """Return the JWT in its compact form.

    Args:
        signed: What ``signing_input()`` returned.
        signature: The signature over it.
    """
    return f"{signed.decode('ascii')}.{b64url_encode(signature)}"
