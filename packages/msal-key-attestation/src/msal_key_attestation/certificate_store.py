r"""``CurrentUser\My`` as a ``CertificateStore``, shared with MSAL .NET.

Best effort: nothing here raises, and nothing waits longer than 300 ms. What goes wrong is logged.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptography import x509

from ._keys.mutexes import named_mutex
from ._keys.ncrypt_key import NCryptKey
from ._store.entry import issuer_of, read_entry
from ._store.friendly_name import FriendlyName, encode
from ._store.my_store import (
    add_certificate,
    certificates_in,
    delete_certificate,
    open_my_store,
    set_friendly_name,
)
from .certificates import create_context, set_key_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import rsa

    from msal_msi_v2.platforms import StoredCertificate

    from ._native.handles import Owned
    from ._store.entry import StoreEntry

_logger = logging.getLogger("msal_key_attestation")

OFF_VARIABLE = "MSAL_MI_DISABLE_PERSISTENT_CERT_CACHE"
ISSUER_FRAGMENT = "managedidentitysnissuer.login.microsoft.com"
LOCK_TIMEOUT = 0.3


def is_switched_off() -> bool:
    """Whether the environment says that certificates are not to be kept."""
    return os.environ.get(OFF_VARIABLE, "").strip().lower() in {"1", "true"}


class MyCertificateStore:
    """A ``CertificateStore`` in the user's own store; certificates there name their key."""

    def load(
        self, alias: str, key: rsa.RSAPrivateKey, *, expires_after: datetime
    ) -> StoredCertificate | None:
        """Return the newest certificate over this key; see ``CertificateStore.load``."""
        if not isinstance(key, NCryptKey):
            return None
        with _logged("read"):
            with open_my_store(writable=False) as store, _entries(store, alias) as entries:
                orphaned = any(entry.is_orphan_of(key) for entry in entries)
                usable = [entry for entry in entries if entry.is_usable_with(key, expires_after)]
            if orphaned:
                self._delete(alias, lambda entry: entry.is_orphan_of(key))
            if usable:
                return max(usable, key=lambda entry: entry.ends).stored
        return None

    def save(self, alias: str, certificate: StoredCertificate, key: rsa.RSAPrivateKey) -> None:
        """Keep a certificate; see ``CertificateStore.save``."""
        name = encode(FriendlyName(alias, certificate.endpoint, certificate.tenant_id))
        if name is None or not isinstance(key, NCryptKey):
            _logger.debug("A certificate is not kept: its name, or its key, does not allow it.")
            return
        with _logged("written"), _locked(alias) as locked:
            if locked:
                _replace(alias, certificate.der, name, key)

    def remove(self, alias: str) -> None:
        """Forget every certificate kept under an alias."""
        with _logged("written"):
            self._delete(alias, lambda _entry: True)

    @staticmethod
    def _delete(alias: str, unwanted: Callable[[StoreEntry], bool]) -> None:
        with _locked(alias) as locked:
            if not locked:
                return
            with open_my_store(writable=True) as store, _entries(store, alias) as entries:
                for entry in filter(unwanted, entries):
                    delete_certificate(entry.context)


def purge_orphans() -> None:
    """Delete the certificates of the managed identity issuer: their key has just been replaced."""
    with (
        _logged("written"),
        open_my_store(writable=True) as store,
        certificates_in(store) as contexts,
    ):
        for context in contexts:
            if ISSUER_FRAGMENT in issuer_of(context):
                delete_certificate(context)


def mutex_name(alias: str) -> str:
    """Return the name of the mutex under which an alias is written, as MSAL .NET derives it."""
    digest = hashlib.sha256(alias.strip().upper().encode("utf-8")).hexdigest()
    return f"MSAL_MI_P_{digest[:32]}"


def _replace(alias: str, der: bytes, name: str, key: NCryptKey) -> None:
    """Add a certificate unless a later one is there, and delete the earlier ones."""
    ends = x509.load_der_x509_certificate(der).not_valid_after_utc
    with open_my_store(writable=True) as store, _entries(store, alias) as entries:
        ours = [entry for entry in entries if entry.names(key)]
        if any(entry.ends > ends and not entry.is_orphan_of(key) for entry in ours):
            return
        with create_context(der) as context:
            set_key_name(context, key)
            set_friendly_name(context, name)
            add_certificate(store, context)
        for entry in ours:
            if entry.der != der:
                delete_certificate(entry.context)


@contextmanager
def _entries(store: Owned, alias: str) -> Iterator[list[StoreEntry]]:
    """Hold the certificates under an alias."""
    with certificates_in(store) as contexts:
        found = (read_entry(context) for context in contexts)
        yield [entry for entry in found if entry and entry.name.alias == alias.strip()]


@contextmanager
def _locked(alias: str) -> Iterator[bool]:
    with named_mutex(mutex_name(alias), LOCK_TIMEOUT) as locked:
        if not locked:
            _logger.debug("The certificate store is left as it is: another process writes to it.")
        yield locked


@contextmanager
def _logged(what: str) -> Iterator[None]:
    """Write what goes wrong into the log, at most: keeping certificates is a convenience."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - best effort, see the module's docstring
        _logger.warning("The certificate store could not be %s: %s", what, exc)
