"""How much memory this process uses."""

from __future__ import annotations

import ctypes
from typing import Any

_FIELDS = 9  # of PROCESS_MEMORY_COUNTERS, its two first numbers taken as one
_PEAK = 1


def peak_memory() -> int:
    """Return this process's largest use of memory so far, in bytes; on Windows only."""
    windows: Any = ctypes
    counters = (ctypes.c_size_t * _FIELDS)()
    counters[0] = ctypes.sizeof(counters)
    this_process = ctypes.c_void_p(-1)
    assert windows.windll.psapi.GetProcessMemoryInfo(
        this_process, counters, ctypes.sizeof(counters)
    )
    return int(counters[_PEAK])
