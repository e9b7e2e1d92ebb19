"""Proxies: which one the environment names, and what a proxy's URL says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

import requests

from msal_msi_v2.errors import MsiV2ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORTS = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """A proxy that tunnels by CONNECT.

    Attributes:
        scheme: ``http``, or ``https`` where it is reached over TLS.
        host: A DNS name, or an address; IPv6 in brackets.
        port: The TCP port.
        login: ``user:password``, a secret; empty: none.
    """

    scheme: str
    host: str
    port: int
    login: str


def environment_proxy(url: str) -> str | None:
    """Return the URL of the proxy that the environment names for a URL, if it names any."""
    return chosen_proxy(url, requests.utils.get_environ_proxies(url, no_proxy=None))


def chosen_proxy(url: str, proxies: Mapping[str, str] | None) -> str | None:
    """Return the URL of the proxy that requests would choose for a URL; ``None``: no proxy.

    Args:
        url: Where the request goes.
        proxies: As for requests: by scheme or host, and ``""`` for none.
    """
    return requests.utils.select_proxy(url, proxies) or None


def parse_proxy(url: str) -> Proxy:
    """Take the URL of a proxy apart.

    Args:
        url: ``http`` or ``https``, perhaps with credentials; without a scheme, ``http`` is meant.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is no such URL.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or _PORTS[parts.scheme]
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(url)  # noqa: TRY301 - one way out
    except (ValueError, KeyError):
        raise MsiV2ClientError(
            "invalid_request",
            "The URL of the proxy is not of the form http://host:port or https://host:port. "
            "Other kinds of proxies, SOCKS among them, cannot be used.",
        ) from None  # it may quote a password
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return Proxy(parts.scheme, host, port, login)
