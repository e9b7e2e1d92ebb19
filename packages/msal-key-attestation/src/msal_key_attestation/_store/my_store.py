r"""``CurrentUser\My`` as Windows has it: open, list, add, delete."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msal_key_attestation._native.constants import CertProperty, CertStore, CertStoreFlag
from msal_key_attestation._native.handles import Owned, certificate_context, certificate_store
from msal_key_attestation._native.libs import crypt32, ffi
from msal_key_attestation._native.status import check_result
from msal_key_attestation.certificates import get_property, set_property

if TYPE_CHECKING:
    from collections.abc import Iterator


_PROVIDER = int(CertStore.CERT_STORE_PROV_SYSTEM_W)


@contextmanager
def open_my_store(*, writable: bool) -> Iterator[Owned]:
    r"""Hold ``CurrentUser\My`` open; what was changed is written at the end.

    Raises:
        NativeCallError: It does not open, or what was changed could not be written.
    """
    flags = CertStoreFlag.CERT_SYSTEM_STORE_CURRENT_USER
    if not writable:
        flags |= CertStoreFlag.CERT_STORE_READONLY_FLAG
        flags |= CertStoreFlag.CERT_STORE_OPEN_EXISTING_FLAG
    provider = ffi.cast("char *", _PROVIDER)
    name = ffi.new("WCHAR[]", "MY")
    store = crypt32().CertOpenStore(provider, 0, 0, flags, name)
    check_result("CertOpenStore", store)
    with certificate_store(store) as owned:
        yield owned
        if writable:
            commit = CertStore.CERT_STORE_CTRL_COMMIT
            done = crypt32().CertControlStore(owned.value, 0, commit, ffi.NULL)
            check_result("CertControlStore", done)


@contextmanager
def certificates_in(store: Owned) -> Iterator[list[Owned]]:
    """Hold all certificates of a store; those that were not deleted are given back at the end."""
    contexts = []
    context = crypt32().CertEnumCertificatesInStore(store.value, ffi.NULL)
    while context != ffi.NULL:
        # The next call frees the one that it is given, so we keep another.
        contexts.append(certificate_context(crypt32().CertDuplicateCertificateContext(context)))
        context = crypt32().CertEnumCertificatesInStore(store.value, context)
    try:
        yield contexts
    finally:
        for owned in contexts:
            owned.close()


def add_certificate(store: Owned, context: Owned) -> None:
    """Add a certificate with its properties, in place of the same one.

    Raises:
        NativeCallError: Windows refused.
    """
    replace = CertStore.CERT_STORE_ADD_REPLACE_EXISTING
    done = crypt32().CertAddCertificateContextToStore(store.value, context.value, replace, ffi.NULL)
    check_result("CertAddCertificateContextToStore", done)


def delete_certificate(context: Owned) -> None:
    """Delete a certificate from the store that it was listed in.

    Raises:
        NativeCallError: Windows refused.
    """
    # Windows frees the context that it is given, whatever comes of it.
    done = crypt32().CertDeleteCertificateFromStore(context.disarm())
    check_result("CertDeleteCertificateFromStore", done)


def friendly_name(context: Owned) -> str:
    """Return a certificate's friendly name, or the empty string."""
    data = get_property(context, CertProperty.CERT_FRIENDLY_NAME_PROP_ID) or b""
    return data.decode("utf-16-le", "replace").rstrip("\0")


def set_friendly_name(context: Owned, name: str) -> None:
    """Give a certificate a friendly name.

    Raises:
        NativeCallError: Windows refused.
    """
    data = ffi.new("BYTE[]", f"{name}\0".encode("utf-16-le"))
    blob = ffi.new("CRYPT_DATA_BLOB *")
    blob.cbData = len(data) - 1  # cffi has added a NUL of its own
    blob.pbData = data
    set_property(context, CertProperty.CERT_FRIENDLY_NAME_PROP_ID, blob)
