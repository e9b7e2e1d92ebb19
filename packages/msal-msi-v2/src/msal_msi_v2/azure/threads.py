"""Threads for work that waits, so that it holds up no other work of an event loop (asyncio)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from msal_msi_v2.fork import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

_THREADS = 64
_Result = TypeVar("_Result")


class Threads:
    """At most 64 threads of one's own, which are started as they are needed."""

    def __init__(self) -> None:
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Start anew; the threads are the parent's."""
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="msal-msi-v2")

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Have a thread do some work, as ``asyncio.to_thread`` does."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, copy_context().run, work)

    def close(self) -> None:
        """End the threads, each when its work is done; more work starts others."""
        self._executor.shutdown(wait=False)
        self.renew_after_fork()
