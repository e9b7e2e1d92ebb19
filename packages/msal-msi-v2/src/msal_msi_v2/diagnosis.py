"""Why a host does, or does not, get a bound token: one finding for each thing that it takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal

import requests.utils

from . import persistence, requirements
from .errors import MsiV2Error
from .protocol import metadata
from .protocol.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .flow import Host, TokenRequest
    from .protocol.messages import Response

Status = Literal["ok", "warning", "problem"]

_ONCE = RetryPolicy(frozenset(), retries=0, retries_when_gone=0)
_TOLERATED_SKEW = 300.0


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes:
        name: The thing, e.g. ``clock``.
        status: ``problem``: without it there is no bound token as asked for. ``warning``: it may
            cause trouble later.
        found: What was found.
        advice: What to do about it; empty where there is nothing to do.
    """

    name: str
    status: Status
    found: str
    advice: str = ""


def diagnose(host: Host, request: TokenRequest) -> Iterator[Finding]:
    """Yield the findings for a token request, without making it.

    Args:
        host: What the request would be carried out with.
        request: The request: identity, attestation and floor count.
    """
    yield _environment()
    yield _proxies(host)
    yield from _imds(host, request)
    yield _key(host, request)
    yield _attestation(host, request)
    yield _store(host, request)


def wrong_setting(exc: MsiV2Error) -> Finding:
    """Return the finding of a setting without which there is nothing to examine."""
    return _problem("settings", exc)


def _problem(name: str, exc: MsiV2Error, advice: str = "") -> Finding:
    return Finding(name, "problem", f"{exc.error}: {exc.error_description}", advice)


def _environment() -> Finding:
    try:
        requirements.check_environment()
    except MsiV2Error as exc:
        return _problem("environment", exc, "Run this on the VM itself.")
    return Finding("environment", "ok", "no other managed identity endpoint is configured")


def _proxies(host: Host) -> Finding:
    captured = requests.utils.get_environ_proxies(host.imds_base, no_proxy=None)
    proxy = requests.utils.select_proxy(host.imds_base, captured)
    if proxy is None:
        return Finding("proxies", "ok", "no proxy would capture IMDS")
    return Finding(
        "proxies",
        "warning",
        "the environment sends requests for IMDS to a proxy; this library bypasses it, others "
        "may not",
        f"Add {host.imds_base.split('//')[1]} to NO_PROXY.",
    )


def _imds(host: Host, request: TokenRequest) -> Iterator[Finding]:
    message = metadata.build_request(host.imds_base, request.identity, request.correlation_id)
    try:
        response = host.imds.send(message, _ONCE)
    except MsiV2Error as exc:
        yield _problem("imds", exc)
        return
    try:
        machine = metadata.parse_response(response)
    except MsiV2Error as exc:
        advice = ""
        if response.status == 400:  # noqa: PLR2004 - HTTP's own number
            advice = "Assign the identity to this VM, or name the right one."
        yield _problem("imds", exc, advice)
        return
    yield Finding("imds", "ok", f"version 2 at {host.imds_base}")
    found = f"client {machine.client_id}, tenant {machine.tenant_id}"
    yield Finding("identity", "ok", found)
    yield _clock(host, response)


def _clock(host: Host, response: Response) -> Finding:
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
        skew = host.clock.now() - theirs.timestamp()
    except (ValueError, TypeError):
        return Finding("clock", "warning", "IMDS does not tell the time, so it was not compared")
    if abs(skew) <= _TOLERATED_SKEW:
        return Finding("clock", "ok", f"within {abs(skew):.0f} s of IMDS's")
    return Finding(
        "clock",
        "problem",
        f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} IMDS's",
        "Set the clock: certificates and tokens are valid by it.",
    )


def _key(host: Host, request: TokenRequest) -> Finding:
    try:
        key = host.platform.key_store.get_key()
        requirements.check_strength(key, request.floor, attested=request.attested)
    except MsiV2Error as exc:
        return _problem("key", exc)
    reasons = "".join(f"; {reason}" for reason in key.unavailable)
    return Finding("key", "ok", f"RSA {key.private_key.key_size}, {key.strength.name}{reasons}")


def _attestation(host: Host, request: TokenRequest) -> Finding:
    try:
        requirements.require_attestor(host.platform)
    except MsiV2Error as exc:
        found = _problem("attestation", exc)
        if request.attested:
            return found
        return Finding("attestation", "warning", f"{found.found} It was not asked for.")
    library = getattr(host.platform, "attestation_library", None)
    loaded = "there is an attestor" if library is None else f"{library} loads"
    return Finding("attestation", "ok", loaded)


def _store(host: Host, request: TokenRequest) -> Finding:
    store = host.platform.certificate_store
    if store is None:
        setting = os.environ.get("MSAL_MI_DISABLE_PERSISTENT_CERT_CACHE", "")
        off = setting.lower() in {"1", "true"}
        reason = "MSAL_MI_DISABLE_PERSISTENT_CERT_CACHE is set" if off else "the platform has none"
        return Finding("store", "ok", f"certificates are not kept across processes: {reason}")
    try:
        key = host.platform.key_store.get_key()
    except MsiV2Error:
        return Finding("store", "warning", "not looked into, for want of a key")
    kept = persistence.load(host, host.binding_name(request), key)
    if kept is None:
        return Finding("store", "ok", "holds no certificate to use for this identity and key yet")
    return Finding("store", "ok", f"holds {kept.certificate!r} for {kept.endpoint}")


def is_capable(findings: list[Finding]) -> bool:
    """Tell whether nothing stands in the way of a bound token."""
    return all(finding.status != "problem" for finding in findings)
