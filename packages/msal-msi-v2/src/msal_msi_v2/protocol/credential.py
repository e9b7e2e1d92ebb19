"""``issuecredential``: a certificate for the key, and where to use it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from . import imds
from .messages import Request, Response, malformed, parse_object

if TYPE_CHECKING:
    from .identity import Identity

_PATH = "/metadata/identity/issuecredential"
_WHAT = "issued credential"
_ENDPOINT = "mtls_authentication_endpoint"


@dataclass(frozen=True)
class IssuedCredential:
    """What IMDS issued. From here on, these ids count and not those of the metadata.

    Attributes:
        client_id: The identity's canonical client id, a GUID.
        tenant_id: Its tenant, a GUID.
        certificate: Base64 of the DER, not yet checked.
        identity_type: E.g. ``SystemAssigned``.
        endpoint: The token service's base URL for mutual TLS, no trailing slash.
    """

    client_id: str
    tenant_id: str
    certificate: str
    identity_type: str
    endpoint: str


def build_request(
    base: str,
    identity: Identity,
    correlation_id: str,
    *,
    csr: str,
    attestation_token: str | None,
    bypass_cache: bool = False,
) -> Request:
    """Return the request to certify a key.

    Args:
        base: Where IMDS is, no trailing slash.
        identity: Whose certificate it shall be.
        correlation_id: The GUID that the metadata request carried.
        csr: Base64 of the DER, one line.
        attestation_token: The attestation service's JWT; ``None``: the member is left out.
        bypass_cache: Have a new certificate issued, whatever IMDS has at hand.
    """
    attestation = {} if attestation_token is None else {"attestation_token": attestation_token}
    return Request(
        "POST",
        base + _PATH,
        headers={**imds.headers(correlation_id), "Content-Type": "application/json"},
        params=imds.query(identity) | ({"bypass_cache": "true"} if bypass_cache else {}),
        body=json.dumps({"csr": csr, **attestation}),
    )


def parse_response(response: Response) -> IssuedCredential:
    """Read the answer.

    Raises:
        MsiV2ServiceError: ``managed_identity_request_failed``.
    """
    imds.check_success(response, "certificate request")
    payload = parse_object(
        response, _WHAT, ("client_id", "tenant_id", "certificate", "identity_type", _ENDPOINT)
    )
    return IssuedCredential(
        client_id=payload["client_id"],
        tenant_id=payload["tenant_id"],
        certificate=payload["certificate"],
        identity_type=payload["identity_type"],
        endpoint=_check_endpoint(payload[_ENDPOINT], response.status),
    )


def _check_endpoint(endpoint: str, status: int) -> str:
    problem = f"has an {_ENDPOINT!r} that is not a plain https URL"
    try:
        parts = urlsplit(endpoint.strip())
        _ = parts.port  # parsed on access; a bad one raises
    except ValueError as exc:
        raise malformed(_WHAT, problem, status) from exc
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise malformed(_WHAT, problem, status)
    if parts.query or parts.fragment:
        raise malformed(_WHAT, problem, status)
    return f"https://{parts.netloc}{parts.path}".rstrip("/")
