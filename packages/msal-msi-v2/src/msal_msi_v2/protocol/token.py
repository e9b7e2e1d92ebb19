"""The token request (OAuth 2.0 client credentials over mutual TLS, RFC 8705) and its answer."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as percent_encode
from urllib.parse import urlencode

from msal_msi_v2 import __version__
from msal_msi_v2._base64 import b64url_decode
from msal_msi_v2.errors import MsiV2ServiceError, quote

from .messages import REQUEST_FAILED, Request, Response, malformed, parse_json, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msal_msi_v2.binding import Binding

TOKEN_TYPE = "mtls_pop"  # noqa: S105 - the type's name, not a secret
_WHAT = "token response"
_OK = 200
_THROTTLED = 429
_LOWEST_SERVER_ERROR = 500
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_AADSTS = re.compile(r"AADSTS(\d{4,9})")
_DEFAULT_SCOPE = "/.default"
_JWS_PARTS = 3
_LONGEST_LIFE = 10**9  # seconds; what is longer is a mistake that arithmetic need not bear
_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749 A.12; a line break would inject a header


def is_token(text: str) -> bool:
    """Tell whether a text can be a token, which goes into a header as it is."""
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True)
class TokenResponse:
    """A token as the service answered it.

    Attributes:
        access_token: The token; ``repr`` leaves it out.
        token_type: ``mtls_pop``, in the service's spelling.
        expires_in: Its remaining life in seconds.
        refresh_in: After how many seconds to renew it, where the service says so.
    """

    access_token: str = field(repr=False)
    token_type: str
    expires_in: int
    refresh_in: int | None = None


def scope_of(resource: str) -> str:
    """Return the scope for a resource, which may already end in ``/`` or ``/.default``."""
    return resource.removesuffix(_DEFAULT_SCOPE).rstrip("/") + _DEFAULT_SCOPE


def build_request(
    binding: Binding, resource: str, correlation_id: str, claims: str | None = None
) -> Request:
    """Return the request for a token bound to a binding's certificate.

    Args:
        binding: The endpoint, the tenant and the client id to ask with.
        resource: The resource's URL or application id URI.
        correlation_id: The GUID that the IMDS requests carried.
        claims: JSON text, where there are claims or capabilities.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": binding.client_id,
        "scope": scope_of(resource),
        "token_type": TOKEN_TYPE,
    }
    if claims is not None:
        form["claims"] = claims
    tenant = percent_encode(binding.tenant_id, safe="")
    return form_request(f"{binding.endpoint}/{tenant}/oauth2/v2.0/token", form, correlation_id)


def form_request(url: str, form: Mapping[str, str], correlation_id: str) -> Request:
    """Return a request to the token service.

    Args:
        url: The token endpoint.
        form: The fields of its body.
        correlation_id: The GUID under which the service logs it.
    """
    return Request(
        "POST",
        url,
        headers={
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            "client-request-id": correlation_id,
            "return-client-request-id": "true",
            "x-client-SKU": "msal-msi-v2",
            "x-client-Ver": __version__,
            "x-client-OS": sys.platform,
            "x-ms-lib-capability": "retry-after, h429",
        },
        body=urlencode(form),
    )


def parse_response(response: Response, expected: str = TOKEN_TYPE) -> TokenResponse:
    """Read the answer.

    Args:
        response: The answer.
        expected: The type that the token must be of, in lower case.

    Raises:
        MsiV2ServiceError: ``token_type_missing``, ``token_type_mismatch``, the OAuth code that
            the service gave, ``service_not_available`` for a 429 or 5xx without one, or
            ``managed_identity_request_failed``.
    """
    if response.status != _OK:
        raise _refusal(response)
    payload = parse_object(response, _WHAT, ("access_token",))
    if not is_token(payload["access_token"]):
        raise malformed(_WHAT, "has an 'access_token' of characters that none has", _OK)
    token_type = payload.get("token_type")
    if not isinstance(token_type, str) or not token_type.strip():
        raise _another("token_type_missing", "does not say what type the token is of", expected)
    if token_type.lower() != expected:
        raise _another("token_type_mismatch", f"holds a {quote(token_type)!r} token", expected)
    expires_in = _seconds(payload.get("expires_in"))
    if expires_in is None:
        raise malformed(_WHAT, "lacks 'expires_in', a positive number of seconds", response.status)
    return TokenResponse(
        payload["access_token"], token_type, expires_in, _seconds(payload.get("refresh_in"))
    )


def check_cnf(access_token: str, x5t_s256: str) -> None:
    """Refuse a readable token that is not bound to a certificate (RFC 8705 §3.1).

    A token that is no JWT, or an encrypted one, is opaque to the client and passes: the
    resource checks it.

    Args:
        access_token: The token.
        x5t_s256: SHA-256 of the certificate's DER, base64url, unpadded.

    Raises:
        MsiV2ServiceError: ``cnf_mismatch``.
    """
    claims = read_claims(access_token)
    if claims is not None and confirmed_thumbprint(claims) != x5t_s256:
        raise MsiV2ServiceError(
            "cnf_mismatch",
            "The token service answered with a token that is not bound to the certificate it "
            "was asked with (cnf x5t#S256 is missing or another). The token was dropped.",
        )


def read_claims(access_token: str) -> dict[str, Any] | None:
    """Return the claims of a signed JWT, unverified; ``None`` where they cannot be read."""
    parts = access_token.split(".")
    if len(parts) != _JWS_PARTS:
        return None
    try:
        claims = parse_json(b64url_decode(parts[1].rstrip("=")))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def confirmed_thumbprint(claims: dict[str, Any]) -> object:
    """Return what ``cnf`` names as ``x5t#S256``, ``None`` where it names nothing."""
    confirmation = claims.get("cnf")
    return confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None


def _seconds(value: object) -> int | None:
    """Read a positive number of seconds, which the service may send as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = int(value)
    except (ValueError, OverflowError):
        return None
    return min(seconds, _LONGEST_LIFE) if seconds > 0 else None


def _another(code: str, problem: str, expected: str) -> MsiV2ServiceError:
    return MsiV2ServiceError(
        code,
        f"The token service's answer {problem}, where one of type {expected!r} was asked for. "
        "It was dropped: nobody gets another kind of token than was asked for.",
        status_code=_OK,
    )


def _refusal(response: Response) -> MsiV2ServiceError:
    """Return the error for an answer in the shape of RFC 6749 §5.2, or in none."""
    try:
        payload = parse_json(response.body)
    except ValueError:
        payload = None
    payload = payload if isinstance(payload, dict) else {}
    busy = response.status == _THROTTLED or response.status >= _LOWEST_SERVER_ERROR
    code = payload.get("error")
    if not isinstance(code, str) or not _ERROR_CODE.fullmatch(code):
        code = "service_not_available" if busy else REQUEST_FAILED
    description = str(payload.get("error_description") or "(no description)")
    error = MsiV2ServiceError(
        code,
        f"The token service answered HTTP {response.status}: {quote(description)}",
        status_code=response.status,
        is_retryable=busy,
    )
    error.error_codes = _aadsts_codes(payload.get("error_codes"), description)
    return error


def _aadsts_codes(listed: object, description: str) -> tuple[int, ...]:
    if isinstance(listed, list) and listed:
        return tuple(int(code) for code in listed if str(code).isdecimal())
    return tuple(int(code) for code in _AADSTS.findall(description))
