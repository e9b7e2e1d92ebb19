"""One time for the clients and for the services, which jumps and never waits."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msal_msi_v2.emulator import MsiV2Emulator

LONGEST_STEP_BACK = 60.0


class Timeline:
    """A ``Clock`` that shows the emulator's time; whoever sleeps sets it forward instead."""

    def __init__(self, emulator: MsiV2Emulator) -> None:
        self._emulator = emulator
        self._lock = threading.Lock()

    def now(self) -> float:
        return time.time() + self._emulator.clock_offset

    def sleep(self, seconds: float) -> None:
        self.jump(seconds)
        time.sleep(0)  # let others run, as a real wait would

    def jump(self, seconds: float) -> None:
        with self._lock:
            self._emulator.clock_offset += seconds
