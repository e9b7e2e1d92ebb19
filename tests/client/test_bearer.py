"""Without PoP flags the client is msal's: the same requests, results and errors."""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msal
import pytest
import requests
import trustme
from recording_server import Answer, Server, recording_server

from msal_msi_v2 import ManagedIdentityClient, MtlsBindingStrength

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from msal_msi_v2.emulator import MsiV2Emulator

RESOURCE = "https://vault.azure.net"
TOKEN = {
    "access_token": "bearer",
    "expires_in": "3600",
    "expires_on": str(int(time.time()) + 3620),
    "resource": RESOURCE,
    "token_type": "Bearer",
    "client_id": "a",
}
IDENTITIES = [
    msal.SystemAssignedManagedIdentity(),
    msal.UserAssignedManagedIdentity(client_id="a"),
    msal.UserAssignedManagedIdentity(object_id="a"),
    msal.UserAssignedManagedIdentity(resource_id="a"),
    {"ManagedIdentityIdType": "SystemAssigned", "Id": None},
    {"ManagedIdentityIdType": "ClientId", "Id": "a"},
]
ANSWERS = [
    Answer(200, json.dumps(TOKEN).encode()),
    Answer(400, b'{"error": "invalid_request", "error_description": "Identity not found"}'),
    Answer(500, b'{"statusCode": 500, "message": "no", "error": {"code": "x"}}'),
    Answer(200, b"not json"),
]


@pytest.fixture(scope="module")
def certificate() -> tuple[ssl.SSLContext, str]:
    issued = trustme.CA().issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
    return context, hashlib.sha1(der).hexdigest()


def environment(source: str, server: Server, thumbprint: str) -> dict[str, str]:
    url = f"{server.url}/msi/token"
    return {
        "imds": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": server.url},
        "app_service": {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": "h"},
        "service_fabric": {
            "IDENTITY_ENDPOINT": url,
            "IDENTITY_HEADER": "h",
            "IDENTITY_SERVER_THUMBPRINT": thumbprint,
        },
        "machine_learning": {"MSI_ENDPOINT": url, "MSI_SECRET": "s"},
        "azure_arc": {"IDENTITY_ENDPOINT": url, "IMDS_ENDPOINT": server.url},
    }[source]


@pytest.fixture(params=["imds", "app_service", "service_fabric", "machine_learning", "azure_arc"])
def source(
    request: pytest.FixtureRequest,
    certificate: tuple[ssl.SSLContext, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Server]:
    context, thumbprint = certificate
    secure = context if request.param == "service_fabric" else None
    with recording_server(context=secure) as server:
        for name, value in environment(request.param, server, thumbprint).items():
            monkeypatch.setenv(name, value)
        yield server


def outcome(client_class: Any, identity: Any, server: Server, answer: Answer) -> Any:
    """Return what came of one acquisition, and what was asked for it."""
    server.answers[:], server.asked[:] = [answer], []
    with requests.Session() as session:
        client = client_class(identity, http_client=session, client_capabilities=["CP1"])
        try:
            came: Any = client.acquire_token_for_client(resource=RESOURCE)
        except Exception as exc:  # noqa: BLE001 - whatever msal raises is what we must raise
            came = type(exc), str(exc)
    if isinstance(came, dict) and "expires_in" in came:
        came["expires_in"] = round(came["expires_in"], -2)  # some sources name the time of expiry
    asked = [replace(one, headers=dict(one.headers)) for one in server.asked]
    for one in asked:
        one.headers.pop("x-ms-client-request-id", None)
    return came, asked


@pytest.mark.parametrize("identity", IDENTITIES, ids=str)
@pytest.mark.parametrize("answer", ANSWERS, ids=["token", "refusal", "failure", "nonsense"])
def test_every_source_is_msals(source: Server, identity: Any, answer: Answer) -> None:
    theirs = outcome(msal.ManagedIdentityClient, identity, source, answer)
    ours = outcome(ManagedIdentityClient, identity, source, answer)
    assert ours == theirs
    assert ours[1], "nothing was asked"


@pytest.mark.skipif(sys.platform != "linux", reason="the agent's key file is found by platform")
def test_azure_arc_to_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prefixes = msal.managed_identity._supported_arc_platforms_and_their_prefixes
    monkeypatch.setitem(prefixes, "linux", str(tmp_path))
    (tmp_path / "secret.key").write_text("key")
    challenge = Answer(401, headers={"WWW-Authenticate": f"Basic realm={tmp_path}/secret.key"})
    with recording_server(challenge, ANSWERS[0]) as server:
        for name, value in environment("azure_arc", server, "").items():
            monkeypatch.setenv(name, value)
        client = ManagedIdentityClient(IDENTITIES[0], http_client=requests.Session())
        assert client.acquire_token_for_client(resource=RESOURCE)["access_token"] == "bearer"
        assert server.asked[1].headers["authorization"] == "Basic key"


def test_bearer_tokens_are_cached_by_msal(emulator: MsiV2Emulator) -> None:
    cache = msal.TokenCache()
    client = ManagedIdentityClient(IDENTITIES[0], http_client=requests.Session(), token_cache=cache)
    first = client.acquire_token_for_client(resource=RESOURCE)
    second = client.acquire_token_for_client(resource=RESOURCE)
    assert (first["token_source"], second["token_source"]) == ("identity_provider", "cache")
    assert [request.leg for request in emulator.requests] == ["imds_token"]
    assert list(cache.search(msal.TokenCache.CredentialType.ACCESS_TOKEN))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("with_attestation_support", True),
        ("min_strength", MtlsBindingStrength.NONE),
        ("force_refresh", True),
        ("correlation_id", "6f2f6d5e-9d0c-4f0a-8f43-0d2b7a7d3f11"),
    ],
)
def test_pop_options_need_pop(emulator: MsiV2Emulator, option: str, value: Any) -> None:
    client = ManagedIdentityClient(IDENTITIES[0], http_client=requests.Session())
    with pytest.raises(msal.ManagedIdentityError, match="mtls_proof_of_possession=True"):
        client.acquire_token_for_client(resource=RESOURCE, **{option: value})
    assert emulator.requests == []


def test_attestation_without_pop_is_named_as_upstream_does() -> None:
    client = ManagedIdentityClient(IDENTITIES[0], http_client=requests.Session())
    with pytest.raises(msal.ManagedIdentityError, match="attestation_requires_pop"):
        client.acquire_token_for_client(resource=RESOURCE, with_attestation_support=True)


def test_a_bad_identity_is_refused_as_by_msal() -> None:
    for client_class in (msal.ManagedIdentityClient, ManagedIdentityClient):
        with pytest.raises(msal.ManagedIdentityError, match="Incorrect managed_identity"):
            client_class({"Id": "a"}, http_client=requests.Session())


def test_a_bad_override_does_not_trouble_bearer_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "nonsense")
    ManagedIdentityClient(IDENTITIES[0], http_client=requests.Session())
