"""An application that signs in with a managed identity's bound token: where, and with what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msal_msi_v2.errors import MsiV2ClientError

from .token import TOKEN_TYPE, form_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .messages import Request

JWT_POP = "urn:ietf:params:oauth:client-assertion-type:jwt-pop"
_PUBLIC = {"login.microsoftonline.com", "login.microsoft.com", "login.windows.net"}
_PUBLIC_MTLS = "mtlsauth.microsoft.com"
_NO_TENANTS = {"common", "organizations", "consumers"}
_REGION = re.compile(r"[a-z0-9]+")


def token_endpoint(authority: str, region: str | None) -> str:
    """Return the mutual-TLS token endpoint of an authority.

    Args:
        authority: ``https://login.microsoftonline.com/{tenant}``, or a national cloud's; a host
            that is none of Entra's login hosts is taken for a mutual-TLS endpoint itself.
        region: An Azure region, e.g. ``westus3``; ``None``: the global endpoint.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is no https URL of one tenant.
    """
    parts = urlsplit(authority)
    tenant = parts.path.strip("/")
    if parts.scheme != "https" or not parts.netloc or not tenant or "/" in tenant:
        raise MsiV2ClientError(
            "invalid_request",
            f"authority is {authority!r}; it must be https://login.microsoftonline.com/ and a "
            "tenant, or the same of a national cloud.",
        )
    if tenant.lower() in _NO_TENANTS:
        raise MsiV2ClientError(
            "invalid_request",
            f"authority names {tenant!r}, and an application signs in to one tenant. Use its GUID "
            "or domain name.",
        )
    if region is not None and not _REGION.fullmatch(region):
        raise MsiV2ClientError(
            "invalid_request", f"azure_region is {region!r}; it must be like 'westus3'."
        )
    host = parts.netloc.lower()
    if host in _PUBLIC:
        host = _PUBLIC_MTLS
    elif host.startswith("login."):
        host = f"mtlsauth.{host.removeprefix('login.')}"
    prefix = f"{region}." if region else ""
    return f"https://{prefix}{host}/{tenant}/oauth2/v2.0/token"


def build_request(
    endpoint: str,
    client_id: str,
    scopes: Sequence[str],
    assertion: str,
    correlation_id: str,
    *,
    bound: bool,
    claims: str | None,
) -> Request:
    """Return the request for an application's token.

    Args:
        endpoint: The token endpoint.
        client_id: The application's client id.
        scopes: What the token is for.
        assertion: The managed identity's token, bound to the connection's certificate.
        correlation_id: The GUID under which the service logs the request.
        bound: Whether the token, too, shall be bound to that certificate.
        claims: JSON text of claims that a resource asked for.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "scope": " ".join(scopes),
        "client_assertion_type": JWT_POP,
        "client_assertion": assertion,
    }
    if bound:
        form["token_type"] = TOKEN_TYPE
    if claims is not None:
        form["claims"] = claims
    return form_request(endpoint, form, correlation_id)
