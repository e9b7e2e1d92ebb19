"""A vault, as far as assertions need it: certificates are read, keys sign."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msal_msi_v2._base64 import b64url_decode, b64url_encode
from msal_msi_v2.errors import KeyVaultError, MsiV2ClientError
from msal_msi_v2.protocol.authority import https_origin

from .certificate import SigningCertificate, signing_certificate
from .refusals import READ_CERTIFICATE, SIGN, UNUSABLE
from .rest import malformed

if TYPE_CHECKING:
    from .jwt import Algorithm
    from .rest import VaultConnection

_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_VERSION = re.compile(r"[0-9A-Za-z]{1,64}")
_KEY_ID = re.compile(r"(https://[^/]+)/keys/([^/]+)/([^/]+)")


@dataclass(frozen=True)
class KeyId:
    """One version of a key.

    Attributes:
        vault_url: Of its vault, no trailing slash.
        name: Its name.
        version: Its version.
    """

    vault_url: str
    name: str
    version: str

    @property
    def path(self) -> str:
        """Where it is, from the vault's URL."""
        return f"/keys/{self.name}/{self.version}"


@dataclass(frozen=True)
class VaultCertificate:
    """A certificate as a vault has it.

    Attributes:
        certificate: The certificate.
        key_id: The key that it is over.
        exportable: Whether whoever may read the vault's secrets can have the private key.
    """

    certificate: SigningCertificate
    key_id: KeyId
    exportable: bool


def check_vault_url(url: str) -> str:
    """Return a vault's URL without its trailing slash.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is not an https URL of a host alone.
    """
    origin = https_origin(url)
    if origin is None:
        raise MsiV2ClientError(
            "invalid_request",
            "The vault's URL must be https and a host alone, e.g. 'https://name.vault.azure.net'.",
        )
    return origin


def parse_key_id(url: str) -> KeyId:
    """Read a key's id.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is not one, or names no version.
    """
    found = _KEY_ID.fullmatch(str(url))
    if found is None:
        raise MsiV2ClientError(
            "invalid_request",
            "The key id must be 'https://{vault}/keys/{name}/{version}': a thumbprint is that of "
            "one version.",
        )
    return KeyId(check_vault_url(found[1]), check_name(found[2]), check_version(found[3]))


def check_name(name: str) -> str:
    """Return a certificate's or a key's name.

    Raises:
        MsiV2ClientError: ``invalid_request``: it cannot be one.
    """
    return _check(name, _NAME, "name: letters, digits and hyphens, at most 127")


def check_version(version: str) -> str:
    """Return a version.

    Raises:
        MsiV2ClientError: ``invalid_request``: it cannot be one.
    """
    return _check(version, _VERSION, "version: letters and digits")


def read_certificate(
    connection: VaultConnection, name: str, version: str | None
) -> VaultCertificate:
    """Read a certificate; its newest version, if none is named.

    Raises:
        MsiV2Error: It could not be read, or its key is not RSA.
    """
    path = f"/certificates/{name}" + (f"/{version}" if version else "")
    return connection.call(
        READ_CERTIFICATE,
        "GET",
        path,
        required=("cer", "kid"),
        read=lambda answer: _read_certificate(answer, connection.url, version),
    )


def sign(connection: VaultConnection, key: KeyId, signed: bytes, algorithm: Algorithm) -> bytes:
    """Have a key sign some bytes, of which the vault sees the SHA-256 digest only.

    Raises:
        MsiV2Error: It did not, or another key did.
    """
    digest = b64url_encode(hashlib.sha256(signed).digest())
    return connection.call(
        SIGN,
        "POST",
        f"{key.path}/sign",
        json={"alg": algorithm, "value": digest},
        required=("kid", "value"),
        read=lambda answer: _read_signature(answer, key),
    )


def _read_certificate(
    answer: dict[str, Any], vault_url: str, version: str | None
) -> VaultCertificate:
    try:
        certificate = signing_certificate(base64.b64decode(answer["cer"], validate=True))
        key_id = parse_key_id(answer["kid"])
    except MsiV2ClientError as exc:
        raise KeyVaultError(
            UNUSABLE, f"The certificate is of no use for assertions: {exc.error_description}"
        ) from exc
    except ValueError as exc:
        raise malformed("The certificate that Key Vault answers is not base64.") from exc
    # The answer is not to choose whom the token is shown to next.
    if key_id.vault_url.lower() != vault_url.lower() or version not in {None, key_id.version}:
        raise malformed(
            "The key of the certificate that Key Vault answers is not where it must be."
        )
    return VaultCertificate(certificate, key_id, _is_exportable(answer))


def _read_signature(answer: dict[str, Any], key: KeyId) -> bytes:
    if str(answer["kid"]).lower() != f"{key.vault_url}{key.path}".lower():
        raise malformed("The key that Key Vault says it signed with is not the one it was asked.")
    try:
        return b64url_decode(answer["value"].rstrip("="))
    except ValueError as exc:
        raise malformed("The signature that Key Vault answers is not base64url.") from exc


def _is_exportable(answer: dict[str, Any]) -> bool:
    properties: Any = answer
    for member in ("policy", "key_props", "exportable"):
        properties = properties.get(member) if isinstance(properties, dict) else None
    return properties is True


def _check(text: Any, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise MsiV2ClientError("invalid_request", f"{text!r} is no {what}.")
    return str(text)
