"""NCrypt's storage of keys: open one, make one, ask whether virtualization isolates it."""

from __future__ import annotations

from msal_key_attestation._native.constants import (
    BCRYPT_RSA_ALGORITHM,
    NCRYPT_EXPORT_POLICY_PROPERTY,
    NCRYPT_LENGTH_PROPERTY,
    NCRYPT_USE_VIRTUAL_ISOLATION_PROPERTY,
    NCryptFlag,
)
from msal_key_attestation._native.handles import Owned, ncrypt_object
from msal_key_attestation._native.libs import ffi, ncrypt
from msal_key_attestation._native.status import check_status
from msal_key_attestation.errors import NativeCallError

KEY_BITS = 2048
_NO_EXPORT = 0


def open_key(provider_name: str, name: str) -> Owned:
    """Open a key of the user by its name; that it opens does not mean that it works.

    Raises:
        NativeCallError: There is none, or it does not open.
    """
    handle = ffi.new("NCRYPT_KEY_HANDLE *")
    with _open_provider(provider_name) as provider:
        status = ncrypt().NCryptOpenKey(
            provider.value, handle, name, 0, NCryptFlag.NCRYPT_SILENT_FLAG
        )
    check_status("NCryptOpenKey", status)
    return ncrypt_object(handle[0])


def create_key(provider_name: str, name: str, flags: int) -> Owned:
    """Create an RSA key of the user that cannot be exported.

    Args:
        provider_name: The key storage provider that is to keep it.
        name: The key's name.
        flags: For ``NCryptCreatePersistedKey``.

    Raises:
        NativeCallError: It was not made; ``NTE_EXISTS`` where the name is taken.
    """
    handle = ffi.new("NCRYPT_KEY_HANDLE *")
    with _open_provider(provider_name) as provider:
        status = ncrypt().NCryptCreatePersistedKey(
            provider.value, handle, BCRYPT_RSA_ALGORITHM, name, 0, flags
        )
    check_status("NCryptCreatePersistedKey", status)
    owned = ncrypt_object(handle[0])
    try:
        _set_number(owned.value, NCRYPT_LENGTH_PROPERTY, KEY_BITS, 0)
        _set_number(
            owned.value, NCRYPT_EXPORT_POLICY_PROPERTY, _NO_EXPORT, NCryptFlag.NCRYPT_PERSIST_FLAG
        )
        status = ncrypt().NCryptFinalizeKey(owned.value, NCryptFlag.NCRYPT_SILENT_FLAG)
        check_status("NCryptFinalizeKey", status)
    except NativeCallError:
        owned.close()
        raise
    return owned


def is_isolated(handle: int) -> bool:
    """Whether virtualization isolates the key behind a handle: its own property says so."""
    value, size = ffi.new("DWORD *"), ffi.new("DWORD *")
    status = ncrypt().NCryptGetProperty(
        handle,
        NCRYPT_USE_VIRTUAL_ISOLATION_PROPERTY,
        ffi.cast("BYTE *", value),
        ffi.sizeof("DWORD"),
        size,
        0,
    )
    return status == 0 and value[0] != 0


def _open_provider(name: str) -> Owned:
    provider = ffi.new("NCRYPT_PROV_HANDLE *")
    status = ncrypt().NCryptOpenStorageProvider(provider, name, 0)
    check_status("NCryptOpenStorageProvider", status)
    return ncrypt_object(provider[0])


def _set_number(handle: int, name: str, value: int, flags: int) -> None:
    number = ffi.new("DWORD *", value)
    size = ffi.sizeof("DWORD")
    status = ncrypt().NCryptSetProperty(handle, name, ffi.cast("BYTE *", number), size, flags)
    check_status("NCryptSetProperty", status)
