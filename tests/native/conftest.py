"""Hosts, keys and certificates for the tests of msal-key-attestation.

What needs Windows runs under Wine with tests/wine/harness.py, where ``ncrypt.dll`` is a stand-in
that each test scripts; and, without what takes that script, on Windows itself.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from hosts import has_standin, is_wine
from issuer import Issuer
from standins import Standins
from tls_server import TlsServer
from trusted_root import trust_the_root

from msal_key_attestation._keys.ncrypt_key import TpmKey
from msal_key_attestation._native.constants import MS_KEY_STORAGE_PROVIDER
from msal_key_attestation.keyguard import Recipe, obtain_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from msal_key_attestation._keys.ncrypt_key import NCryptKey


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have Windows trust the servers; before any test, since a process reads its roots once."""
    trust_the_root(session)


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standins:
    """A pretended host of the test's own, with no keys, that behaves."""
    if not has_standin():
        pytest.skip("ncrypt.dll is not the stand-in")
    host = Standins(tmp_path / "host")
    monkeypatch.setenv("STANDIN_STATE", str(host.state))
    return host


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NCryptKey]:
    """A key of Windows' own, not isolated, that is deleted at the end."""
    if is_wine() and not has_standin():
        pytest.skip("Wine's own ncrypt.dll keeps no keys")
    monkeypatch.setenv("STANDIN_STATE", str(tmp_path / "host"))
    name = f"msal-test-{uuid.uuid4()}"
    recipe = Recipe("Test", name, MS_KEY_STORAGE_PROVIDER, 0, TpmKey)
    made = obtain_key(recipe, on_created=lambda: None)
    yield made
    made.delete()


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """The CA of binding certificates."""
    return Issuer()


@pytest.fixture
def tls(issuer: Issuer) -> Iterator[TlsServer]:
    """A server that Windows trusts, and that asks for a binding certificate."""
    with TlsServer(client_ca=issuer.pem) as server:
        yield server
