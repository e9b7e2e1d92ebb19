"""A way to end a request over OpenSSL from another thread, wherever it has come to."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import urllib3

from msal_msi_v2.errors import TransportError, TransportFailure

from .early_answers import EarlyAnswersConnection

if TYPE_CHECKING:
    from collections.abc import Iterator

_current: ContextVar[Watch | None] = ContextVar("msal_msi_v2.watch", default=None)


class Watch:
    """Keeps an eye on one request and its answer, and ends both when told. Never blocks.

    It holds a descriptor of its own of the request's connection: what urllib3 and ssl have, they
    wrap and close in the thread that sends, and a closed one's number may be another's by then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_ended = False
        self._connection: socket.socket | None = None

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Watch what this thread sends within the block.

        Raises:
            TransportError: ``BROKEN``: it is not to be sent any more.
        """
        self.check()
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def check(self) -> None:
        """Go on only if the request has not been ended.

        Raises:
            TransportError: ``BROKEN``: it has.
        """
        if self._is_ended:
            raise TransportError(TransportFailure.BROKEN, "The request was cancelled.")

    def end(self) -> None:
        """Have nothing more sent, and nothing more waited for."""
        with self._lock:
            self._is_ended = True
            if self._connection is not None:
                with suppress(OSError):  # the server has ended it already
                    self._connection.shutdown(socket.SHUT_RDWR)
        self.let_go()

    def hold(self, connection: Any) -> None:
        """Take a connection that the request is about to be sent over.

        Raises:
            TransportError: ``BROKEN``: it is not to be sent any more.
        """
        with self._lock:
            self.check()
            held = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            held.settimeout(connection.gettimeout())  # blocking or not, they are it together
            self._connection = held

    def let_go(self) -> None:
        """Leave the connection to others."""
        with self._lock:
            held, self._connection = self._connection, None
        if held is not None:
            held.close()


class _Connection(EarlyAnswersConnection):
    watch: Watch | None = None

    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        try:
            self._be_watched(made)
        except BaseException:
            made.close()
            raise
        return made

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, watched also where the connection was made for another one."""
        if self.watch is None and self.sock is not None:
            self._be_watched(self.sock)
        super().request(*args, **options)

    def _be_watched(self, connection: Any) -> None:
        watch = _current.get()
        if watch is not None:
            watch.hold(connection)
            self.watch = watch


class WatchedPool(urllib3.HTTPSConnectionPool):
    """A pool of connections that can be watched."""

    ConnectionCls = _Connection

    def _put_conn(self, conn: Any) -> None:
        """Take a connection back, which from then on may be another request's."""
        if conn is not None and conn.watch is not None:
            conn.watch.let_go()
            conn.watch = None
        super()._put_conn(conn)
