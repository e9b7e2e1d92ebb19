"""How much memory this process uses."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_FIELDS = 9  # of PROCESS_MEMORY_COUNTERS, its two first numbers taken as one
_PEAK = 1


def peak_memory() -> int:
    """Return this process's largest use of memory so far, in bytes."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - there is none on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    windows: Any = ctypes
    counters = (ctypes.c_size_t * _FIELDS)()
    counters[0] = ctypes.sizeof(counters)
    this_process = ctypes.c_void_p(-1)
    assert windows.windll.psapi.GetProcessMemoryInfo(
        this_process, counters, ctypes.sizeof(counters)
    )
    return int(counters[_PEAK])
