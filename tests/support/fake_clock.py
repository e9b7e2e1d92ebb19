"""A clock that is told what time it is, and never waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock:
    def __init__(self) -> None:
        self.offset = 0.0
        self.sleeps: list[float] = []
        self.meanwhile: Callable[[], object] | None = None
        """What happens before whoever asks next is told the time."""

    def now(self) -> float:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return time.time() + self.offset

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.offset += seconds
