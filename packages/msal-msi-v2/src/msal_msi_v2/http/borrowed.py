"""A ``requests.Session`` that is the caller's: what it does by itself, and what a fork leaves."""

from __future__ import annotations

from typing import Any

import requests
import urllib3

_of_the_parent: list[object] = []
"""Pools that a parent left, used by nobody: to collect them would take their locks, too."""


def retries_by_itself(http_client: Any, url: str) -> bool:
    """Tell whether a session sends again by itself what fails, so that nobody else should.

    Args:
        http_client: A ``requests.Session``; any other client is taken not to.
        url: Where it would send.
    """
    if not isinstance(http_client, requests.Session):
        return False
    try:
        retries = getattr(http_client.get_adapter(url), "max_retries", None)
    except requests.exceptions.InvalidSchema:
        return False  # sending will say so
    kinds = ("total", "connect", "read", "status", "other")
    return any(getattr(retries, kind, None) for kind in kinds)


def renew_connections(http_client: Any) -> None:
    """Give a session new connections in a forked child: over the parent's, answers are swapped.

    The parent's are not closed, because closing takes locks that a thread of the parent may have
    held when it forked, and that nobody would ever release here.

    Args:
        http_client: A ``requests.Session``; of any other client nothing is known.
    """
    if not isinstance(http_client, requests.Session):
        return
    for adapter in http_client.adapters.values():
        of_proxies = getattr(adapter, "proxy_manager", {}).values()
        for manager in (getattr(adapter, "poolmanager", None), *of_proxies):
            if isinstance(manager, urllib3.PoolManager):
                _of_the_parent.append(manager.pools)
                # Not a new manager: whom it trusts may have been set on this one.
                manager.pools = type(manager.pools)(manager.pools._maxsize)  # noqa: SLF001 - the only way to know
