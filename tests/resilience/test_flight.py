"""One flight, whoever leads it, and however it ends."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time

import pytest

from msal_msi_v2.flight import SingleFlight


def together(count: int, work: object) -> None:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_a_failure_that_is_not_ours_is_everybodys_too() -> None:
    flights: SingleFlight[int] = SingleFlight()
    made, caught = [], []

    def make() -> int:
        made.append(1)
        time.sleep(0.5)
        raise OSError("the HSM is not there")

    def work() -> None:
        try:
            flights.run("", make)
        except OSError as exc:
            caught.append(str(exc))

    together(8, work)
    assert (len(made), caught) == (1, ["the HSM is not there"] * 8)


def test_after_an_interrupt_the_next_one_takes_over() -> None:
    flights: SingleFlight[int] = SingleFlight()
    made, results, interrupted = [], [], []

    def make() -> int:
        made.append(1)
        time.sleep(0.3)
        if len(made) == 1:
            raise KeyboardInterrupt
        return 7

    def work() -> None:
        try:
            results.append(flights.run("", make))
        except KeyboardInterrupt:
            interrupted.append(1)

    together(8, work)
    assert (len(made), len(interrupted), results) == (2, 1, [7] * 7)


class Interrupt(BaseException):
    pass


def interrupt(*_: object) -> None:
    raise Interrupt


def test_an_interrupt_at_any_point_leaves_nobody_waiting() -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no timer signals")
    flights: SingleFlight[int] = SingleFlight()
    stop = threading.Event()
    threads = [threading.Thread(target=lambda: fly(flights, stop), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    before = signal.signal(signal.SIGVTALRM, interrupt)
    count, until = 0, time.monotonic() + 3
    try:
        while time.monotonic() < until:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, random.uniform(1e-5, 1e-3))
                fly(flights, threading.Event())
            except Interrupt:  # noqa: PERF203 - this is what it is about
                count += 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert count > 100
    assert flights.run("", lambda: 7) == 7


def fly(flights: SingleFlight[int], stop: threading.Event) -> None:
    while not stop.is_set():
        flights.run("", lambda: 0)
