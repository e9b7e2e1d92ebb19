"""Threads for what blocks, which belong to no event loop."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from msal_msi_v2.fork import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], object]

_PATIENCE = 5.0
"""How long a thread waits for another job, in seconds."""


class Workers:
    """At most so many threads; jobs wait for one in the order in which they came.

    They are daemons, so that one that waits for a server does not keep the process from ending.
    """

    def __init__(self, most: int) -> None:
        """Choose how many threads there are at most."""
        self._most = most
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Forget threads and jobs; they are the parent's."""
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._threads = 0
        self._idle = 0

    def submit(self, job: Job) -> None:
        """Have a thread do a job, which must not raise.

        Raises:
            RuntimeError: The system gives the process no more threads.
        """
        with self._changed:
            if self._idle <= len(self._jobs) and self._threads < self._most:
                threading.Thread(target=self._work, name="msal-msi-v2", daemon=True).start()
                self._threads += 1
            self._jobs.append(job)
            self._changed.notify()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job  # and all that it holds, before the next one comes

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._jobs, _PATIENCE)
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            return None
