"""Attesting keys: a cache over the native library, by handle and as an ``Attestor``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from msal_msi_v2.errors import MsiV2ClientError

from ._attestation.jwt_cache import JwtCache
from ._attestation.library import find_library, library_places
from ._attestation.session import session_for
from ._keys.ncrypt_key import KeyGuardKey
from ._keys.signing import export_public_key
from .system import require_x64_windows

if TYPE_CHECKING:
    import os

    from cryptography.hazmat.primitives.asymmetric import rsa

    from ._attestation.session import AttestationSession


class AttestationProvider:
    """Attests keys by their handles, with a cache; see ``create_attestation_provider``."""

    def __init__(self, session: AttestationSession) -> None:
        self._session = session
        self._cache = JwtCache()

    def __call__(
        self,
        endpoint: str,
        key_handle: int,
        client_id: str,
        cache_key: str | None = None,
        *,
        fresh: bool = False,
    ) -> str:
        """Return the attestation service's JWT for a key.

        It is kept while more than 5 minutes of it remain, by endpoint and public key: all
        identities that use one key share it.

        Args:
            endpoint: The attestation service's URL, as IMDS named it.
            key_handle: The ``NCRYPT_KEY_HANDLE`` of a KeyGuard key, as an int.
            client_id: The managed identity's client id, a GUID.
            cache_key: Narrows the cache further.
            fresh: Skip the cache, and replace what it holds.

        Raises:
            AttestationError: The library or the service refused, or gave nothing.
            NativeCallError: There is no RSA key behind the handle.
        """
        return self._cache.get(
            (endpoint.lower().rstrip("/"), _fingerprint(key_handle), cache_key),
            lambda: self._session.attest(endpoint, key_handle, client_id),
            fresh=fresh,
        )


class KeyGuardAttestor:
    """An ``Attestor`` for the KeyGuard keys of this package."""

    def __init__(self, provider: AttestationProvider) -> None:
        self._provider = provider

    def attest(
        self, endpoint: str, key: rsa.RSAPrivateKey, client_id: str, *, fresh: bool = False
    ) -> str:
        """Return the attestation service's JWT for a key; see ``Attestor.attest``.

        Raises:
            MsiV2ClientError: ``mtls_pop_requires_keyguard``: the key is of another kind.
        """
        if not isinstance(key, KeyGuardKey):
            raise MsiV2ClientError(
                "mtls_pop_requires_keyguard",
                f"Only a KeyGuard key of this package can be attested, not a {type(key).__name__}.",
            )
        return self._provider(endpoint, key.handle, client_id, fresh=fresh)


def create_attestation_provider(
    library_path: str | os.PathLike[str] | None = None,
) -> AttestationProvider:
    """Return a callable ``(endpoint, key_handle, client_id, cache_key=None, *, fresh=False)``.

    It returns the attestation service's JWT; see ``AttestationProvider.__call__``.

    Args:
        library_path: Where ``AttestationClientLib.dll`` is, absolute; see ``library_places``.

    Raises:
        UnsupportedSystemError: This is not x64 Windows.
        NativeLibraryError: The library is missing or broken.
    """
    require_x64_windows()
    return AttestationProvider(session_for(find_library(library_places(library_path))))


def get_attestation_jwt(
    endpoint: str, key_handle: int, client_id: str, cache_key: str | None = None
) -> str:
    """Return the attestation service's JWT for a key, from a provider of its own.

    The arguments and errors are those of ``AttestationProvider.__call__`` and of
    ``create_attestation_provider``. Whoever calls twice should keep a provider, which caches.
    """
    return create_attestation_provider()(endpoint, key_handle, client_id, cache_key)


def _fingerprint(key_handle: int) -> bytes:
    public_key = export_public_key(key_handle)
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()
