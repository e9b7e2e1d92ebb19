"""Tokens for callers: from the cache, or through the flow once for all who ask at once."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from . import flow, persistence
from .caches import BoundToken
from .errors import MsiV2ServiceError
from .recovery import backoff, renewals_allowed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from .binding import Binding
    from .flow import Host, TokenRequest
    from .platforms import BindingKey
    from .protocol.token import TokenResponse
    from .strength import MtlsBindingStrength

logger = logging.getLogger("msal_msi_v2")

U = TypeVar("U")


@dataclass(frozen=True)
class Acquisition:
    """A token that somebody asks for, and how to make it.

    Attributes:
        name: What it is kept under.
        least_strength: The weakest binding that will do.
        variation: All else that decides what comes of it, so that nobody gets what only another
            one would accept.
        anew: Whether one that is kept will not do.
        make: Makes it.
    """

    name: Hashable
    least_strength: MtlsBindingStrength
    variation: Hashable
    anew: bool
    make: Callable[[], BoundToken]


def acquire_token(request: TokenRequest, host: Host) -> tuple[BoundToken, bool]:
    """Return a managed identity's token with what it is bound to, and whether it was kept.

    Raises:
        MsiV2Error: No bound token could be had.
    """
    acquisition = Acquisition(
        host.token_name(request),
        request.least_strength,
        (request.floor, request.claims, request.challenged),
        request.challenged or request.force_refresh,
        lambda: _make(request, host),
    )
    return carry_out(acquisition, host)


def carry_out(acquisition: Acquisition, host: Host) -> tuple[BoundToken, bool]:
    """Return a token, and whether it was kept; made once for all who ask at the same time."""
    name, tokens = acquisition.name, host.caches.tokens

    def look() -> BoundToken | None:
        now = host.clock.now()
        return None if acquisition.anew else tokens.get(name, acquisition.least_strength, now)

    def make() -> BoundToken:
        made = acquisition.make()
        tokens.put(name, made, host.clock.now())
        return made

    kept = look()
    if kept is None:
        flight = (name, acquisition.variation, acquisition.anew)
        # Another thread may have made it since.
        return host.caches.token_flights.run(flight, lambda: look() or make()), False
    if kept.refresh_at is not None and kept.refresh_at <= host.clock.now():
        host.caches.background.start(name, make, host.clock.now())
    return kept, True


def _make(request: TokenRequest, host: Host) -> BoundToken:
    name = host.token_name(request)
    key = flow.choose_key(request, host)  # first: what this host cannot do, no waiting mends
    host.caches.throttle.check(name, host.clock.now())
    if request.challenged:
        used = host.caches.bindings.get(name.binding, key.private_key, host.clock.now())
        binding = renew_binding(request, host, used, attest_afresh=False)
    else:
        binding = _binding(request, host, key)
    return ask_with_renewals(
        name,
        host,
        request.correlation_id,
        binding,
        ask=lambda used: (flow.request_token(request, host, used), used),
        renew=lambda used: renew_binding(request, host, used, attest_afresh=True),
    )


def ask_with_renewals(
    name: Hashable,
    host: Host,
    correlation_id: str,
    used: U,
    *,
    ask: Callable[[U], tuple[TokenResponse, Binding]],
    renew: Callable[[U], U],
    allowed: Callable[[MsiV2ServiceError], int] = renewals_allowed,
) -> BoundToken:
    """Ask the token service, with new certificates where those may mend what went wrong.

    Args:
        name: What the token will be kept under, and the service's refusal stands for.
        host: The host.
        correlation_id: The GUID of the acquisition.
        used: What to ask with.
        ask: Asks; returns the answer and the binding that it was asked for with.
        renew: Returns what to ask with in place of what was refused.
        allowed: How many renewals a failure is worth.

    Raises:
        MsiV2Error: The last failure.
    """
    renewals = 0
    while True:
        asked_at = host.clock.now()
        try:
            answer, binding = ask(used)
        except MsiV2ServiceError as exc:
            host.caches.throttle.heed(name, exc, host.clock.now())
            if renewals >= allowed(exc):
                raise
            logger.info("a new certificate may mend %s [%s]", exc.error, correlation_id)
            host.clock.sleep(backoff(renewals, random.random()))  # noqa: S311 - jitter
            used = renew(used)
            renewals += 1
        else:
            refresh_at = None if answer.refresh_in is None else asked_at + answer.refresh_in
            expires_at = asked_at + answer.expires_in
            return BoundToken(answer, binding, expires_at, refresh_at, correlation_id)


def _binding(request: TokenRequest, host: Host, key: BindingKey) -> Binding:
    """Return the binding to use: the one in memory, a persisted one, or a new one."""
    name = host.binding_name(request)
    kept = host.caches.bindings.get(name, key.private_key, host.clock.now())
    if kept is not None:
        if kept.certificate.half_life <= host.clock.now():
            work = partial(_replace_early, request, host, key)
            host.caches.background.start(name, work, host.clock.now())
        return kept

    def make() -> Binding:
        kept = host.caches.bindings.get(name, key.private_key, host.clock.now())
        if kept is not None:
            return kept
        made = persistence.load(host, name, key)
        if made is None:
            made = flow.issue_binding(request, host, key, afresh=False, attest_afresh=False)
            persistence.save(host, name, made)
        host.caches.bindings.put(name, made)
        return made

    return host.caches.binding_flights.run((name, key.private_key), make)


def renew_binding(
    request: TokenRequest, host: Host, failed: Binding | None, *, attest_afresh: bool
) -> Binding:
    """Drop a binding with its tokens, and return the one that takes its place.

    Many threads may have failed with the same binding; the first one renews it for all.

    Args:
        request: Whose binding.
        host: What to renew it with.
        failed: The binding; ``None``: there is none yet, and IMDS's cache shall not serve one.
        attest_afresh: Whether the attestation, too, may be at fault.
    """
    name = host.binding_name(request)

    def make() -> Binding:
        key = flow.choose_key(request, host)
        if failed is not None:
            host.caches.tokens.drop(failed)
        kept = host.caches.bindings.get(name, key.private_key, host.clock.now())
        if kept is not None and kept is not failed:
            return kept
        if failed is not None:
            host.caches.bindings.drop(name, failed)
            persistence.remove(host, name)
        made = flow.issue_binding(request, host, key, afresh=True, attest_afresh=attest_afresh)
        persistence.save(host, name, made)
        host.caches.bindings.put(name, made)
        return made

    return host.caches.binding_flights.run((name, failed, request.floor), make)


def _replace_early(request: TokenRequest, host: Host, key: BindingKey) -> None:
    """Have a new certificate before the one in use is too old; its tokens stay good."""
    made = flow.issue_binding(request, host, key, afresh=True, attest_afresh=False)
    name = host.binding_name(request)
    persistence.save(host, name, made)
    host.caches.bindings.put(name, made)
