"""What this host can do, found out without acquiring anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msal.managed_identity as msal_mi

from .errors import MsiV2Error
from .protocol import probe
from .protocol.retry import IMDS_PROBE
from .requirements import ENVIRONMENTS
from .strength import MtlsBindingStrength

if TYPE_CHECKING:
    from .flow import Host
    from .protocol.identity import Identity


@dataclass(frozen=True)
class ManagedIdentityCapabilities:
    """What this host can do.

    Attributes:
        source: Where its tokens come from: ``imds``, ``app_service``, ``service_fabric``,
            ``machine_learning``, ``cloud_shell``, ``azure_arc`` or ``none``.
        max_supported_binding_strength: The strongest binding that it can make.
        is_mtls_pop_supported_by_host: Whether it issues bound tokens at all.
        error_reason: Why it cannot do more; ``None`` where nothing is missing.
    """

    source: str
    max_supported_binding_strength: MtlsBindingStrength
    is_mtls_pop_supported_by_host: bool
    error_reason: str | None = None


def find_capabilities(host: Host, identity: Identity) -> ManagedIdentityCapabilities:
    """Return what a host can do; an answer is kept, a failure to get one is not."""
    environment = ENVIRONMENTS.get(msal_mi.get_managed_identity_source())
    if environment is not None:
        reason = "Bound tokens need an Azure VM or scale set; this environment has bearer ones."
        return _incapable(environment[0], reason)
    name = (host.imds_base, identity)
    known = host.caches.capabilities.get(name)
    if known is not None:
        return known
    try:
        found, sure = _probe(host, identity)
    except MsiV2Error as exc:
        return _incapable("none", str(exc))
    if sure:
        host.caches.capabilities[name] = found
    return found


def _probe(host: Host, identity: Identity) -> tuple[ManagedIdentityCapabilities, bool]:
    """Return what the probes say, and whether they would say so again."""
    base = host.imds_base
    v2 = host.imds.send(probe.build_v2_probe(base, identity), IMDS_PROBE)
    if probe.is_there(v2):
        return _of_v2(host)
    v1 = host.imds.send(probe.build_v1_probe(base, identity), IMDS_PROBE)
    sure = not IMDS_PROBE.covers(v2.status) and not IMDS_PROBE.covers(v1.status)
    if not probe.is_there(v1):
        reason = f"What answers at {base} is not IMDS: HTTP {v2.status} and {v1.status}."
        return _incapable("none", reason), sure
    isolates = probe.can_isolate_keys(host.imds.send(probe.build_compute_request(base)))
    strength = MtlsBindingStrength.SOFTWARE if isolates else MtlsBindingStrength.NONE
    reason = (
        "The host's IMDS is version 1, which issues bearer tokens only."
        if sure
        else f"IMDS version 1 is there; version 2 answered HTTP {v2.status}. Try again later."
    )
    return ManagedIdentityCapabilities("imds", strength, False, reason), sure


def _of_v2(host: Host) -> tuple[ManagedIdentityCapabilities, bool]:
    try:
        key = host.platform.key_store.get_key()
    except MsiV2Error as exc:  # the host issues bound tokens, if only there were a key
        none = MtlsBindingStrength.NONE
        return ManagedIdentityCapabilities("imds", none, True, str(exc)), False
    reasons = " ".join(key.unavailable) or None
    return ManagedIdentityCapabilities("imds", key.strength, True, reasons), True


def _incapable(source: str, reason: str) -> ManagedIdentityCapabilities:
    return ManagedIdentityCapabilities(source, MtlsBindingStrength.NONE, False, reason)
