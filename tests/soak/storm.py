"""The threads that ask, and the one that makes things go wrong for them."""

from __future__ import annotations

import random
import threading
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msal_msi_v2 import MsiV2Error

from .checks import check_error, check_result
from .timeline import LONGEST_STEP_BACK
from .weather import LEGS, random_fault

if TYPE_CHECKING:
    from msal_msi_v2.emulator import MsiV2Emulator

    from .timeline import Timeline
    from .witness import Witness
    from .world import Ask, World

_HOUR = 3600.0
_DAY = 24 * _HOUR
_CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
_GUID = "6f2f6d5e-9d0c-4f0a-8f43-0d2b7a7d3f11"
_OPTIONS: tuple[dict[str, Any], ...] = (
    {"force_refresh": True},
    {"claims_challenge": _CLAIMS},
    {"correlation_id": _GUID},
)


class Worker(threading.Thread):
    """Asks, and checks every answer.

    Attributes:
        busy_since: When the question under way was asked, monotonic seconds; 0: none is.
    """

    def __init__(
        self, name: str, world: World, witness: Witness, timeline: Timeline, stop: threading.Event
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._rng = random.Random(name)
        self._world = world
        self._witness = witness
        self._timeline = timeline
        self._stop_asking = stop
        self.busy_since = 0.0

    def run(self) -> None:
        while not self._stop_asking.is_set():
            ask = self._world.choose(self._rng)
            if self._rng.random() < 0.1:
                ask = replace(ask, options=self._rng.choice(_OPTIONS))
            for _ in range(self._rng.choice([1, 1, 2, 30])):
                self.busy_since = time.monotonic()
                examine(ask, self._witness, self._timeline)
            if self._rng.random() < 0.002:
                self._find_capabilities(ask)
            self.busy_since = 0.0
            time.sleep(self._rng.choice([0, 0, 0.001, 0.005]))

    def _find_capabilities(self, ask: Ask) -> None:
        try:
            self._witness.count(f"capabilities of {ask.client.get_capabilities().source}")
        except Exception:  # noqa: BLE001 - it raises nothing but settings that are wrong
            self._witness.complain(f"get_capabilities():\n{traceback.format_exc()}")


def examine(ask: Ask, witness: Witness, timeline: Timeline) -> dict[str, Any] | None:
    """Ask, check what comes back, and return it if it is a token."""
    before = timeline.now()
    try:
        result = ask.acquire()
    except Exception as exc:  # noqa: BLE001 - whatever is raised is what is examined
        witness.count(f"error {exc.error if isinstance(exc, MsiV2Error) else type(exc).__name__}")
        for complaint in check_error(ask, exc):
            witness.complain(f"{complaint}; {describe(ask)}\n{traceback.format_exc()}")
        return None
    witness.count(f"token from {result['token_source']}")
    for complaint in check_result(ask, result, witness, before):
        witness.complain(f"{complaint}; {describe(ask)}")
    return result


def describe(ask: Ask) -> str:
    """Return what was asked for, for a complaint."""
    kind = "KeyGuard" if ask.has_keyguard else "software"
    return (
        f"asked of a {kind} platform for {ask.identity.client_id} {ask.resource} "
        f"attested={ask.attested} floor={ask.floor!r} {ask.capabilities} {ask.options}"
    )


class Director:
    """Makes things go wrong, a little at a time."""

    def __init__(
        self, seed: int, emulator: MsiV2Emulator, timeline: Timeline, world: World, witness: Witness
    ) -> None:
        self._rng = random.Random(seed)
        self._emulator = emulator
        self._timeline = timeline
        self._world = world
        self._witness = witness

    def act(self) -> None:
        """Do one thing, most often add a fault."""
        likely = [(self._add_fault, 60), (self._clear_up, 6), (self._step_clock, 4)]
        rare = [(self._revoke, 4), (self._kill_key, 2), (self._restart, 1), (self._outage, 2)]
        actions, weights = zip(*likely, *rare, strict=True)
        action = self._rng.choices(actions, weights)[0]
        self._witness.count(f"event {action.__name__.strip('_')}")
        action()

    def _add_fault(self) -> None:
        leg = self._rng.choice(LEGS)
        times = self._rng.choice([1, 1, 1, 2, 4])
        self._emulator.faults.add(leg, random_fault(self._rng, leg), times=times)

    def _clear_up(self) -> None:
        self._emulator.faults.clear()
        self._emulator.clear_requests()  # which otherwise grow without bound

    def _outage(self) -> None:
        leg = self._rng.choice(LEGS)
        self._emulator.faults.add(leg, random_fault(self._rng, leg), times=30)

    def _step_clock(self) -> None:
        steps = [-LONGEST_STEP_BACK, -10, 61, 301, _HOUR, 6 * _HOUR, _DAY, 3.6 * _DAY, 8 * _DAY]
        self._timeline.jump(self._rng.choices(steps, [4, 4, 8, 8, 8, 4, 2, 2, 1])[0])

    def _revoke(self) -> None:
        certificates = list(self._witness.certificates)
        if self._rng.random() < 0.3 or not certificates:
            self._emulator.revoke_all()
        else:
            self._emulator.revoke(self._rng.choice(certificates[-20:]))

    def _kill_key(self) -> None:
        self._rng.choice(self._world.platforms).key_store.die()

    def _restart(self) -> None:
        self._world.restart(self._rng.randrange(len(self._world.platforms)))
