"""One flight: however many threads ask for the same thing at once, it is made once."""

from __future__ import annotations

import copy
import logging
import threading
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import MsiV2Error
from .fork import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

logger = logging.getLogger("msal_msi_v2")

V = TypeVar("V")
_REST = 60.0
"""Seconds for which work that failed is not started again."""


class SingleFlight(Generic[V]):
    """Lets one thread make a thing, and the others that want it wait for it."""

    def __init__(self) -> None:
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Forget the flights; the threads that lead them are not in this process."""
        self._flights: dict[Hashable, Future[V]] = {}
        self._lock = threading.Lock()

    def run(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return what ``make`` returns, whoever's ``make`` it was.

        A failure is everybody's who waited. An interrupt is not: the next one takes over.

        Args:
            key: What is to be made; threads with the same key share.
            make: Makes it.
        """
        while True:
            with self._lock:
                flight = self._flights.get(key)
                if flight is None:
                    mine: Future[V] = Future()
                    self._flights[key] = mine
            if flight is None:
                return self._lead(key, mine, make)
            try:
                return flight.result()
            except CancelledError:
                continue
            except MsiV2Error as exc:
                raise copy.copy(exc) from exc.__cause__

    def _lead(self, key: Hashable, flight: Future[V], make: Callable[[], V]) -> V:
        try:
            value = make()
        except MsiV2Error as exc:
            self._land(key, flight)
            flight.set_exception(exc)
            raise
        except BaseException:
            self._land(key, flight)
            flight.cancel()
            raise
        self._land(key, flight)
        flight.set_result(value)
        return value

    def _land(self, key: Hashable, flight: Future[V]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:  # a fork may have taken it away
                del self._flights[key]


class Background:
    """Does things in threads of their own: one at a time for each name."""

    def __init__(self) -> None:
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Forget what is under way; it is not in this process."""
        self._running: set[Hashable] = set()
        self._resting: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def start(
        self, name: Hashable, work: Callable[[], object], now: float, *, daemon: bool = True
    ) -> None:
        """Start some work, unless work of that name is under way, or failed a moment ago.

        Args:
            name: What it is.
            work: Does it; a failure is logged.
            now: The time, Unix seconds.
            daemon: Whether the interpreter may exit in the middle of it.
        """
        with self._lock:
            if name in self._running or now < self._resting.get(name, 0.0) <= now + _REST:
                return
            self._running.add(name)
        thread = threading.Thread(
            target=self._run, args=(name, work, now), daemon=daemon, name="msal-msi-v2"
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is exiting
            self._finish(name)

    def _run(self, name: Hashable, work: Callable[[], object], now: float) -> None:
        try:
            work()
        except Exception as exc:  # noqa: BLE001 - nobody waits for it, so it is told and tried again later
            self._resting[name] = now + _REST
            logger.warning("work in the background failed, and will be tried again: %s", exc)
        else:
            self._resting.pop(name, None)
        finally:
            self._finish(name)

    def _finish(self, name: Hashable) -> None:
        with self._lock:
            self._running.discard(name)
