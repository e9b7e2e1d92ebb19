"""Opening, proving and creating the one key that all processes of a user share.

Opening a key proves nothing: a KeyGuard key lives until the next boot, and what is left then opens
but cannot sign. So a key counts once it has signed a byte. Only one that provably cannot is
overwritten, and only by the process that holds the lock.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._keys.mutexes import named_mutex, user_sid
from ._keys.ncrypt_key import KeyGuardKey, NCryptKey, TpmKey, proves_death
from ._keys.storage import create_key, is_isolated, open_key
from ._native.constants import (
    MS_KEY_STORAGE_PROVIDER,
    MS_PLATFORM_KEY_STORAGE_PROVIDER,
    NCryptFlag,
    NteStatus,
)
from .errors import KeyAttestationError, NativeCallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._native.handles import Owned

_logger = logging.getLogger("msal_key_attestation")

LOCK_TIMEOUT = 10.0
"""How long to wait for another process that is making the key, in seconds."""

_ABSENT = {NteStatus.NTE_BAD_KEYSET, NteStatus.NTE_NOT_FOUND}
_GONE = {
    NteStatus.NTE_BAD_KEY_STATE,
    NteStatus.NTE_KEYSET_ENTRY_BAD,
    NteStatus.NTE_VBS_CANNOT_DECRYPT_KEY,
}


@dataclass(frozen=True)
class Recipe:
    """One kind of key, and how it is made.

    Attributes:
        label: What people call it.
        name: The key's name, shared with MSAL .NET.
        provider: The key storage provider that keeps it.
        flags: For its creation.
        key_class: What it becomes here; a ``KeyGuardKey`` must prove its isolation.
    """

    label: str
    name: str
    provider: str
    flags: int
    key_class: type[NCryptKey]


KEYGUARD = Recipe(
    "KeyGuard",
    "KeyGuardRSAKey",
    MS_KEY_STORAGE_PROVIDER,
    NCryptFlag.NCRYPT_USE_VIRTUAL_ISOLATION_FLAG | NCryptFlag.NCRYPT_USE_PER_BOOT_KEY_FLAG,
    KeyGuardKey,
)
TPM = Recipe("TPM", "HardwareRSAKey", MS_PLATFORM_KEY_STORAGE_PROVIDER, 0, TpmKey)


class KeyUnavailableError(Exception):
    """This host does not offer this kind of key; the text is a sentence for its operator."""


class _Found(enum.Enum):
    NOTHING = "nothing"
    DEAD = "dead"


def obtain_key(
    recipe: Recipe, *, on_created: Callable[[], None], lock_timeout: float = LOCK_TIMEOUT
) -> NCryptKey:
    """Return the user's key of one kind: the one that is there and alive, or else a new one.

    Args:
        recipe: The kind of key.
        on_created: Called after a new key was made: certificates over the old one are orphans.
        lock_timeout: How long to wait for another process that is making the key, in seconds.

    Raises:
        KeyUnavailableError: The host does not offer this kind.
        KeyAttestationError: Another process holds the lock and has made no key in time.
    """
    try:
        return _open(recipe) or _create_under_lock(recipe, on_created, lock_timeout)
    except NativeCallError as exc:
        raise KeyUnavailableError(f"{recipe.label}: {exc.error_description}.") from exc


def _create_under_lock(
    recipe: Recipe, on_created: Callable[[], None], lock_timeout: float
) -> NCryptKey:
    with named_mutex(f"MSAL_MI_K_{user_sid()}", lock_timeout) as locked:
        found = _find(recipe)
        if isinstance(found, NCryptKey):
            return found
        if not locked:
            raise KeyAttestationError(
                "key_creation_locked",
                f"Another process has held the lock for creating the key {recipe.name!r} for more "
                f"than {lock_timeout:g} s, and there is no usable key yet.",
                is_retryable=True,
            )
        key = _create_or_open(recipe, overwrite=found is _Found.DEAD)
    on_created()
    return key


def _open(recipe: Recipe) -> NCryptKey | None:
    found = _find(recipe)
    return found if isinstance(found, NCryptKey) else None


def _find(recipe: Recipe) -> NCryptKey | _Found:
    """Open the key and have it sign.

    Raises:
        NativeCallError: It cannot be told whether the key is there, or alive.
        KeyUnavailableError: It is alive, and not isolated though it should be.
    """
    key: NCryptKey | None = None
    try:
        key = _own(recipe, open_key(recipe.provider, recipe.name))
        key.check_alive()
    except NativeCallError as exc:
        if key is not None:
            key.close()
        if exc.api == "NCryptOpenKey" and exc.status in _ABSENT:
            return _Found.NOTHING
        if not _is_gone(exc):
            raise
        _logger.info("The key %r is dead: %s", recipe.name, exc.error_description)
        return _Found.DEAD
    if not _is_as_promised(key):
        key.close()
        raise KeyUnavailableError(
            f"{recipe.label}: a key named {recipe.name!r} exists that virtualization does not "
            "isolate; delete it, with certutil -user -delkey, if nothing else uses it."
        )
    return key


def _is_gone(error: NativeCallError) -> bool:
    """Whether a key is there whose material is not; of opening, only three codes say so."""
    if error.api in {"NCryptOpenStorageProvider", "NCryptOpenKey"}:
        return error.status in _GONE
    return proves_death(error)


def _create_or_open(recipe: Recipe, *, overwrite: bool) -> NCryptKey:
    try:
        return _create(recipe, overwrite=overwrite)
    except NativeCallError as exc:
        if exc.status != NteStatus.NTE_EXISTS:
            raise
    # Whoever made it did not take our lock. If it lives it is the key; only the dead give way.
    found = _find(recipe)
    if isinstance(found, NCryptKey):
        return found
    return _create(recipe, overwrite=found is _Found.DEAD)


def _create(recipe: Recipe, *, overwrite: bool) -> NCryptKey:
    flags = recipe.flags | (NCryptFlag.NCRYPT_OVERWRITE_KEY_FLAG if overwrite else 0)
    key = _own(recipe, create_key(recipe.provider, recipe.name, flags))
    if not _is_as_promised(key):
        # Left behind, it would stand in the way of a real one for ever.
        key.delete()
        raise KeyUnavailableError(
            f"{recipe.label}: Windows made the key without isolating it; virtualization-based "
            "security does not run on this machine."
        )
    try:
        key.check_alive()
    except NativeCallError:
        key.close()
        raise
    _logger.info("Created the key %r in %r.", recipe.name, recipe.provider)
    return key


def _own(recipe: Recipe, handle: Owned) -> NCryptKey:
    return recipe.key_class(handle, recipe.name, recipe.provider)


def _is_as_promised(key: NCryptKey) -> bool:
    """Whether a KeyGuard key really is isolated; the flags of its creation prove nothing."""
    return not isinstance(key, KeyGuardKey) or is_isolated(key.handle)
