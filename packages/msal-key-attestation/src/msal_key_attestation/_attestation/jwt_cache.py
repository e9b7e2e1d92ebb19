"""The attestation service's JWTs: kept while fresh, and each made once however many ask."""

from __future__ import annotations

import json
import math
import threading
import time
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

from msal_msi_v2._base64 import b64url_decode

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_MARGIN = 300.0
_PARTS = 3


class JwtCache:
    """JWTs by key; one call in flight for each key. Safe to use from many threads.

    Served while ``exp`` is more than 5 minutes away. A JWT without a readable ``exp`` goes to those
    who waited for it, and is not kept; neither is a failure.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Start empty.

        Args:
            clock: Seconds since the epoch.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[str, float]] = {}
        self._flights: dict[Hashable, Future[str]] = {}

    def get(self, key: Hashable, make: Callable[[], str], *, fresh: bool = False) -> str:
        """Return the JWT of a key, made now if need be.

        Args:
            key: What the JWT depends on.
            make: Makes one.
            fresh: Do not take the one that is kept; replace it.
        """
        while True:
            with self._lock:
                kept = None if fresh else self._fresh(key)
                if kept is not None:
                    return kept
                flight = self._flights.get(key)
                leads = flight is None
                flight = flight or self._flights.setdefault(key, Future())
            if leads:
                return self._lead(key, make, flight)
            try:
                return flight.result()
            except CancelledError:  # whoever made it was interrupted: now it is our turn
                continue

    def _lead(self, key: Hashable, make: Callable[[], str], flight: Future[str]) -> str:
        """Make the JWT for all who wait, and let them share what comes of it."""
        try:
            jwt = make()
            ends = expiry(jwt)
        except BaseException as exc:
            self._land(key, None)
            if isinstance(exc, Exception):
                flight.set_exception(exc)
            else:
                flight.cancel()
            raise
        self._land(key, None if ends is None else (jwt, ends))
        flight.set_result(jwt)
        return jwt

    def _land(self, key: Hashable, made: tuple[str, float] | None) -> None:
        with self._lock:
            del self._flights[key]
            if made is not None:
                self._kept[key] = made
            for old in [it for it in self._kept if self._fresh(it) is None]:
                del self._kept[old]

    def _fresh(self, key: Hashable) -> str | None:
        jwt, expiry = self._kept.get(key, ("", 0.0))
        return jwt if expiry - self._clock() > _MARGIN else None


def expiry(jwt: str) -> float | None:
    """Return a JWT's ``exp``, seconds since the epoch, or ``None`` if it cannot be read."""
    parts = jwt.split(".")
    if len(parts) != _PARTS:
        return None
    try:
        claims: Any = json.loads(b64url_decode(parts[1]))
    except (ValueError, RecursionError):
        return None
    exp = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(exp, bool) or not isinstance(exp, int | float) or not math.isfinite(exp):
        return None
    return float(exp)
