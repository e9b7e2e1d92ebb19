"""Requests that threads send for tasks, under asyncio and trio."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.lowlevel

from .watching import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    from msal_msi_v2.platforms import TransportResponse

    from .workers import Workers

_PIECE = 65536
_Result = TypeVar("_Result")


class Errand:
    """One request and its answer, which threads see to while a task waits.

    The task may give it up at any time. From then on nothing is sent any more, and the answer is
    closed: at once, or by the thread that is busy with it, as soon as it is through.

    Attributes:
        watch: What the request must be sent under.
    """

    def __init__(self, workers: Workers) -> None:
        """Make one for the running event loop; nothing else may wait for it."""
        self.watch = Watch()
        self._workers = workers
        self._call_soon = _call_soon()
        self._told = anyio.Event()
        self._lock = threading.Lock()
        self._is_busy = False
        self._is_given_up = False
        self._answer: TransportResponse | None = None
        self._body: Iterator[bytes] = iter(())
        self._upload: SimpleQueue[bytes | None] = SimpleQueue()

    async def send(
        self,
        call: Callable[[bytes | Iterable[bytes]], TransportResponse],
        body: bytes | AsyncIterable[bytes],
    ) -> TransportResponse:
        """Send the request, and return as soon as status and headers are here.

        Args:
            call: Sends it, in a thread.
            body: Pieces are produced by the task itself, as the thread gets rid of them.

        Raises:
            Exception: Whatever the call, or the body, raises.
        """
        if isinstance(body, bytes):
            return await self._do(lambda: self._keep(call(body)))
        pieces = aiter(body)
        try:
            return await self._do(lambda: self._keep(call(self._uploaded())), pieces)
        finally:
            # httpx does not close the generator that its caller gave it.
            for generator in (pieces, getattr(body, "_stream", None)):
                if inspect.isasyncgen(generator):
                    await generator.aclose()

    async def read(self) -> bytes:
        """Return the next piece of the answer's body; nothing at its end."""
        return await self._do(lambda: next(self._body, b""))

    def give_up(self) -> None:
        """Send and read nothing more, and have the answer closed. Never blocks."""
        with self._lock:
            self._is_given_up = True
            answer = None if self._is_busy else self._take()
        self.watch.end()
        self._upload.put(None)
        if answer is not None:
            self._workers.submit(answer.close)

    async def _do(
        self, work: Callable[[], _Result], pieces: AsyncIterator[bytes] | None = None
    ) -> _Result:
        outcome: Future[_Result] = Future()
        try:
            with self._lock:
                self._workers.submit(partial(copy_context().run, self._work, work, outcome))
                self._is_busy = True
            while not outcome.done():
                await self._told.wait()
                self._told = anyio.Event()
                if pieces is not None and not outcome.done():
                    self._upload.put(await anext(pieces, None))
            return outcome.result()
        except BaseException:
            self.give_up()
            raise

    # --- in a thread

    def _work(self, work: Callable[[], Any], outcome: Future[Any]) -> None:
        try:
            self.watch.check()  # it may have waited for this thread for long
            finish = partial(outcome.set_result, work())
        except BaseException as exc:  # noqa: BLE001 - the task's to see
            finish = partial(outcome.set_exception, exc)
        with self._lock:
            self._is_busy = False
            answer = self._take() if self._is_given_up else None
        if answer is not None:
            answer.close()
        finish()
        self._tell()

    def _keep(self, answer: TransportResponse) -> TransportResponse:
        self._answer, self._body = answer, answer.iter_bytes(_PIECE)
        return answer

    def _take(self) -> TransportResponse | None:
        answer, self._answer = self._answer, None
        return answer

    def _uploaded(self) -> Iterator[bytes]:
        while True:
            self._tell()
            piece = self._upload.get()
            self.watch.check()
            if piece is None:
                return
            yield piece

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            self._call_soon(self._hear)

    # --- in the event loop again

    def _hear(self) -> None:
        self._told.set()


def _call_soon() -> Callable[[Callable[[], object]], object]:
    """Return what has the running event loop call a function, from any thread."""
    token: Any = anyio.lowlevel.current_token()
    loop = getattr(token, "native_token", token)  # the token itself before anyio 4.11
    found: Any = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon
    return found  # type: ignore[no-any-return]
