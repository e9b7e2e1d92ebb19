"""Clients over software keys with a clock of their own, for tests about time and failure."""

from __future__ import annotations

from typing import Any

import msal
import requests
from fake_clock import FakeClock

from msal_msi_v2 import ManagedIdentityClient, MsiV2ClientError, MtlsBindingStrength
from msal_msi_v2.software import SoftwarePlatform

RESOURCE = "https://vault.azure.net"
NO_ATTESTATION = MsiV2ClientError("attestation_not_supported", "This is a test's platform.")


class ClockedPlatform(SoftwarePlatform):
    """Software keys, and a clock that tests set."""

    def __init__(self) -> None:
        super().__init__(NO_ATTESTATION)
        self.clock = FakeClock()


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
