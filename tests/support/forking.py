"""Children of this process, and locks that they find held."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20


def works_in_a_child(work: Callable[[], object]) -> bool:
    """Fork, and tell whether some work is done in the child: without an exception, and at all."""
    if sys.platform == "win32":
        pytest.skip("Windows has no fork()")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    ended, _, _ = select.select([reader], [], [], PATIENCE)
    os.close(reader)
    if not ended:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextmanager
def held_by_another_thread(*locks: Any) -> Iterator[None]:
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        over.wait()
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def locks_of(http_client: Any, url: str) -> list[Any]:
    """Return the locks that a session's idle connections to a host are behind."""
    manager = http_client.get_adapter(url).poolmanager
    return [manager.pools.lock, manager.connection_from_url(url).pool.mutex]
