"""The time, as the emulated services believe it to be."""

from __future__ import annotations

import time
from datetime import datetime, timezone


class Clock:
    """The system's clock, shifted.

    Attributes:
        offset: Seconds that the services are ahead of the system's clock.
    """

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Return the services' time, in seconds since the epoch."""
        return time.time() + self.offset


def utc(seconds: float) -> datetime:
    """Return seconds since the epoch as an aware datetime, cut to the second."""
    return datetime.fromtimestamp(int(seconds), timezone.utc)
