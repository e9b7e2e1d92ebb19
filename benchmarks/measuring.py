"""Samples of things that take turns, and the verdict on their ratio."""

from __future__ import annotations

import gc
import statistics
import sys
import timeit
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


class Samples:
    """How long one thing took, again and again.

    Attributes:
        quartile: The lower quartile, which is what is judged by. What else the machine does adds
            to the time, so that the lower half tells more than the upper one; and the least time
            of all hangs on one lucky sample, and says something else at every run.
        least: The shortest time.
        median: The median.
    """

    def __init__(self, seconds: list[float]) -> None:
        self.quartile = statistics.quantiles(seconds, n=4)[0]
        self.least = min(seconds)
        self.median = statistics.median(seconds)


def alternate(*samplers: Callable[[], float], rounds: int) -> list[Samples]:
    """Sample several things in turns, so that what disturbs the machine disturbs all of them.

    Args:
        samplers: Each does its thing once, and returns the seconds that it took.
        rounds: How many samples to take of each, after one that is thrown away.

    Returns:
        For each sampler its samples, in the order given.
    """
    taken: list[list[float]] = [[] for _ in samplers]
    order = list(zip(samplers, taken, strict=True))
    for _ in range(1 + rounds):
        for sample, seconds in order:
            seconds.append(sample())
        order.reverse()  # neither is always the one that goes first
    return [Samples(seconds[1:]) for seconds in taken]


def sampler(prepare: Callable[[], Callable[[], object]], calls: int = 1) -> Callable[[], float]:
    """Return what times a thing that needs preparing, the preparation not included.

    Args:
        prepare: Returns the thing, ready to be done.
        calls: How often it is done within one sample.
    """

    def sample() -> float:
        ready = prepare()
        gc.collect()
        return timeit.timeit(ready, number=calls) / calls

    return sample


def judge_ratio(what: str, ours: Samples, peer: Samples, peer_name: str, most: float) -> bool:
    """Print the ratio of two things with its verdict, and return whether the target is met."""
    ratio = ours.quartile / peer.quartile
    least, median = ours.least / peer.least, ours.median / peer.median
    detail = f"{ratio:.3f} x {peer_name} (of least times {least:.3f}, of medians {median:.3f})"
    return judge(what, detail, f"{most:g} x", met=ratio <= most)


def judge(what: str, detail: str, most: str, *, met: bool) -> bool:
    """Print a figure with its verdict, and return whether the target is met."""
    print(f"{'met   ' if met else 'MISSED'}  {what}: {detail}; target: at most {most}", flush=True)
    return met


def peak_memory() -> int:
    """Return this process's largest use of memory so far, in bytes; not on Windows."""
    if sys.platform == "win32":
        raise NotImplementedError
    import resource  # noqa: PLC0415 - there is none on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def conclude(*met: bool) -> NoReturn:
    """Exit: with 1 where a target is missed and the command line says ``--strict``."""
    sys.exit(1 if "--strict" in sys.argv[1:] and not all(met) else 0)
