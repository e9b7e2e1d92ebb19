"""An application that signs in with a managed identity's bound token: where, and with what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msal_msi_v2.errors import MsiV2ClientError

from .authority import check_tenant, https_origin
from .token import TOKEN_TYPE, form_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .messages import Request

JWT_POP = "urn:ietf:params:oauth:client-assertion-type:jwt-pop"
_PUBLIC = {
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
}
_PUBLIC_MTLS = "mtlsauth.microsoft.com"
_MTLS = re.compile(r"([a-z0-9]+\.)?mtlsauth\.[a-z0-9.-]+")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_REGION = re.compile(r"[a-z0-9]+")


def token_endpoint(authority: str, region: str | None) -> str:
    """Return the mutual-TLS token endpoint of an authority.

    Args:
        authority: ``https://login.microsoftonline.com/{tenant}``, or a national cloud's; or with
            the host of a mutual-TLS endpoint itself, or of an emulator on this machine.
        region: An Azure region, e.g. ``westus3``; ``None``: the global endpoint.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is no https URL of one tenant, or of a login
            service that is not known to have such an endpoint.
    """
    base, _, tenant = str(authority).rstrip("/").rpartition("/")
    origin = https_origin(base)
    if origin is None:
        raise MsiV2ClientError(  # without it: it may hold a password
            "invalid_request",
            "authority must be https://login.microsoftonline.com/ and one tenant, or the same of a "
            "national cloud.",
        )
    check_tenant(tenant)
    if region is not None and not _REGION.fullmatch(str(region)):
        raise MsiV2ClientError(
            "invalid_request", f"azure_region is {region!r}; it must be like 'westus3'."
        )
    parts = urlsplit(origin.lower())
    prefix = f"{region}." if region else ""
    port = f":{parts.port}" if parts.port else ""
    return f"https://{prefix}{_mtls_host(str(parts.hostname))}{port}/{tenant}/oauth2/v2.0/token"


def _mtls_host(host: str) -> str:
    if host in _PUBLIC:
        return _PUBLIC_MTLS
    if host.startswith("login."):
        return f"mtlsauth.{host.removeprefix('login.')}"
    if _MTLS.fullmatch(host) or host in _LOOPBACK:
        return f"[{host}]" if ":" in host else host
    raise MsiV2ClientError(
        "invalid_request",
        f"No mutual-TLS endpoint is known of the login service {host!r}, so no assertion is sent "
        "there. Use the authority of Entra ID itself, or its mutual-TLS host: mtlsauth.…",
    )


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
