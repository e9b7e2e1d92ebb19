"""The threads of the asynchronous transport, and the watch over what they send."""

from __future__ import annotations

import os
import socket
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from msal_msi_v2.errors import TransportError
from msal_msi_v2.http import workers
from msal_msi_v2.http.watching import Watch
from msal_msi_v2.http.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20


def do(pool: Workers) -> Future[threading.Thread]:
    """Have a job done that says which thread did it."""
    by: Future[threading.Thread] = Future()
    pool.submit(lambda: by.set_result(threading.current_thread()))
    return by


def test_a_thread_does_one_job_after_the_other() -> None:
    pool = Workers(1)
    jobs = [do(pool) for _ in range(100)]
    assert len({job.result(PATIENCE) for job in jobs}) == 1


def test_threads_that_nobody_needs_end_and_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_PATIENCE", 0.01)
    pool = Workers(1)
    for _ in range(5):
        thread = do(pool).result(PATIENCE)
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no fork()")
    pool = Workers(1)
    do(pool).result(PATIENCE)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            do(pool).result(PATIENCE)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def default_timeout() -> Iterator[None]:
    socket.setdefaulttimeout(PATIENCE)
    yield
    socket.setdefaulttimeout(None)


@pytest.mark.usefixtures("default_timeout")
def test_a_watch_leaves_a_connection_as_it_is() -> None:
    if sys.platform == "win32":
        pytest.skip("Windows does not tell whether a socket blocks")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(None)
        watch = Watch()
        watch.hold(ours)
        assert os.get_blocking(ours.fileno())
        watch.let_go()
        watch.end()
        theirs.sendall(b"alive")
        assert ours.recv(5) == b"alive"
        with pytest.raises(TransportError, match="cancelled"):
            watch.hold(ours)
