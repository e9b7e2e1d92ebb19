"""What every test relies on: an environment that says nothing, and one emulated host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from msal_msi_v2.clock import SystemClock
from msal_msi_v2.emulator import MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("unhurried", deadline=None)  # the machine may be busy
settings.load_profile("unhurried")

_TELLING = ("IDENTITY_", "IMDS_", "MSI_", "AZURE_", "SSL_", "REQUESTS_CA", "CURL_CA", "MSAL_")


@pytest.fixture(autouse=True)
def _blank_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what the machine says of Azure, proxies and trust, and where its real IMDS would be."""
    for name in os.environ:
        upper = name.upper()
        if upper.startswith(_TELLING) or upper.endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MSAL_MI_DISABLE_PERSISTENT_CERT_CACHE", "1")
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record what would have been waited for, and do not wait."""
    sleeps: list[float] = []
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: sleeps.append(seconds))
    return sleeps


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[MsiV2Emulator]:
    """One emulated host for the whole run; starting one makes keys, which takes time."""
    with MsiV2Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(
    shared_emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MsiV2Emulator]:
    """The emulated host as this process's environment, with nothing wrong and nothing recorded."""
    for name, value in shared_emulator.environment.items():
        monkeypatch.setenv(name, value)
    shared_emulator.clear_requests()
    yield shared_emulator
    shared_emulator.faults.clear()


@pytest.fixture(scope="session")
def windows_emulator() -> Any:
    """The emulated host that Windows trusts: under Wine, the one on the Linux side."""
    from remote import RemoteEmulator  # noqa: PLC0415 - on the path under Wine only

    return RemoteEmulator.connect()
