"""Keys that sign through Windows and never leave it, as pyca's own kind of private key."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding as asym_padding
from cryptography.hazmat.primitives.asymmetric import rsa, utils

from msal_key_attestation._native.constants import VBS_NOT_AVAILABLE, NteStatus
from msal_key_attestation._native.libs import ncrypt
from msal_key_attestation._native.status import call_error
from msal_key_attestation.errors import NativeCallError

from .signing import Digest, digest_of, export_public_key, sign_digest

if TYPE_CHECKING:
    from typing import Any

    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        KeySerializationEncryption,
        PrivateFormat,
    )

    from msal_key_attestation._native.handles import Owned

_PROVES_NOTHING = {
    NteStatus.NTE_NO_MEMORY,
    NteStatus.NTE_PERM,
    NteStatus.NTE_SILENT_CONTEXT,
    NteStatus.NTE_NOT_SUPPORTED,
    NteStatus.NTE_DEVICE_NOT_READY,
    NteStatus.NTE_DEVICE_NOT_FOUND,
    NteStatus.NTE_VBS_UNAVAILABLE,
    VBS_NOT_AVAILABLE,
}
_PASSING_FACILITIES = {0x8007, 0x8028, 0x8029}
"""Win32 (access, RPC, memory), the TPM, and its provider (busy, locked out)."""

_SHA256 = hashes.SHA256()
_PSS = asym_padding.PSS(asym_padding.MGF1(_SHA256), _SHA256.digest_size)


def proves_death(error: NativeCallError) -> bool:
    """Whether a failure means that the key's material is gone for good.

    A key that is closed to this caller, or at this moment, may be well, and must stay.
    """
    status = error.status or 0
    return status not in _PROVES_NOTHING and status >> 16 not in _PASSING_FACILITIES


class NCryptKey(rsa.RSAPrivateKey):
    """An RSA key behind an ``NCRYPT_KEY_HANDLE``.

    Every signature is checked with the public key before it is given out: after a reboot a
    container may hold another key than it did.

    Attributes:
        name: The key's name in its provider.
        provider: The name of its key storage provider.
        is_dead: Whether the key was found unable to sign for good. The key store makes another.
    """

    def __init__(self, handle: Owned, name: str, provider: str) -> None:
        """Take ownership of a key's handle.

        Raises:
            NativeCallError: The public key cannot be exported.
        """
        self._handle = handle
        self._lock = threading.Lock()
        self.name = name
        self.provider = provider
        self.is_dead = False
        try:
            self._public_key = export_public_key(handle.value)
        except BaseException:
            handle.close()
            raise

    @property
    def handle(self) -> int:
        """The ``NCRYPT_KEY_HANDLE``; this object owns it, and must outlive its use."""
        value: int = self._handle.value
        return value

    @property
    def key_size(self) -> int:
        """The length of the modulus in bits."""
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the public key, as exported when the key was opened."""
        return self._public_key

    def sign(
        self,
        data: Any,
        padding: AsymmetricPadding,
        algorithm: Any,
    ) -> bytes:
        """Sign data, or a digest given as ``Prehashed``.

        Args:
            data: Bytes, of any length unless they are a digest.
            padding: PSS whose mask uses the digest's own hash, or PKCS#1 v1.5.
            algorithm: SHA-256, SHA-384 or SHA-512.

        Raises:
            NativeCallError: The key did not sign, or signed as another key would; ``is_dead``
                then says whether it ever will again.
            UnsupportedAlgorithm: The padding or the algorithm is another one.
        """
        digest = digest_of(data, algorithm)
        try:
            with self._lock:
                signature = sign_digest(self.handle, digest, padding, self._public_key)
        except NativeCallError as exc:
            self.is_dead = self.is_dead or proves_death(exc)
            raise
        self._check(signature, digest, padding)
        return signature

    def check_alive(self) -> None:
        """Sign one byte, which is the only proof that the key's material is still there.

        Raises:
            NativeCallError: It did not sign.
        """
        self.sign(b"\0", _PSS, _SHA256)

    def close(self) -> None:
        """Give the handle back; the key itself stays where it is."""
        self._handle.close()

    def delete(self) -> None:
        """Remove the key from its provider, where that can be done, and give the handle back."""
        if ncrypt().NCryptDeleteKey(self.handle, 0) == 0:
            self._handle.disarm()
        self.close()

    def decrypt(self, ciphertext: bytes, padding: AsymmetricPadding) -> NoReturn:
        """Raise: this key signs, and does nothing else.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a binding key signs, it does not decrypt")

    def private_numbers(self) -> NoReturn:
        """Raise: the private half never leaves its provider.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"the private half of {self!r} cannot be exported")

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002 - pyca's name
        encryption_algorithm: KeySerializationEncryption,
    ) -> NoReturn:
        """Raise: the private half never leaves its provider.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"the private half of {self!r} cannot be exported")

    def __copy__(self) -> NCryptKey:
        """Return the key itself: a handle has one owner."""
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> NCryptKey:
        """Return the key itself: a handle has one owner."""
        return self

    def __repr__(self) -> str:
        """Return the key's name and provider."""
        return f"<{type(self).__name__} {self.name!r} of {self.provider!r}>"

    def _check(self, signature: bytes, digest: Digest, padding: AsymmetricPadding) -> None:
        if self._is_valid(signature, digest, padding):
            return
        status = NteStatus.NTE_BAD_SIGNATURE
        any_salt = asym_padding.PSS(asym_padding.MGF1(digest.algorithm), asym_padding.PSS.AUTO)
        if isinstance(padding, asym_padding.PSS) and self._is_valid(signature, digest, any_salt):
            status = NteStatus.NTE_NOT_SUPPORTED  # some TPMs choose the salt's length themselves
        error = call_error("NCryptSignHash", status)
        self.is_dead = self.is_dead or proves_death(error)
        raise error

    def _is_valid(self, signature: bytes, digest: Digest, padding: AsymmetricPadding) -> bool:
        try:
            prehashed = utils.Prehashed(digest.algorithm)
            self._public_key.verify(signature, digest.value, padding, prehashed)
        except InvalidSignature:
            return False
        return True


class KeyGuardKey(NCryptKey):
    """A key that virtualization isolates from the operating system, and that Azure can attest."""


class TpmKey(NCryptKey):
    """A key of the TPM: it cannot be exported, and cannot be attested as KeyGuard keys are."""
