"""``BoundConfidentialClient``: two legs over one certificate, over every TLS stack."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
import requests
from acquiring import make_client

from msal_msi_v2 import (
    BoundConfidentialClient,
    MsiV2ClientError,
    MsiV2ServiceError,
    MtlsBindingStrength,
    authorization_header,
    verify_cnf_binding,
)
from msal_msi_v2.emulator import FederatedCredential, OAuthError, Status, WrongCnf
from msal_msi_v2.http import MtlsAdapter
from msal_msi_v2.protocol.federation import token_endpoint

if TYPE_CHECKING:
    from msal_msi_v2 import ManagedIdentityClient

SCOPES = ["https://graph.microsoft.com/.default"]


@pytest.fixture
def identity(emulator: Any, platform: Any) -> ManagedIdentityClient:
    del emulator
    return make_client(platform)


@pytest.fixture
def app(emulator: Any, identity: ManagedIdentityClient) -> BoundConfidentialClient:
    trusted = FederatedCredential(
        f"https://login.microsoftonline.com/{emulator.tenant_id}/v2.0",
        emulator.identities[0].object_id,
    )
    made = emulator.register_application(federated=[trusted])
    return make_app(emulator, identity, made.client_id)


def make_app(
    emulator: Any, identity: ManagedIdentityClient, client_id: str, **more: Any
) -> BoundConfidentialClient:
    options = {
        "min_strength": MtlsBindingStrength.SOFTWARE,
        "authority": f"{emulator.token_url}/{emulator.tenant_id}",
        **more,
    }
    return BoundConfidentialClient(client_id, managed_identity_client=identity, **options)


def test_two_legs_over_one_certificate(emulator: Any, app: BoundConfidentialClient) -> None:
    result = app.acquire_token_for_client(SCOPES)
    assert (result["token_type"], result["token_source"]) == ("Bearer", "identity_provider")
    assert "binding_certificate" not in result
    first, second = emulator.requests_to("token")
    assert first.client_certificate == second.client_certificate
    form = dict(parse_qsl(second.body.decode()))
    assert form["client_assertion_type"].endswith(":jwt-pop")
    assert "token_type" not in form


def test_the_token_itself_may_be_bound(emulator: Any, app: BoundConfidentialClient) -> None:
    result = app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)
    assert result["token_type"] == "mtls_pop"
    certificate = result["binding_certificate"]
    assert certificate.der == emulator.requests_to("token")[1].client_certificate
    assert verify_cnf_binding(result["access_token"], certificate)


def test_the_other_tenant_has_an_endpoint_too(
    emulator: Any, identity: ManagedIdentityClient, app: BoundConfidentialClient
) -> None:
    tenant = emulator.other_tenant_id
    elsewhere = make_app(
        emulator, identity, app._client_id, authority=f"{emulator.token_url}/{tenant}"
    )
    result = elsewhere.acquire_token_for_client(
        ["https://resource.example/.default"], mtls_proof_of_possession=True
    )
    with requests.Session() as session:
        session.mount("https://", MtlsAdapter(result["binding_certificate"]))
        session.headers["Authorization"] = authorization_header(result)
        answer = session.get(emulator.resource_url, timeout=30)
    assert (answer.json()["tenant_id"], answer.json()["client_id"]) == (tenant, app._client_id)


def test_tokens_are_cached_each_kind_by_itself(
    emulator: Any, platform: Any, app: BoundConfidentialClient
) -> None:
    bearer = app.acquire_token_for_client(SCOPES)
    bound = app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)
    assert bearer["access_token"] != bound["access_token"]
    for pop, made in ((False, bearer), (True, bound)):
        again = app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=pop)
        assert (again["token_source"], again["access_token"]) == ("cache", made["access_token"])
    assert len(emulator.requests_to("token")) == 3  # leg 1 once
    platform.clock.sleep(86400)
    assert app.acquire_token_for_client(SCOPES)["token_source"] == "identity_provider"


def test_threads_share_one_flight(emulator: Any, app: BoundConfidentialClient) -> None:
    tokens: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: tokens.append(app.acquire_token_for_client(SCOPES)["access_token"])
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(tokens) == 8
    assert len(emulator.requests_to("token")) <= 3


def test_a_revoked_certificate_is_replaced_once(
    emulator: Any, app: BoundConfidentialClient
) -> None:
    app.acquire_token_for_client(SCOPES)
    used = emulator.requests_to("token")[0].client_certificate
    emulator.revoke(used)
    result = app.acquire_token_for_client(["https://vault.azure.net/.default"])
    assert result["token_source"] == "identity_provider"
    assert emulator.requests_to("token")[-1].client_certificate != used


def test_who_is_not_trusted_is_refused(emulator: Any, identity: ManagedIdentityClient) -> None:
    stranger = emulator.register_application()
    with pytest.raises(MsiV2ServiceError) as caught:
        make_app(emulator, identity, stranger.client_id).acquire_token_for_client(SCOPES)
    assert (caught.value.error, caught.value.error_codes) == ("invalid_client", (700213,))
    assert caught.value.correlation_id


@pytest.mark.parametrize("fault", [WrongCnf(), OAuthError("unauthorized_client"), Status(429)])
def test_what_the_second_leg_refuses_or_gets_wrong_is_an_error(
    emulator: Any, identity: ManagedIdentityClient, app: BoundConfidentialClient, fault: Any
) -> None:
    identity.acquire_token_for_client(
        resource="api://AzureADTokenExchange",
        mtls_proof_of_possession=True,
        min_strength=MtlsBindingStrength.SOFTWARE,
    )
    emulator.faults.add("token", fault, times=4)
    with pytest.raises(MsiV2ServiceError) as caught:
        app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)
    assert "eyJ" not in str(caught.value)
    emulator.faults.clear()
    assert app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)


@pytest.mark.parametrize(
    ("authority", "region", "expected"),
    [
        ("https://login.microsoftonline.com/t", None, "https://mtlsauth.microsoft.com/t"),
        ("https://login.windows.net/t/", "westus3", "https://westus3.mtlsauth.microsoft.com/t"),
        ("https://login.microsoftonline.us/t", None, "https://mtlsauth.microsoftonline.us/t"),
        ("https://mtlsauth.microsoft.com/t", None, "https://mtlsauth.microsoft.com/t"),
    ],
)
def test_the_endpoint_of_an_authority(authority: str, region: str | None, expected: str) -> None:
    assert token_endpoint(authority, region) == f"{expected}/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("authority", "region"),
    [
        ("https://login.microsoftonline.com/common", None),
        ("https://login.microsoftonline.com/organizations/", None),
        ("https://login.microsoftonline.com/Common", None),
        ("https://login.microsoftonline.com", None),
        ("http://login.microsoftonline.com/t", None),
        ("login.microsoftonline.com/t", None),
        ("https://login.microsoftonline.com/t", "evil.example/"),
    ],
)
def test_what_is_no_authority_is_refused(
    authority: str, region: str | None, identity: ManagedIdentityClient
) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        BoundConfidentialClient(
            "app", authority=authority, managed_identity_client=identity, azure_region=region
        )
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize("scopes", ["https://graph.microsoft.com/.default", [], [None]])
def test_scopes_are_a_list(app: BoundConfidentialClient, scopes: Any) -> None:
    with pytest.raises(MsiV2ClientError, match="must be a list"):
        app.acquire_token_for_client(scopes)
