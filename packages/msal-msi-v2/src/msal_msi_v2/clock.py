"""Time, as something that can be injected."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What time it is, and waiting. A platform may bring its own as ``clock``."""

    def now(self) -> float:
        """Return Unix time, in seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        """Return Unix time, in seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait; an interrupt ends the wait at once."""
        time.sleep(seconds)
