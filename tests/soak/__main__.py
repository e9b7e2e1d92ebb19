"""Run the soak test; the exit code is 1 where anything was wrong, 2 where threads hang."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import secrets
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msal_msi_v2.emulator import MsiV2Emulator

from .storm import Director, Worker, describe, examine
from .timeline import Timeline
from .witness import Witness
from .world import IDENTITIES, World

if TYPE_CHECKING:
    from collections.abc import Sequence

THREADS = 16
_LONGEST_ASK = 90.0
"""Seconds: no question takes as long as this, whatever goes wrong; its thread hangs."""
_PACE = 0.02
_REPORT_EVERY = 30.0
_LONGEST_EXAMPLE = 2000


def main() -> int:
    """Run, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3, help="how long the storm lasts")
    parser.add_argument("--seed", type=int, help="of what happens; threads stay unpredictable")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    _say(f"seed {seed}, {options.minutes:g} minutes, {THREADS} threads")
    sys.setswitchinterval(1e-4)  # threads get in each other's way more often
    witness = _make_witness()
    with MsiV2Emulator(identities=IDENTITIES, refresh_in=12 * 3600) as emulator:
        os.environ.update(emulator.environment, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
        timeline = Timeline(emulator)
        world = World(emulator, timeline, witness)
        stop = threading.Event()
        names = [f"soak-{seed}-{number}" for number in range(THREADS)]
        workers = [Worker(name, world, witness, timeline, stop) for name in names]
        director = Director(seed, emulator, timeline, world, witness)
        _storm(workers, stop, director, witness, options.minutes * 60)
        emulator.faults.clear()
        emulator.revoke_all()
        timeline.jump(2 * 3600)  # no refusal, and no rest after one, is as long as this
        _calm(world, witness, timeline)
    return _report(witness)


def _make_witness() -> Witness:
    """Return a witness to all that is logged, and to what ends a thread or a finalizer."""
    witness = Witness()
    logger = logging.getLogger("msal_msi_v2")
    logger.addHandler(witness)
    logger.setLevel(logging.INFO)

    def thread_died(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread else "?"
        trace = traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)
        witness.complain(f"the thread {name} died:\n{''.join(trace)}")

    def not_raised(args: Any) -> None:
        witness.complain(f"{args.err_msg or 'ignored'}: {args.exc_value!r} in {args.object!r}")

    threading.excepthook = thread_died
    sys.unraisablehook = not_raised
    return witness


def _storm(
    workers: Sequence[Worker],
    stop: threading.Event,
    director: Director,
    witness: Witness,
    seconds: float,
) -> None:
    """Let the workers ask while things go wrong, and see that none of them hangs."""
    started = reported = time.monotonic()
    for worker in workers:
        worker.start()
    while (now := time.monotonic()) - started < seconds:
        director.act()
        if any(worker.busy_since and now - worker.busy_since > _LONGEST_ASK for worker in workers):
            _give_up()
        if now - reported > _REPORT_EVERY:
            reported = now
            asked = sum(count for what, count in witness.counts.items() if _is_answer(what))
            _say(f"{now - started:6.0f} s {asked:9,} asked")
        time.sleep(_PACE)
    stop.set()
    for worker in workers:
        worker.join(_LONGEST_ASK)
        if worker.is_alive():
            _give_up()


def _give_up() -> None:
    """Say where every thread is, and end without waiting for them."""
    faulthandler.dump_traceback(all_threads=True)
    _say("FAILED: a thread hangs; see above where each of them is")
    os._exit(2)


def _calm(world: World, witness: Witness, timeline: Timeline) -> None:
    """See that nothing is broken for good: all is had that can be had, and then is cached."""
    _await_background(witness)
    for ask in world.everything():
        if (examine(ask, witness, timeline) is not None) != ask.can_be_had:
            witness.complain(f"not as it should be, once all is well again; {describe(ask)}")
        elif ask.can_be_had and ask.acquire()["token_source"] != "cache":
            witness.complain(f"not cached, once all is well again; {describe(ask)}")
    _await_background(witness)
    _bury_the_keys(world, witness, timeline)
    for platform in world.platforms:
        caches = vars(platform)["_msal_msi_v2_caches"]
        for what in (caches.token_flights._flights, caches.binding_flights._flights):
            if what:
                witness.complain(f"a flight never landed: {list(what)}")


def _bury_the_keys(world: World, witness: Witness, timeline: Timeline) -> None:
    """See that nothing new is bound to a key that is dead."""
    for platform in world.platforms:
        platform.key_store.die()
    for ask in world.everything():
        if ask.can_be_had:
            result = examine(replace(ask, options={"force_refresh": True}), witness, timeline)
            key = ask.platform.key_store.get_key().private_key
            if result is None or result["binding_certificate"].private_key is not key:
                witness.complain(f"no token over the new key; {describe(ask)}")
    _await_background(witness)


def _await_background(witness: Witness) -> None:
    for thread in threading.enumerate():
        if thread.name == "msal-msi-v2":
            thread.join(_LONGEST_ASK)
            if thread.is_alive():
                witness.complain("a background thread does not end")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the program's output


def _is_answer(what: str) -> bool:
    return what.startswith(("token from", "error "))


def _report(witness: Witness) -> int:
    _say(f"\n{len(witness.certificates)} certificates issued, and:")
    for what, count in sorted(witness.counts.items()):
        _say(f"{count:9,}  {what}")
    complaints = witness.complaints
    for kind, count in Counter(complaint.partition(";")[0] for complaint in complaints).items():
        example = next(complaint for complaint in complaints if complaint.startswith(kind))
        _say(f"\nWRONG, {count} times, for example: {example[:_LONGEST_EXAMPLE]}")
    _say(f"\n{'FAILED' if complaints else 'passed'}: {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
