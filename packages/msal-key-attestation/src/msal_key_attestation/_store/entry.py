r"""One binding certificate as it lies in ``CurrentUser\My``, read whole or not at all."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from msal_key_attestation.certificates import der_of, key_name_of
from msal_msi_v2.platforms import StoredCertificate

from .friendly_name import FriendlyName, decode
from .my_store import friendly_name

if TYPE_CHECKING:
    from datetime import datetime

    from msal_key_attestation._keys.ncrypt_key import NCryptKey
    from msal_key_attestation._native.handles import Owned


@dataclass(frozen=True)
class StoreEntry:
    """A certificate with one of our friendly names.

    Attributes:
        context: Its context, open as long as the list that it was found in.
        name: What its friendly name says.
        der: The certificate, DER bytes.
        key_name: The key that it names, and that key's provider, if it names one.
    """

    context: Owned
    name: FriendlyName
    der: bytes
    key_name: tuple[str, str] | None
    _x509: x509.Certificate

    @property
    def ends(self) -> datetime:
        """End of validity, an aware datetime."""
        return self._x509.not_valid_after_utc

    @property
    def stored(self) -> StoredCertificate:
        """The certificate as the token package wants it."""
        return StoredCertificate(self.der, self.name.endpoint, self.name.tenant_id)

    def names(self, key: NCryptKey) -> bool:
        """Whether the certificate names this key, by container and provider."""
        return self.key_name == (key.name, key.provider)

    def is_orphan_of(self, key: NCryptKey) -> bool:
        """Whether it names this key, and was issued over one that is no longer there."""
        return self.names(key) and self._x509.public_key() != key.public_key()

    def is_usable_with(self, key: NCryptKey, expires_after: datetime) -> bool:
        """Whether a binding that lasts long enough can be made of it and this key."""
        return (
            self.ends > expires_after
            and self.names(key)
            and not self.is_orphan_of(key)
            and self.name.endpoint.startswith("https://")
            and _is_guid(self._common_name)
        )

    @property
    def _common_name(self) -> str:
        names = self._x509.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if len(names) == 1 else ""


def read_entry(context: Owned) -> StoreEntry | None:
    """Return what a certificate says, or ``None`` if it is none of ours or cannot be read."""
    name = decode(friendly_name(context))
    if name is None:
        return None
    der = der_of(context)
    try:
        certificate = x509.load_der_x509_certificate(der)
    except ValueError:
        return None
    return StoreEntry(context, name, der, key_name_of(context), certificate)


def issuer_of(context: Owned) -> str:
    """Return a certificate's issuer in lower case, or the empty string if it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der_of(context))
        return certificate.issuer.rfc4514_string().lower()
    except ValueError:
        return ""


def _is_guid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
