"""A small cloud for each test, and how to reach it under a vault's own name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from fake_clock import FakeClock
from requests.adapters import HTTPAdapter
from small_cloud import RESOURCE, VAULT_TOKEN, SmallCloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Detour(HTTPAdapter):
    """Leads the requests for any host to one server, as name resolution would."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(request.url)
        request.headers["X-Asked-Host"] = parts.netloc
        request.url = self._url + parts._replace(scheme="", netloc="").geturl()
        return super().send(request, *args, **kwargs)


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
