"""Both transports, each with a key that it can use, and a server that trusts its certificate."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hosts import has_standin, is_wine
from issuer import Issuer
from tls_server import TlsServer, root_file
from trusted_root import trust_the_root

from msal_msi_v2.http.openssl import OpenSslTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import BindingTransport

STACKS = ["openssl", *(["winhttp"] if sys.platform == "win32" else [])]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have Windows trust the servers; before any test, since a process reads its roots once."""
    trust_the_root(session)


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    """Which transport."""
    name: str = request.param
    if name == "winhttp" and is_wine() and not has_standin():
        pytest.skip("Wine's own ncrypt.dll keeps no keys")
    return name


@pytest.fixture
def key(stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A key that the transport can use."""
    if stack == "openssl":
        yield rsa.generate_private_key(65537, 2048)
        return
    from msal_key_attestation._keys.ncrypt_key import TpmKey  # noqa: PLC0415 - on Windows only
    from msal_key_attestation._native.constants import MS_KEY_STORAGE_PROVIDER  # noqa: PLC0415
    from msal_key_attestation.keyguard import Recipe, obtain_key  # noqa: PLC0415

    monkeypatch.setenv("STANDIN_STATE", str(tmp_path / "host"))
    recipe = Recipe("Test", f"msal-test-{uuid.uuid4()}", MS_KEY_STORAGE_PROVIDER, 0, TpmKey)
    made = obtain_key(recipe, on_created=lambda: None)
    yield made
    made.delete()


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """The CA of binding certificates."""
    return Issuer()


@pytest.fixture
def certificate(key: Any, issuer: Issuer) -> BindingCertificate:
    """What the server is to see."""
    return issuer.bind(key)


@pytest.fixture
def transport(stack: str) -> Iterator[BindingTransport]:
    """The transport, trusting the server."""
    made: BindingTransport
    if stack == "openssl":
        made = OpenSslTransport(str(root_file()))
    else:
        from msal_key_attestation.winhttp import WinHttpTransport  # noqa: PLC0415 - as above

        made = WinHttpTransport()
    yield made
    made.close()


@pytest.fixture
def tls(issuer: Issuer) -> Iterator[TlsServer]:
    """A server that is trusted, and that asks for a binding certificate."""
    with TlsServer(client_ca=issuer.pem) as server:
        yield server
