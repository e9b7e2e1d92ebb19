"""Hosts and tenants, as callers name them."""

from __future__ import annotations

import ipaddress
import re
import uuid

from msal_msi_v2.errors import MsiV2ClientError

# Nothing that another parser of URLs could read as another host: no backslash, no escape, no "@".
_ORIGIN = re.compile(
    r"https://(?:[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_HIGHEST_PORT = 65535
_TENANT = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*")
_NO_TENANTS = frozenset({"common", "organizations", "consumers"})


def https_origin(url: object) -> str | None:
    """Return an https URL of a host alone, without a trailing slash or the default port.

    Args:
        url: The URL; its host is a DNS name, an IPv4 address, or an IPv6 address in brackets.

    Returns:
        ``None`` for anything else: with a path, a query, a user, or characters that no host has.
    """
    plain = str(url).rstrip("/")
    found = _ORIGIN.fullmatch(plain)
    if found is None or int(found["port"] or 0) > _HIGHEST_PORT:
        return None
    if found["ipv6"] is not None and not _is_ipv6(found["ipv6"]):
        return None
    return plain.removesuffix(":443")


def check_tenant(tenant: object) -> str:
    """Return a tenant that an application can sign in to.

    Args:
        tenant: A GUID, as text or as a ``uuid.UUID``, or a domain name.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is none; ``common`` and its like are not.
    """
    text = str(tenant) if isinstance(tenant, str | uuid.UUID) else ""
    if not _TENANT.fullmatch(text) or text.lower() in _NO_TENANTS:
        raise MsiV2ClientError(
            "invalid_request",
            f"The tenant is {tenant!r}; an application asks in one tenant, named by its GUID or "
            "domain name.",
        )
    return text


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
