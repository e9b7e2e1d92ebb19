"""One flight: however many threads ask for the same thing at once, it is made once."""

from __future__ import annotations

import copy
import logging
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import MsiV2Error
from .fork import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

logger = logging.getLogger("msal_msi_v2")

V = TypeVar("V")
_REST = 60.0
"""Seconds for which work that failed is not started again."""


class _Flight(Generic[V]):
    """What some threads want at the same time.

    Attributes:
        lock: Held by the one who makes it.
        values: It, once it is made.
        failure: Why it could not be made.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: tuple[V, ...] = ()
        self.failure: Exception | None = None

    @property
    def is_over(self) -> bool:
        return bool(self.values) or self.failure is not None


class SingleFlight(Generic[V]):
    """Lets one thread make a thing, and the others that want it wait for it."""

    def __init__(self) -> None:
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Forget the flights; the threads that lead them are not in this process."""
        self._flights: dict[Hashable, _Flight[V]] = {}

    def run(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return what ``make`` returns, whoever's ``make`` it was.

        A failure is everybody's who waited. An interrupt is not: the next one takes over.

        Args:
            key: What is to be made; threads with the same key share.
            make: Makes it.
        """
        flight = self._join(key)
        with flight.lock:  # which an interrupt, at whatever point, does not leave locked
            if not flight.is_over:
                try:
                    flight.values = (make(),)
                except Exception as exc:
                    flight.failure = exc
                    raise
                finally:
                    self._forget(key, flight)
            elif isinstance(flight.failure, MsiV2Error):  # each gets a traceback of its own
                raise copy.copy(flight.failure) from flight.failure.__cause__
            elif flight.failure is not None:
                raise flight.failure
        return flight.values[0]

    def _join(self, key: Hashable) -> _Flight[V]:
        while True:
            flight = self._flights.setdefault(key, _Flight())
            if not flight.is_over:
                return flight
            self._forget(key, flight)  # an interrupt kept the one who led it from doing so

    def _forget(self, key: Hashable, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            self._flights.pop(key, None)


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
