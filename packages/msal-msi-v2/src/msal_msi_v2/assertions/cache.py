"""Assertions that are still good, each made once for all who ask at the same time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from msal_msi_v2.flight import SingleFlight

from .jwt import LIFETIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2.clock import Clock

MARGIN = 60
"""Seconds: an assertion with less left is not used; it has a way to go, and msal allows as much."""
_SWEEP_FROM = 1024


class AssertionName(NamedTuple):
    """What assertions are kept under.

    Attributes:
        client_id: Whose it is.
        audience: The token endpoint that it is for.
        key_version: Which version of the key signed it.
    """

    client_id: str
    audience: str
    key_version: str


@dataclass(frozen=True)
class Assertion:
    """A signed assertion.

    Attributes:
        text: The JWT, a secret.
        expires_at: Unix seconds.
    """

    text: str = field(repr=False)
    expires_at: float


class AssertionCache:
    """Assertions by name. A look takes no lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[AssertionName, Assertion] = {}
        self._flights: SingleFlight[Assertion] = SingleFlight()

    def get(self, name: AssertionName, make: Callable[[], Assertion]) -> str:
        """Return the assertion of a name, made now where none is kept that is good.

        Args:
            name: What it is kept under.
            make: Makes it.
        """
        kept = self._find(name) or self._flights.run(
            name, lambda: self._find(name) or self._make(name, make)
        )
        return kept.text

    def _find(self, name: AssertionName) -> Assertion | None:
        kept = self._kept.get(name)
        # More than a lifetime left: the clock was set back, and nobody knows.
        if kept and MARGIN < kept.expires_at - self._clock.now() <= LIFETIME:
            return kept
        return None

    def _make(self, name: AssertionName, make: Callable[[], Assertion]) -> Assertion:
        made = make()
        if len(self._kept) >= _SWEEP_FROM:
            for other in list(self._kept):
                if self._find(other) is None:
                    self._kept.pop(other, None)
        self._kept[name] = made
        return made
