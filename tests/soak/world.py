"""The machines that ask for tokens: platforms with keys that die, their clients, and stores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msal
import requests
from cryptography import x509

from msal_msi_v2 import ManagedIdentityClient, MtlsBindingStrength
from msal_msi_v2.emulator import Identity
from msal_msi_v2.software import SoftwareKeyStore

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from datetime import datetime

    from msal_msi_v2.emulator import MsiV2Emulator
    from msal_msi_v2.platforms import BindingKey, KeyStore, StoredCertificate

    from .timeline import Timeline
    from .witness import Witness

_KEYS = 3
_RESOURCES = 4
_FOLLOWERS = 0.7
IDENTITIES = (
    Identity("11111111-0b9c-4d8e-8f70-61524334251a", "12121212-4a5f-4e6d-9c7b-8a9f0e1d2c3b"),
    Identity("22222222-0b9c-4d8e-8f70-61524334251a", "23232323-4a5f-4e6d-9c7b-8a9f0e1d2c3b", "/a"),
    Identity("33333333-0b9c-4d8e-8f70-61524334251a", "34343434-4a5f-4e6d-9c7b-8a9f0e1d2c3b", "/b"),
)
_SYSTEM, _FIRST, _SECOND = IDENTITIES


class MortalKeyStore:
    """A ``KeyStore`` whose key is another one after each death."""

    def __init__(self, lives: Sequence[KeyStore]) -> None:
        self._lives = lives
        self._deaths = 0

    def get_key(self) -> BindingKey:
        return self._lives[self._deaths % len(self._lives)].get_key()

    def die(self) -> None:
        self._deaths += 1


class MemoryStore:
    """A ``CertificateStore`` that outlives platforms."""

    def __init__(self) -> None:
        self._kept: dict[str, StoredCertificate] = {}

    def load(self, alias: str, key: Any, *, expires_after: datetime) -> StoredCertificate | None:
        kept = self._kept.get(alias)
        if kept is None:
            return None
        certificate = x509.load_der_x509_certificate(kept.der)
        if certificate.public_key() != key.public_key():
            self.remove(alias)
            return None
        return kept if certificate.not_valid_after_utc > expires_after else None

    def save(self, alias: str, certificate: StoredCertificate, key: Any) -> None:
        del key
        self._kept[alias] = certificate

    def remove(self, alias: str) -> None:
        self._kept.pop(alias, None)


@dataclass(eq=False)
class SoakPlatform:
    """A ``Platform`` on the common timeline. What it remembers goes when it is replaced."""

    key_store: MortalKeyStore
    attestor: Any
    transport: Any
    certificate_store: MemoryStore | None
    clock: Timeline


@dataclass(frozen=True)
class Ask:
    """One way to ask for a token."""

    client: ManagedIdentityClient
    platform: SoakPlatform
    identity: Identity
    capabilities: list[str] | None
    resource: str
    attested: bool
    floor: MtlsBindingStrength | None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def required(self) -> MtlsBindingStrength:
        return MtlsBindingStrength.KEYGUARD if self.floor is None else self.floor

    @property
    def has_keyguard(self) -> bool:
        return self.platform.attestor is not None

    @property
    def can_be_had(self) -> bool:
        return self.has_keyguard or not (
            self.attested or self.required > MtlsBindingStrength.SOFTWARE
        )

    def acquire(self) -> dict[str, Any]:
        return self.client.acquire_token_for_client(
            resource=self.resource,
            mtls_proof_of_possession=True,
            with_attestation_support=self.attested,
            min_strength=self.floor,
            **self.options,
        )


class World:
    """Four machines, each with clients for several identities."""

    def __init__(self, emulator: MsiV2Emulator, timeline: Timeline, witness: Witness) -> None:
        self._emulator = emulator
        self._witness = witness
        self.platforms = [
            self._make_platform(timeline, keyguard=keyguard, persistent=persistent)
            for keyguard in (True, False)
            for persistent in (True, False)
        ]
        self._makers = [
            (msal.SystemAssignedManagedIdentity(), _SYSTEM),
            (_user(client_id=_FIRST.client_id), _FIRST),
            (_user(object_id=_FIRST.object_id), _FIRST),
            (_user(resource_id="/b"), _SECOND),
        ]
        self._clients: dict[tuple[int, int, bool], ManagedIdentityClient] = {}
        self._latest: Ask | None = None

    def restart(self, index: int) -> None:
        """Replace a platform as a new process would: same keys and store, nothing remembered."""
        old = self.platforms[index]
        self.platforms[index] = SoakPlatform(
            old.key_store, old.attestor, old.transport, old.certificate_store, old.clock
        )
        for name in [name for name in list(self._clients) if name[0] == id(old)]:
            del self._clients[name]

    def choose(self, rng: random.Random) -> Ask:
        """Return some way to ask, and often the one of a moment ago with another floor.

        So threads meet that want the same thing, or nearly.
        """
        floor = rng.choice([None, None, *MtlsBindingStrength])
        if self._latest is not None and rng.random() < _FOLLOWERS:
            return replace(self._latest, floor=floor)
        self._latest = self.ask(
            rng.randrange(len(self.platforms)),
            rng.randrange(len(self._makers)),
            capable=rng.random() < 0.2,
            resource=f"https://resource-{rng.randrange(_RESOURCES)}.example",
            attested=rng.random() < 0.4,
            floor=floor,
        )
        return self._latest

    def everything(self) -> list[Ask]:
        """Return every way to ask, apart from the resources and the floors between."""
        return [
            self.ask(
                platform,
                maker,
                capable=capable,
                resource="https://resource-0.example",
                attested=attested,
                floor=floor,
            )
            for platform in range(len(self.platforms))
            for maker in range(len(self._makers))
            for capable in (False, True)
            for attested in (False, True)
            for floor in (None, MtlsBindingStrength.SOFTWARE)
        ]

    def ask(
        self,
        platform_index: int,
        maker: int,
        *,
        capable: bool,
        resource: str,
        attested: bool,
        floor: MtlsBindingStrength | None,
    ) -> Ask:
        platform = self.platforms[platform_index]
        managed_identity, identity = self._makers[maker]
        capabilities = ["CP1"] if capable else None
        name = (id(platform), maker, capable)
        client = self._clients.get(name)
        if client is None:
            client = self._make_client(platform, managed_identity, capabilities)
            client = self._clients.setdefault(name, client)
        return Ask(client, platform, identity, capabilities, resource, attested, floor)

    def _make_platform(
        self, timeline: Timeline, *, keyguard: bool, persistent: bool
    ) -> SoakPlatform:
        emulated = [self._emulator.keyguard_platform() for _ in range(_KEYS)]
        store = MemoryStore() if persistent else None
        if keyguard:
            keys = MortalKeyStore([platform.key_store for platform in emulated])
            return SoakPlatform(keys, emulated[0].attestor, emulated[0].transport, store, timeline)
        keys = MortalKeyStore([SoftwareKeyStore() for _ in range(_KEYS)])
        return SoakPlatform(keys, None, None, store, timeline)

    def _make_client(
        self, platform: SoakPlatform, managed_identity: Any, capabilities: list[str] | None
    ) -> ManagedIdentityClient:
        session = requests.Session()
        session.hooks["response"].append(self._witness.hook)
        return ManagedIdentityClient(
            managed_identity,
            http_client=session,
            client_capabilities=capabilities,
            platform=platform,
            timeout=(2, 1),
        )


def _user(**selector: str) -> Any:
    return msal.UserAssignedManagedIdentity(**selector)
