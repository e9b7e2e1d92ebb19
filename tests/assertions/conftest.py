"""A small cloud for each test, and how to reach it under a vault's own name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from detour import Detour
from fake_clock import FakeClock
from small_cloud import RESOURCE, VAULT_TOKEN, SmallCloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def cloud(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SmallCloud]:
    with SmallCloud(tmp_path / "ca.pem") as found:
        found.now = clock.now
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", found.ca_bundle)
        yield found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def options(clock: FakeClock) -> dict[str, Any]:
    """What every assertion of these tests is made with."""
    return {"credential": lambda _resource: VAULT_TOKEN, "resource": RESOURCE, "clock": clock}


@pytest.fixture
def detour(cloud: SmallCloud) -> Iterator[requests.Session]:
    """A session for which every vault is the small cloud's."""
    with requests.Session() as session:
        session.mount("https://", Detour(cloud.url))
        yield session
