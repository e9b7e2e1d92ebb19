"""``WindowsKeyStore``: the strongest key that this host can make."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from msal_msi_v2.platforms import BindingKey
from msal_msi_v2.strength import MtlsBindingStrength

from ._keys.ncrypt_key import NCryptKey
from ._keys.storage import KEY_BITS
from .keyguard import KEYGUARD, LOCK_TIMEOUT, TPM, KeyUnavailableError, Recipe, obtain_key

if TYPE_CHECKING:
    from collections.abc import Callable

_LADDER = ((KEYGUARD, MtlsBindingStrength.KEYGUARD), (TPM, MtlsBindingStrength.SOFTWARE))
_PUBLIC_EXPONENT = 65537


class WindowsKeyStore:
    """A ``KeyStore``: KeyGuard, or else the TPM, or else this process's memory."""

    def __init__(
        self, *, on_created: Callable[[], None], lock_timeout: float = LOCK_TIMEOUT
    ) -> None:
        """Describe the store; no key is touched yet.

        Args:
            on_created: Called after a new key was made in Windows' own storage.
            lock_timeout: How long to wait for another process that is making the key, in seconds.
        """
        self._on_created = on_created
        self._lock_timeout = lock_timeout
        self._lock = threading.Lock()
        self._key: BindingKey | None = None

    def get_key(self) -> BindingKey:
        """Return the key; see ``KeyStore.get_key``. One found dead since is made anew."""
        with self._lock:
            if self._key is None or _is_dead(self._key):
                self._key = None
                self._key = self._obtain()
            return self._key

    def _obtain(self) -> BindingKey:
        unavailable: list[str] = []
        for recipe, strength in _LADDER:
            key = self._try(recipe, unavailable)
            if key is not None:
                return BindingKey(key, strength, tuple(unavailable))
        in_memory = rsa.generate_private_key(_PUBLIC_EXPONENT, KEY_BITS)
        return BindingKey(in_memory, MtlsBindingStrength.SOFTWARE, tuple(unavailable))

    def _try(self, recipe: Recipe, unavailable: list[str]) -> NCryptKey | None:
        try:
            return obtain_key(recipe, on_created=self._on_created, lock_timeout=self._lock_timeout)
        except KeyUnavailableError as exc:
            unavailable.append(str(exc))
            return None


def _is_dead(key: BindingKey) -> bool:
    return isinstance(key.private_key, NCryptKey) and key.private_key.is_dead
