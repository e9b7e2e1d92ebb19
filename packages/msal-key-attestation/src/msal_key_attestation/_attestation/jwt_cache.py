"""The attestation service's JWTs: kept while fresh, and each made once however many ask."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

from msal_msi_v2._base64 import b64url_decode
from msal_msi_v2.flight import SingleFlight

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
        self._kept: dict[Hashable, tuple[str, float]] = {}
        self._flights: SingleFlight[str] = SingleFlight()

    def get(self, key: Hashable, make: Callable[[], str], *, fresh: bool = False) -> str:
        """Return the JWT of a key, made now if need be.

        Args:
            key: What the JWT depends on.
            make: Makes one.
            fresh: Do not take the one that is kept; replace it.
        """

        def look() -> str | None:
            return None if fresh else self._fresh(key)

        return look() or self._flights.run(key, lambda: look() or self._make(key, make))

    def _make(self, key: Hashable, make: Callable[[], str]) -> str:
        jwt = make()
        ends = expiry(jwt)
        if ends is not None:
            self._kept[key] = (jwt, ends)
        for old in [it for it in list(self._kept) if self._fresh(it) is None]:
            self._kept.pop(old, None)
        return jwt

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
