"""The emulated host, in this process or in one of its own, and clients for it."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msal
import requests

from msal_msi_v2 import ManagedIdentityClient, MsiV2ClientError, MtlsBindingStrength
from msal_msi_v2.emulator import MsiV2Emulator
from msal_msi_v2.software import SoftwarePlatform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from msal_msi_v2.platforms import BindingKey, KeyStore

RESOURCE = "https://vault.azure.net"
# Clients read it when they are made. One that is made before its emulator fails, on this machine,
# rather than asking a real IMDS.
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:9"
_NO_ATTESTATION = MsiV2ClientError("attestation_not_supported", "Benchmarks use software keys.")


class GivenKey:
    """A key store that has its key already."""

    def __init__(self, key: BindingKey) -> None:
        self._key = key

    def get_key(self) -> BindingKey:
        """Return the key."""
        return self._key


def make_platform(key_store: KeyStore | None = None) -> SoftwarePlatform:
    """Return a platform that remembers nothing yet."""
    platform = SoftwarePlatform(_NO_ATTESTATION)
    if key_store is not None:
        vars(platform)["key_store"] = key_store
    return platform


def make_client(platform: SoftwarePlatform | None = None) -> ManagedIdentityClient:
    """Return a client for bound tokens."""
    return ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(),
        http_client=requests.Session(),
        platform=platform or make_platform(),
    )


def make_bearer_client() -> Any:
    """Return the peer: msal's own client, for bearer tokens."""
    return msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )


def acquire(client: ManagedIdentityClient, resource: str = RESOURCE, **more: Any) -> dict[str, Any]:
    """Acquire a bound token, over a software key."""
    return client.acquire_token_for_client(
        resource=resource,
        mtls_proof_of_possession=True,
        min_strength=MtlsBindingStrength.SOFTWARE,
        **more,
    )


@contextmanager
def emulator_here() -> Iterator[MsiV2Emulator]:
    """Serve an emulated host in this process, which counts requests; export its variables."""
    with MsiV2Emulator() as emulator:
        export(emulator.environment)
        yield emulator


@contextmanager
def emulator_elsewhere() -> Iterator[None]:
    """Serve an emulated host in a process of its own, whose work costs this one no time."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    try:
        export(ours.recv())
        yield
    finally:
        ours.close()
        process.join()


def _serve(parent: Connection) -> None:
    """Serve until the parent hangs up."""
    with MsiV2Emulator() as emulator:
        parent.send(emulator.environment)
        while not parent.poll(1):
            emulator.clear_requests()


def export(environment: dict[str, str]) -> None:
    """Make an emulated host this process's environment."""
    # urllib takes the token service through a proxy where one is set; loopback needs none
    os.environ.update(environment, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
