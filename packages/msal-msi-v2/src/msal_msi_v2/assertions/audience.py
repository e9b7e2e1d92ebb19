"""Whom an assertion is for: always the central token endpoint of a tenant."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS

from msal_msi_v2.errors import MsiV2ClientError
from msal_msi_v2.protocol.authority import check_tenant, https_origin

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping

PUBLIC_AUTHORITY = "https://login.microsoftonline.com"


def read_context(context: Mapping[str, Any]) -> tuple[str, str]:
    """Return client id and audience from what msal passes to an assertion callable.

    Args:
        context: A mapping with ``client_id`` and ``token_endpoint``, as msal 1.39 and later pass
            it; with ``azure_region=`` the endpoint is a regional one.

    Raises:
        MsiV2ClientError: ``invalid_request``: either is missing, or the endpoint is no URL.
    """
    client_id, endpoint = (
        context.get(name) if hasattr(context, "get") else None
        for name in ("client_id", "token_endpoint")
    )
    if isinstance(client_id, str) and client_id and isinstance(endpoint, str) and endpoint:
        with suppress(ValueError):  # an endpoint that is no URL
            return client_id, central_endpoint(endpoint)
    raise MsiV2ClientError(
        "invalid_request",
        "An assertion is called with a dict of client_id and token_endpoint, as msal does. "
        "For azure-identity pass assertion.bind(client_id, tenant_id).",
    )


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


def endpoint_of(tenant_id: str | uuid.UUID, authority: str) -> str:
    """Return the token endpoint of a tenant.

    Args:
        tenant_id: The tenant, a GUID or a domain name.
        authority: The cloud's login service, an https URL of a host alone, or the host.

    Raises:
        MsiV2ClientError: ``invalid_request``: that is no tenant, or no such URL.
    """
    tenant = check_tenant(tenant_id)
    text = str(authority or "")
    base = https_origin(text if "://" in text else f"https://{text}")
    if base is None:
        raise MsiV2ClientError(
            "invalid_request",
            f"authority must be https and a host alone, e.g. {PUBLIC_AUTHORITY!r}: pass it "
            "without the tenant, which is named by tenant_id.",
        )
    return f"{base}/{tenant}/oauth2/v2.0/token"
