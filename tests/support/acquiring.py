"""Clients over software keys with a clock of their own, for tests about time and failure."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msal
import requests
from fake_clock import FakeClock

from msal_msi_v2 import ManagedIdentityClient, MsiV2ClientError, MtlsBindingStrength
from msal_msi_v2.software import SoftwarePlatform

if TYPE_CHECKING:
    from datetime import datetime

    from msal_msi_v2.platforms import StoredCertificate

RESOURCE = "https://vault.azure.net"
NO_ATTESTATION = MsiV2ClientError("attestation_not_supported", "This is a test's platform.")


class ClockedPlatform(SoftwarePlatform):
    """Software keys, and a clock that tests set."""

    def __init__(self) -> None:
        super().__init__(NO_ATTESTATION)
        self.clock = FakeClock()


class Store:
    """A certificate store that holds what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, StoredCertificate] = {}

    def load(self, alias: str, key: Any, *, expires_after: datetime) -> StoredCertificate | None:
        del key, expires_after
        return self.kept.get(alias)

    def save(self, alias: str, certificate: StoredCertificate, key: Any) -> None:
        del key
        self.kept[alias] = certificate

    def remove(self, alias: str) -> None:
        self.kept.pop(alias, None)


def make_client(platform: Any, identity: Any = None, **options: Any) -> ManagedIdentityClient:
    return ManagedIdentityClient(
        identity or msal.SystemAssignedManagedIdentity(),
        http_client=requests.Session(),
        platform=platform,
        **options,
    )


def acquire(client: ManagedIdentityClient, **options: Any) -> dict[str, Any]:
    arguments = {
        "resource": RESOURCE,
        "mtls_proof_of_possession": True,
        "min_strength": MtlsBindingStrength.SOFTWARE,
        **options,
    }
    return client.acquire_token_for_client(**arguments)


def wait_for_background() -> None:
    """Wait for what the library does in threads of its own."""
    for thread in threading.enumerate():
        if thread.name == "msal-msi-v2":
            thread.join(10)
