"""A bound token from the cache, against msal's bearer token from its cache."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from msal_msi_v2 import MtlsBindingStrength

from .hosts import acquire, emulator_here, make_bearer_client, make_client
from .measuring import alternate, conclude, judge_ratio, sampler

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 0.5
ROUNDS = 25
CALLS = 2000
_FLOOR = MtlsBindingStrength.SOFTWARE


def main(number: int) -> bool:
    """Compare with as many tokens in each cache; return whether the target is met."""
    resources = [f"https://resource-{index}.example" for index in range(number)]
    with emulator_here():
        bound, bearer = make_client(), make_bearer_client()
        for resource in resources:
            acquire(bound, resource)
            bearer.acquire_token_for_client(resource=resource)

    def prepare_ours() -> Callable[[], object]:
        following = itertools.cycle(resources)
        return lambda: bound.acquire_token_for_client(
            resource=next(following), mtls_proof_of_possession=True, min_strength=_FLOOR
        )

    def prepare_peer() -> Callable[[], object]:
        following = itertools.cycle(resources)
        return lambda: bearer.acquire_token_for_client(resource=next(following))

    samplers = sampler(prepare_ours, CALLS), sampler(prepare_peer, CALLS)
    ours, peer = alternate(*samplers, rounds=ROUNDS)
    what = f"cached acquisition, {number} resource{'s' if number > 1 else ''}"
    return judge_ratio(what, ours, peer, "msal's", MOST)


if __name__ == "__main__":
    conclude(main(1), main(1000))
