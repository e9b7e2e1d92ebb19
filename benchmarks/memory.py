"""Whether memory stays flat over many acquisitions: hits, misses and new certificates."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

from .hosts import acquire, emulator_elsewhere, make_client
from .measuring import conclude, judge

if TYPE_CHECKING:
    from msal_msi_v2 import ManagedIdentityClient

ACQUISITIONS = 100_000
MOST = 100_000
"""Bytes: less than one for each acquisition."""
_WARM_UP = 25_000
_RESOURCES = 20
_MISS_EVERY = 250
_CERTIFICATE_EVERY = 2_500
_CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


def main() -> bool:
    """Measure; return whether the target is met."""
    with emulator_elsewhere():
        client = make_client()
        _work(client, _WARM_UP)
        before = _traced()
        _work(client, ACQUISITIONS)
        growth = _traced() - before
    misses, certificates = ACQUISITIONS // _MISS_EVERY, ACQUISITIONS // _CERTIFICATE_EVERY
    return judge(
        "memory",
        f"{growth:+,} bytes over {ACQUISITIONS:,} acquisitions, {misses} of them misses and "
        f"{certificates} with a new certificate",
        f"{MOST:+,} bytes",
        met=growth <= MOST,
    )


def _work(client: ManagedIdentityClient, acquisitions: int) -> None:
    for number in range(acquisitions):
        resource = f"https://resource-{number % _RESOURCES}.example"
        if number % _CERTIFICATE_EVERY == 0:
            acquire(client, resource, claims_challenge=_CLAIMS)
        else:
            acquire(client, resource, force_refresh=number % _MISS_EVERY == 0)


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _traced_from_the_start() -> int:
    """Run this in an interpreter that traces every allocation, and return its exit code.

    Where tracing starts later, a table of the interpreter's own that is moved counts as new.
    """
    command = [sys.executable, "-X", "tracemalloc", "-m", "benchmarks.memory", *sys.argv[1:]]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    if not tracemalloc.is_tracing():
        sys.exit(_traced_from_the_start())
    conclude(main())
