"""Tokens for callers: from the cache, or through the flow once for all who ask at once."""

from __future__ import annotations

import logging
import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from . import flow, persistence
from .caches import BoundToken
from .errors import MsiV2ServiceError
from .recovery import backoff, renewals_allowed

if TYPE_CHECKING:
    from .binding import Binding
    from .flow import Host, TokenRequest
    from .platforms import BindingKey

logger = logging.getLogger("msal_msi_v2")


def acquire_token(request: TokenRequest, host: Host) -> tuple[BoundToken, bool]:
    """Return a token with what it is bound to, and whether it came from the cache.

    Raises:
        MsiV2Error: No bound token could be had.
    """
    name = host.token_name(request)
    kept = None if request.challenged or request.force_refresh else _cached(request, host)
    if kept is not None:
        if kept.refresh_at is not None and kept.refresh_at <= host.clock.now():
            again = replace(request, force_refresh=True)
            host.caches.background.start(name, lambda: _make(again, host), host.clock.now())
        return kept, True
    # All that decides what comes of it: nobody gets what only another one would accept.
    key = (name, request.floor, request.claims, request.challenged, request.force_refresh)
    return host.caches.token_flights.run(key, lambda: _make(request, host)), False


def _cached(request: TokenRequest, host: Host) -> BoundToken | None:
    name = host.token_name(request)
    return host.caches.tokens.get(name, request.least_strength, host.clock.now())


def _make(request: TokenRequest, host: Host) -> BoundToken:
    """Make a token, unless another thread has just done so."""
    if not (request.challenged or request.force_refresh):
        kept = _cached(request, host)
        if kept is not None:
            return kept
    name = host.token_name(request)
    key = flow.choose_key(request, host)  # first: what this host cannot do, no waiting mends
    host.caches.throttle.check(name, host.clock.now())
    if request.challenged:
        used = host.caches.bindings.get(name.binding, key.private_key, host.clock.now())
        binding = _renew(request, host, used, attest_afresh=False)
    else:
        binding = _binding(request, host, key)
    made = _request_token(request, host, binding)
    host.caches.tokens.put(name, made, host.clock.now())
    return made


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


def _renew(
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
        kept = host.caches.bindings.get(name, key.private_key, host.clock.now())
        if kept is not None and kept is not failed:
            return kept
        if failed is not None:
            host.caches.bindings.drop(name, failed)
            host.caches.tokens.drop(failed)
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


def _request_token(request: TokenRequest, host: Host, binding: Binding) -> BoundToken:
    """Ask for a token, with new certificates where those may mend what went wrong."""
    renewals = 0
    while True:
        asked_at = host.clock.now()
        try:
            answer = flow.request_token(request, host, binding)
        except MsiV2ServiceError as exc:
            host.caches.throttle.heed(host.token_name(request), exc, host.clock.now())
            if renewals >= renewals_allowed(exc):
                raise
            logger.info("a new certificate may mend %s [%s]", exc.error, request.correlation_id)
            host.clock.sleep(backoff(renewals, random.random()))  # noqa: S311 - jitter
            binding = _renew(request, host, binding, attest_afresh=True)
            renewals += 1
        else:
            refresh_at = None if answer.refresh_in is None else asked_at + answer.refresh_in
            expires_at = asked_at + answer.expires_in
            guid = request.correlation_id
            return BoundToken(answer, binding, expires_at, refresh_at, guid)
