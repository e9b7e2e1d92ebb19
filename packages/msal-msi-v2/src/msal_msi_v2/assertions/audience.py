"""Whom an assertion is for: always the central token endpoint of a tenant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS

from msal_msi_v2.errors import MsiV2ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

PUBLIC_AUTHORITY = "https://login.microsoftonline.com"
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_NO_TENANTS = frozenset({"common", "organizations", "consumers"})


def read_context(context: Mapping[str, Any]) -> tuple[str, str]:
    """Return client id and audience from what msal passes to an assertion callable.

    Args:
        context: A mapping with ``client_id`` and ``token_endpoint``, as msal 1.39 and later pass
            it; with ``azure_region=`` the endpoint is a regional one.

    Raises:
        MsiV2ClientError: ``invalid_request``: either is missing.
    """
    client_id, endpoint = (
        context.get(name) if hasattr(context, "get") else None
        for name in ("client_id", "token_endpoint")
    )
    if not (isinstance(client_id, str) and client_id and isinstance(endpoint, str) and endpoint):
        raise MsiV2ClientError(
            "invalid_request",
            "An assertion is called with a dict of client_id and token_endpoint, as msal does. "
            "For azure-identity pass assertion.bind(client_id, tenant_id).",
        )
    return client_id, central_endpoint(endpoint)


def central_endpoint(token_endpoint: str) -> str:
    """Return the token endpoint without its region: Entra takes no other as an audience.

    msal makes ``{region}.login.microsoft.com`` out of the public cloud's hosts, and
    ``{region}.{host}`` out of a national cloud's.

    Args:
        token_endpoint: The URL that the assertion is sent to.
    """
    parts = urlsplit(token_endpoint)
    central = parts.netloc.partition(".")[2]
    if parts.netloc in WELL_KNOWN_AUTHORITY_HOSTS or central not in WELL_KNOWN_AUTHORITY_HOSTS:
        return token_endpoint
    public = urlsplit(PUBLIC_AUTHORITY).netloc
    return parts._replace(netloc=public if central == "login.microsoft.com" else central).geturl()


def endpoint_of(tenant_id: str, authority: str) -> str:
    """Return the token endpoint of a tenant.

    Args:
        tenant_id: The tenant, a GUID or a domain name.
        authority: Base URL or host of the cloud's login service.

    Raises:
        MsiV2ClientError: ``invalid_request``: that is no tenant, or no https URL.
    """
    if not _TENANT.fullmatch(tenant_id) or tenant_id.lower() in _NO_TENANTS:
        raise MsiV2ClientError(
            "invalid_request",
            f"tenant_id is {tenant_id!r}; an application asks in one tenant, named by its GUID or "
            "domain name.",
        )
    base = authority if "://" in authority else f"https://{authority}"
    parts = urlsplit(base)
    if parts.scheme != "https" or not parts.netloc:
        raise MsiV2ClientError(
            "invalid_request",
            f"authority is {authority!r}; it must be an https URL, e.g. {PUBLIC_AUTHORITY!r}.",
        )
    return f"{base.rstrip('/')}/{tenant_id}/oauth2/v2.0/token"
