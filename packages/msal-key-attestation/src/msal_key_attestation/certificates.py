"""Certificate contexts: DER bytes and a key of ours, joined so that SChannel can use them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._native.constants import CertProperty, CertPropertyFlag, Encoding, KeySpec, NCryptFlag
from ._native.handles import Owned, certificate_context
from ._native.libs import crypt32, ffi
from ._native.status import call_error, check_result, describe, last_error

if TYPE_CHECKING:
    from ._keys.ncrypt_key import NCryptKey
    from ._native.libs import CData

_logger = logging.getLogger("msal_key_attestation")

_KEEP_OUR_HANDLE = (
    CertPropertyFlag.CERT_SET_PROPERTY_INHIBIT_PERSIST_FLAG
    | CertPropertyFlag.CERT_STORE_NO_CRYPT_RELEASE_FLAG
)
"""The context must neither write a handle to a store nor free it: it has one owner, the key."""


class BoundCertificate:
    """A certificate context that signs with a key of ours; with its key, so that it lives on."""

    def __init__(self, der: bytes, key: NCryptKey) -> None:
        """Join certificate and key, in the three ways that real hosts were seen to want.

        Args:
            der: The certificate, DER bytes.
            key: The key over which it was issued.

        Raises:
            NativeCallError: The bytes are no certificate, or Windows takes the key in neither of
                the two ways that carry its handle.
        """
        self._key = key
        self._context = create_context(der)
        try:
            self._attach_handle()
            set_key_name(self._context, key)
        except BaseException:
            self._context.close()
            raise

    @property
    def context(self) -> CData:
        """The ``PCCERT_CONTEXT``, valid as long as this object is open."""
        return self._context.value

    def close(self) -> None:
        """Free the context; the key stays open."""
        self._context.close()

    def _attach_handle(self) -> None:
        done = [self._set_key_handle(), self._set_key_context()]
        if not any(done):
            raise call_error("CertSetCertificateContextProperty", last_error())

    def _set_key_handle(self) -> bool:
        handle = ffi.new("NCRYPT_KEY_HANDLE *", self._key.handle)
        return self._try(CertProperty.CERT_NCRYPT_KEY_HANDLE_PROP_ID, handle)

    def _set_key_context(self) -> bool:
        key_context = ffi.new("CERT_KEY_CONTEXT *")
        key_context.cbSize = ffi.sizeof("CERT_KEY_CONTEXT")
        key_context.hNCryptKey = self._key.handle
        key_context.dwKeySpec = KeySpec.CERT_NCRYPT_KEY_SPEC
        return self._try(CertProperty.CERT_KEY_CONTEXT_PROP_ID, key_context)

    def _try(self, property_id: CertProperty, data: CData) -> bool:
        done = crypt32().CertSetCertificateContextProperty(
            self._context.value, property_id, _KEEP_OUR_HANDLE, data
        )
        if not done:
            _logger.debug("%s was not set: %s", property_id.name, describe(last_error()))
        return bool(done)


def create_context(der: bytes) -> Owned:
    """Return the context of a certificate, without a key.

    Raises:
        NativeCallError: The bytes are no certificate.
    """
    context = crypt32().CertCreateCertificateContext(Encoding.X509_ASN_ENCODING, der, len(der))
    check_result("CertCreateCertificateContext", context)
    return certificate_context(context)


def set_key_name(context: Owned, key: NCryptKey) -> None:
    """Have a certificate name its key: the provider, and the key's name in it.

    Where the context goes into a store, this is what finds the key again.

    Raises:
        NativeCallError: Windows refused.
    """
    name, provider = ffi.new("WCHAR[]", key.name), ffi.new("WCHAR[]", key.provider)
    info = ffi.new("CRYPT_KEY_PROV_INFO *")
    info.pwszContainerName = name
    info.pwszProvName = provider
    info.dwProvType = 0  # a key storage provider, not a CryptoAPI one
    info.dwFlags = NCryptFlag.NCRYPT_SILENT_FLAG
    info.dwKeySpec = KeySpec.AT_SIGNATURE
    set_property(context, CertProperty.CERT_KEY_PROV_INFO_PROP_ID, info)


def key_name_of(context: Owned) -> tuple[str, str] | None:
    """Return the name of the key that a certificate names, and its provider's name, if any."""
    buffer = _property_buffer(context, CertProperty.CERT_KEY_PROV_INFO_PROP_ID)
    if buffer is None:
        return None
    info = ffi.cast("CRYPT_KEY_PROV_INFO *", buffer)
    if ffi.NULL in {info.pwszContainerName, info.pwszProvName}:
        return None
    return ffi.string(info.pwszContainerName), ffi.string(info.pwszProvName)


def set_property(context: Owned, property_id: CertProperty, data: CData) -> None:
    """Set a property that goes with the certificate into a store.

    Raises:
        NativeCallError: Windows refused.
    """
    done = crypt32().CertSetCertificateContextProperty(context.value, property_id, 0, data)
    check_result("CertSetCertificateContextProperty", done)


def get_property(context: Owned, property_id: CertProperty) -> bytes | None:
    """Return the bytes of a property, or ``None`` where the certificate has none."""
    buffer = _property_buffer(context, property_id)
    return None if buffer is None else bytes(ffi.buffer(buffer))


def der_of(context: Owned) -> bytes:
    """Return the certificate of a context, DER bytes."""
    certificate = context.value
    return bytes(ffi.buffer(certificate.pbCertEncoded, certificate.cbCertEncoded))


def _property_buffer(context: Owned, property_id: CertProperty) -> CData | None:
    size = ffi.new("DWORD *")
    get = crypt32().CertGetCertificateContextProperty
    if not get(context.value, property_id, ffi.NULL, size):
        return None
    buffer = ffi.new("BYTE[]", size[0])
    return buffer if get(context.value, property_id, buffer, size) else None
