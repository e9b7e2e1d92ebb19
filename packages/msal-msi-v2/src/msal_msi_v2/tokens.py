"""Two things that a caller does with a bound token by hand: show it, and check it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes

from ._base64 import b64url_encode
from .binding import BindingCertificate
from .errors import MsiV2ClientError
from .protocol.certificate import load_certificate
from .protocol.token import TOKEN_TYPE, confirmed_thumbprint, read_claims

if TYPE_CHECKING:
    from collections.abc import Mapping


def authorization_header(result: Mapping[str, Any]) -> str:
    """Return the ``Authorization`` header's value for a result of ``acquire_token_for_client``.

    Args:
        result: The result of a request with ``mtls_proof_of_possession=True``.

    Returns:
        ``"mtls_pop eyJ…"``.

    Raises:
        MsiV2ClientError: ``token_type_mismatch``: the result holds no bound token.
    """
    token = result.get("access_token")
    if not token or str(result.get("token_type", "")).lower() != TOKEN_TYPE:
        raise MsiV2ClientError(
            "token_type_mismatch",
            f"The result holds no {TOKEN_TYPE!r} token. Acquire it with "
            "mtls_proof_of_possession=True; a bearer token has no use here.",
        )
    return f"{TOKEN_TYPE} {token}"


def verify_cnf_binding(token: str, certificate: BindingCertificate | str | bytes) -> bool:
    """Tell whether a token is bound to a certificate (RFC 8705 §3.1).

    The token's signature is not checked; that is the resource's business.

    Args:
        token: The access token.
        certificate: The certificate: PEM text or bytes, DER bytes, or a ``BindingCertificate``.

    Returns:
        Whether ``cnf["x5t#S256"]`` names this certificate; ``False`` for a token that the client
        cannot read.

    Raises:
        MsiV2ClientError: ``invalid_request``: the certificate cannot be read.
    """
    claims = read_claims(str(token))
    named = confirmed_thumbprint(claims) if claims is not None else None
    return named == _thumbprint(certificate)


def _thumbprint(certificate: BindingCertificate | str | bytes) -> str:
    if isinstance(certificate, BindingCertificate):
        return certificate.x5t_s256
    return b64url_encode(load_certificate(certificate).fingerprint(hashes.SHA256()))
