"""The proxy that a request goes through: the caller's, the environment's, or Windows' own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import getproxies_environment

from msal_msi_v2.errors import MsiV2ClientError
from msal_msi_v2.http.proxies import environment_proxy, parse_proxy

if TYPE_CHECKING:
    from msal_msi_v2.http.proxies import Proxy
    from msal_msi_v2.platforms import Route

DIRECT = ""
"""No proxy at all."""


def choose_proxy(url: str, route: Route | None) -> str | None:
    """Return the proxy of a request, as WinHTTP takes it.

    Args:
        url: Where the request goes.
        route: Its caller's choice; ``None``: the variables' (``HTTPS_PROXY``, ``ALL_PROXY``,
            ``NO_PROXY``), where either of the first two is set, and Windows' own elsewhere.

    Returns:
        Host and port; ``DIRECT``; ``None``: what Windows is set to.

    Raises:
        MsiV2ClientError: ``invalid_request``: WinHTTP cannot use this proxy.
    """
    if route is not None:
        proxy = route.proxy
    elif getproxies_environment().keys() & {"https", "all"}:
        proxy = environment_proxy(url)
    else:
        return None
    return DIRECT if proxy is None else _host_and_port(parse_proxy(proxy))


def _host_and_port(proxy: Proxy) -> str:
    if proxy.scheme != "http" or proxy.login:
        raise MsiV2ClientError(
            "invalid_request",
            "WinHTTP speaks no TLS to a proxy, and takes no login from its URL. Name a proxy of "
            "the form http://host:port, or none, and set Windows to the one to use.",
        )
    return f"{proxy.host}:{proxy.port}"
