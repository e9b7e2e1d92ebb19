"""Servers that ask for the client's certificate once they have read the request, as Key Vault."""

from __future__ import annotations

import http.client
import io
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from acquiring import RESOURCE, acquire, make_client

from msal_msi_v2 import MtlsBindingStrength, authorization_header
from msal_msi_v2.emulator import MsiV2Emulator
from msal_msi_v2.http import MtlsAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from msal_msi_v2 import ManagedIdentityClient

MODES = ["renegotiation", "post_handshake"]
TIMEOUT = 30


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, emulator: Any) -> Iterator[str]:
    emulator.client_certificates = request.param
    yield request.param
    emulator.client_certificates = "handshake"


@pytest.fixture
def client(platform: Any) -> ManagedIdentityClient:
    return make_client(platform)


@pytest.fixture
def session(mode: str, stack: str, client: ManagedIdentityClient) -> Iterator[requests.Session]:
    if stack == "windows":
        pytest.skip("Wine's TLS cannot; see test_wine_says_that_it_cannot")
    del mode
    with client.mtls_session(resource=RESOURCE, min_strength=MtlsBindingStrength.SOFTWARE) as made:
        yield made


def test_the_certificate_is_presented_when_it_is_asked_for(
    emulator: Any, session: requests.Session
) -> None:
    for _ in range(3):
        assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 200
    sent = emulator.requests_to("resource")
    assert all(one.client_certificate for one in sent)
    assert len({one.connection_id for one in sent}) == 1, "it is asked for once a connection"


@pytest.mark.parametrize(
    "make_body",
    [
        lambda: b"x" * 300_000,
        lambda: iter([b"x" * 100_000] * 3),
        lambda: io.BytesIO(b"x" * 300_000),
    ],
)
def test_after_a_body_too(
    emulator: Any, session: requests.Session, make_body: Callable[[], Any]
) -> None:
    answer = session.put(emulator.resource_url, data=make_body(), timeout=TIMEOUT)
    assert answer.json()["body_length"] == 300_000


def test_the_vault_asks_those_who_have_a_bound_token(
    emulator: Any, session: requests.Session
) -> None:
    answer = session.get(f"{emulator.vault_url}/secrets/x?api-version=7.4", timeout=TIMEOUT)
    assert answer.json()["value"] == "the emulator's secret"
    plain = requests.get(
        f"{emulator.vault_url}/secrets/x?api-version=7.4",
        verify=emulator.ca_bundle,
        timeout=TIMEOUT,
    )
    assert "WWW-Authenticate" in plain.headers


@pytest.mark.usefixtures("mode")
def test_a_stolen_token_is_refused(
    emulator: Any, stack: str, client: ManagedIdentityClient, make_platform: Callable[[], Any]
) -> None:
    if stack == "windows":
        pytest.skip("Wine's TLS cannot")
    stolen = acquire(client, resource="https://resource.example")
    other = acquire(make_client(make_platform()))["binding_certificate"]
    with requests.Session() as thief:
        thief.mount("https://", MtlsAdapter(other))
        headers = {"Authorization": authorization_header(stolen)}
        answer = thief.get(emulator.resource_url, headers=headers, timeout=TIMEOUT)
    assert answer.status_code == 401
    assert "MtlsCnfClaim" in answer.text


def test_a_revoked_certificate_is_refused_and_replaced(
    emulator: Any, session: requests.Session
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    emulator.revoke(emulator.requests_to("resource")[0].client_certificate)
    assert session.get(emulator.resource_url, timeout=TIMEOUT).ok
    first, refused, last = emulator.requests_to("resource")
    assert (first.status, refused.status, last.status) == (200, 401, 200)
    assert first.client_certificate == refused.client_certificate != last.client_certificate


@pytest.mark.parametrize("mode", MODES)
def test_who_has_none_is_refused_by_the_service(mode: Any) -> None:
    with MsiV2Emulator(client_certificates=mode) as emulator:
        context = ssl.create_default_context(cafile=emulator.ca_bundle)
        context.post_handshake_auth = True
        address = urlsplit(emulator.resource_url)
        connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, context=context, timeout=TIMEOUT
        )
        connection.request("GET", "/", headers={"Authorization": "mtls_pop none"})
        assert connection.getresponse().status == 401
        version = connection.sock.version()
        connection.close()
    assert version == {"renegotiation": "TLSv1.2", "post_handshake": "TLSv1.3"}[mode]


def test_there_is_no_other_time_to_ask() -> None:
    with pytest.raises(ValueError, match="client_certificates is one of"):
        MsiV2Emulator(client_certificates="never")  # type: ignore[arg-type]


def test_wine_says_that_it_cannot(
    emulator: Any, stack: str, mode: str, client: ManagedIdentityClient
) -> None:
    if stack != "windows":
        pytest.skip("about WinHTTP under Wine")
    with (
        client.mtls_session(resource=RESOURCE) as made,
        pytest.raises(requests.RequestException) as caught,
    ):
        made.get(emulator.resource_url, timeout=TIMEOUT)
    expected = "ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED" if mode == "renegotiation" else ""
    assert expected in str(caught.value)
    assert isinstance(caught.value, requests.exceptions.SSLError)
