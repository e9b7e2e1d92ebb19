"""A platform whose keys count as KeyGuard keys with one emulator, and with nobody else."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from msal_msi_v2.errors import AttestationError, quote

from .jwts import public_jwk

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import rsa

    from msal_msi_v2.platforms import (
        BindingKey,
        BindingTransport,
        CertificateStore,
        KeyStore,
    )

_TIMEOUT = 30.0


class EmulatedKeyStore:
    """A ``KeyStore`` that makes its key known to the emulator's attestation service."""

    def __init__(self, keys: KeyStore, trust: Callable[[rsa.RSAPublicKey], None]) -> None:
        """Stand before another key store.

        Args:
            keys: Makes the key.
            trust: Makes its public key known.
        """
        self._keys = keys
        self._trust = trust

    def get_key(self) -> BindingKey:
        """Return the key, which the first call makes."""
        key = self._keys.get_key()
        self._trust(key.private_key.public_key())
        return key


class EmulatedAttestor:
    """An ``Attestor`` that asks the attestation service anew at every call.

    Attributes:
        calls: How many calls there have been.
    """

    def __init__(self, ca_bundle: str) -> None:
        """Choose whom to trust.

        Args:
            ca_bundle: A PEM file with the CA of the attestation service.
        """
        self._ca_bundle = ca_bundle
        self._lock = threading.Lock()
        self.calls = 0

    def attest(
        self,
        endpoint: str,
        key: rsa.RSAPrivateKey,
        client_id: str,
        *,
        fresh: bool = False,  # noqa: ARG002 - there is no cache to skip
    ) -> str:
        """Return the attestation service's JWT for a key; see ``Attestor.attest``."""
        with self._lock:
            self.calls += 1
        evidence = {
            "jwk": public_jwk(key.public_key()),
            "client_id": client_id,
            "client_payload": "{}",
        }
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy, and no other CA bundle, for a local service
                response = session.post(
                    f"{endpoint.rstrip('/')}/attest/keyguard",
                    params={"api-version": "2020-10-01"},
                    json=evidence,
                    verify=self._ca_bundle,
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                )
        except requests.RequestException as exc:
            raise AttestationError(
                "attestation_failed",
                f"The attestation service at {endpoint} gave no answer: {type(exc).__name__}.",
            ) from exc
        return _token(response)


def _token(response: requests.Response) -> str:
    if response.status_code != requests.codes.ok:
        raise AttestationError(
            "attestation_failed",
            f"The attestation service answered {response.status_code}: {quote(response.text)}",
            status_code=response.status_code,
        )
    try:
        token = response.json()["token"]
    except (ValueError, LookupError, TypeError) as exc:
        raise AttestationError(
            "attestation_failed", "The attestation service's answer holds no token."
        ) from exc
    return str(token)


@dataclass(frozen=True)
class EmulatedPlatform:
    """A ``Platform`` that walks the attested path on any machine.

    Attributes:
        key_store: One software key that claims KeyGuard strength.
        attestor: Asks the emulator's attestation service.
        transport: OpenSSL, trusting the emulator's servers.
        certificate_store: None: nothing is kept across processes.
    """

    key_store: EmulatedKeyStore
    attestor: EmulatedAttestor
    transport: BindingTransport
    certificate_store: CertificateStore | None = None


def make_keyguard_platform(
    ca_bundle: str, trust: Callable[[rsa.RSAPublicKey], None]
) -> EmulatedPlatform:
    """Return a platform with a key of its own.

    Args:
        ca_bundle: A PEM file with the CA of the emulator's servers.
        trust: Makes a public key known to the emulator's attestation service.
    """
    # Not at the top: the services themselves use nothing of the client, and these two are its.
    from msal_msi_v2.http.openssl import OpenSslTransport  # noqa: PLC0415
    from msal_msi_v2.software import SoftwareKeyStore  # noqa: PLC0415
    from msal_msi_v2.strength import MtlsBindingStrength  # noqa: PLC0415

    return EmulatedPlatform(
        EmulatedKeyStore(SoftwareKeyStore(MtlsBindingStrength.KEYGUARD), trust),
        EmulatedAttestor(ca_bundle),
        OpenSslTransport(ca_bundle),
    )
