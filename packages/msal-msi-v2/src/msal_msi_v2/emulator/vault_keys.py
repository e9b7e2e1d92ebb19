"""The keys and certificates of an emulated Key Vault: versions, rotation and signatures."""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from .clock import utc
from .jwts import public_jwk, x5t_s256

_LIFETIME = 365 * 86400
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_KEY_SIZES = {2048, 3072, 4096}
_LONGEST_COMMON_NAME = 64
_PADDINGS: dict[str, padding.AsymmetricPadding] = {
    "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size),
    "RS256": padding.PKCS1v15(),
}
_SHA256_LENGTH = 32


class InvalidSignature(Exception):  # noqa: N818 - an answer, not an error
    """What is to be signed cannot be, by this algorithm."""


@dataclass(frozen=True)
class VaultCertificate:
    """A version of a certificate, without its key.

    Attributes:
        name: Its name in the vault.
        version: The version, 32 hex digits.
        der: The certificate, DER bytes.
        id: The certificate's URL, version included.
        key_id: The URL of its key, version included.
    """

    name: str
    version: str
    der: bytes = field(repr=False)
    id: str
    key_id: str

    @property
    def x5t_s256(self) -> str:
        """SHA-256 of the DER, base64url, unpadded."""
        return x5t_s256(self.der)

    @property
    def thumbprint_sha1(self) -> str:
        """SHA-1 of the DER, upper-case hex."""
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest().upper()


@dataclass
class KeyVersion:
    """A version of a key, and perhaps of the certificate over it.

    Attributes:
        version: The version, 32 hex digits.
        key: The key.
        exportable: Whether a certificate's policy lets the key out.
        certificate: The certificate; ``None``: there is none.
        enabled: Whether it may be used.
    """

    version: str
    key: rsa.RSAPrivateKey
    exportable: bool = False
    certificate: VaultCertificate | None = None
    enabled: bool = True

    @property
    def validity(self) -> tuple[int, int] | None:
        """From and until when it may be used, in seconds since the epoch; ``None``: always."""
        if self.certificate is None:
            return None
        loaded = x509.load_der_x509_certificate(self.certificate.der)
        start, end = loaded.not_valid_before_utc, loaded.not_valid_after_utc
        return int(start.timestamp()), int(end.timestamp())

    def unusable(self, now: float) -> str:
        """Say why it may not be used now, as Key Vault's error codes do; empty: it may.

        Args:
            now: The vault's time, in seconds since the epoch.
        """
        start, end = self.validity or (now, now + 1)
        if not self.enabled:
            return "Disabled"
        if now < start:
            return "NotYetValid"
        return "" if now < end else "Expired"

    @property
    def jwk(self) -> dict[str, str]:
        """The public key as a JWK."""
        return public_jwk(self.key.public_key())

    def sign(self, algorithm: str, digest: bytes) -> bytes:
        """Return the signature over a SHA-256 digest.

        Raises:
            InvalidSignature: It is no such digest, or there is no such algorithm.
        """
        if algorithm not in _PADDINGS:
            raise InvalidSignature(f"The algorithm {algorithm!r} is not one of this key's.")
        if len(digest) != _SHA256_LENGTH:
            raise InvalidSignature(f"The digest has {len(digest)} bytes, and SHA-256 has 32.")
        return self.key.sign(digest, _PADDINGS[algorithm], utils.Prehashed(hashes.SHA256()))


class KeyRing:
    """The keys of a vault by name, each a list of versions. Safe to use from many threads."""

    def __init__(self, url: str) -> None:
        """Start empty.

        Args:
            url: The vault's URL, no trailing slash.
        """
        self._url = url
        self._lock = threading.Lock()
        self._keys: dict[str, list[KeyVersion]] = {}

    def create_key(self, name: str) -> str:
        """Make a new version of a key, and return its URL.

        Raises:
            ValueError: It cannot be called so.
        """
        _check_name(name)
        made = self._add(name, KeyVersion(uuid.uuid4().hex, _generate(2048)))
        return self.key_id(name, made)

    def create_certificate(
        self, name: str, *, exportable: bool, key_size: int, now: float
    ) -> VaultCertificate:
        """Make a new version of a certificate, with a key of its own.

        Raises:
            ValueError: It cannot be called so, or Key Vault makes no keys of that size.
        """
        _check_name(name)
        if key_size not in _KEY_SIZES:
            raise ValueError(f"key_size is one of {sorted(_KEY_SIZES)}, not {key_size!r}.")
        version = KeyVersion(uuid.uuid4().hex, _generate(key_size), exportable)
        certificate_id = f"{self._url}/certificates/{name}/{version.version}"
        der = _self_signed(name, version.key, now)
        made = VaultCertificate(
            name, version.version, der, certificate_id, self.key_id(name, version)
        )
        version.certificate = made
        self._add(name, version)
        return made

    def find(self, name: str, version: str = "") -> KeyVersion | None:
        """Return a version of a key, by default the newest; ``None``: there is none."""
        versions = self._keys.get(name.lower(), [])
        if not version:
            return versions[-1] if versions else None
        return next((one for one in versions if one.version == version.lower()), None)

    def key_id(self, name: str, version: KeyVersion) -> str:
        """Return the URL of a version of a key."""
        return f"{self._url}/keys/{name}/{version.version}"

    def _add(self, name: str, version: KeyVersion) -> KeyVersion:
        with self._lock:
            self._keys.setdefault(name.lower(), []).append(version)
        return version


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"A name is 1 to 127 letters, digits and hyphens, and not {name!r}.")


def _generate(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def _self_signed(name: str, key: rsa.RSAPrivateKey, now: float) -> bytes:
    common_name = name[:_LONGEST_COMMON_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc(now - 600))  # as Key Vault does, ten minutes ago
        .not_valid_after(utc(now + _LIFETIME))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
