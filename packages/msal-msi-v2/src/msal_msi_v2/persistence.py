"""Certificates that outlive the process, where the platform has a store for them.

Best effort: whatever a store does, it neither fails nor falsifies an acquisition.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from .binding import Binding, BindingCertificate
from .caches import CERTIFICATE_MARGIN
from .platforms import StoredCertificate

if TYPE_CHECKING:
    from .caches import BindingName
    from .flow import Host
    from .platforms import BindingKey

logger = logging.getLogger("msal_msi_v2")


def load(host: Host, name: BindingName, key: BindingKey) -> Binding | None:
    """Return the binding that an earlier process left for this very key."""
    store = host.platform.certificate_store
    if store is None:
        return None
    enough = datetime.fromtimestamp(host.clock.now() + CERTIFICATE_MARGIN, timezone.utc)
    try:
        stored = store.load(name.alias, key.private_key, expires_after=enough)
        if stored is None or host.caches.bindings.is_dropped(stored.der):
            return None
        certificate = BindingCertificate(
            stored.der, key.private_key, key.strength, host.platform.transport
        )
        return Binding(certificate, stored.endpoint, stored.tenant_id, certificate.common_name)
    except Exception:  # a store is somebody else's code, and worth a certificate at most
        logger.warning("the certificate store could not be read", exc_info=True)
        return None


def save(host: Host, name: BindingName, binding: Binding) -> None:
    """Leave a binding for later processes, without anybody waiting for it.

    Not in a daemon thread: a short program, too, shall leave it before it exits.
    """
    store = host.platform.certificate_store
    if store is None:
        return
    certificate = binding.certificate
    stored = StoredCertificate(certificate.der, binding.endpoint, binding.tenant_id)

    def work() -> None:
        if not host.caches.bindings.is_dropped(stored.der):
            store.save(name.alias, stored, certificate.private_key)

    unique = ("save", name, certificate.x5t_s256)
    host.caches.background.start(unique, work, host.clock.now(), daemon=False)


def remove(host: Host, name: BindingName) -> None:
    """Have later processes find nothing: the certificate is of no use any more."""
    store = host.platform.certificate_store
    if store is None:
        return
    try:
        store.remove(name.alias)
    except Exception:  # as above
        logger.warning("the certificate store could not be written", exc_info=True)
