"""``BoundConfidentialClient``: two legs over one certificate, over every TLS stack."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msal
import pytest
import requests
from acquiring import acquire, make_client, wait_for_background

from msal_msi_v2 import (
    BoundConfidentialClient,
    MsiV2ClientError,
    MsiV2ServiceError,
    MtlsBindingStrength,
    authorization_header,
    verify_cnf_binding,
)
from msal_msi_v2.emulator import (
    Drop,
    FederatedCredential,
    OAuthError,
    Status,
    WrongCnf,
)
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
    platform.clock.offset += 100
    later = app.acquire_token_for_client(SCOPES)
    assert later["expires_in"] == pytest.approx(bearer["expires_in"] - 100, abs=30)
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
    assert len(emulator.requests_to("token")) == 2


def test_the_floor_and_the_attestation_are_those_of_the_assertion(
    emulator: Any, app: BoundConfidentialClient, stack: str, attested_platform: Any
) -> None:
    attested = make_app(
        emulator,
        make_client(attested_platform),
        app._client_id,
        min_strength=None,
        with_attestation_support=True,
    )
    result = attested.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)
    assert result["binding_certificate"].strength is MtlsBindingStrength.KEYGUARD
    assert len(emulator.requests_to("attestation")) == 1
    if stack == "software":
        strict = make_app(emulator, app._identity, app._client_id, min_strength=None)
        with pytest.raises(MsiV2ClientError) as caught:
            strict.acquire_token_for_client(SCOPES)
        assert caught.value.error == "mtls_pop_requires_keyguard"
        assert caught.value.correlation_id


def test_a_claims_challenge_is_not_answered_from_the_cache(
    emulator: Any, app: BoundConfidentialClient
) -> None:
    first = app.acquire_token_for_client(SCOPES)
    challenged = app.acquire_token_for_client(
        SCOPES, claims_challenge='{"access_token": {"nbf": {"essential": true, "value": "1"}}}'
    )
    assert challenged["token_source"] == "identity_provider"
    assert '"nbf"' in leg2_form(emulator)["claims"]
    kept = app.acquire_token_for_client(SCOPES)
    assert kept["access_token"] == challenged["access_token"] != first["access_token"]
    anew = app.acquire_token_for_client(SCOPES, force_refresh=True)
    assert anew["token_source"] == "identity_provider"
    with pytest.raises(MsiV2ClientError, match="JSON"):
        app.acquire_token_for_client(SCOPES, claims_challenge="[]")


def test_capabilities_are_claims(emulator: Any, app: BoundConfidentialClient) -> None:
    able = make_app(emulator, app._identity, app._client_id, client_capabilities=["CP1"])
    able.acquire_token_for_client(SCOPES)
    assert '"values":["CP1"]' in leg2_form(emulator)["claims"].replace(" ", "")
    assert app.acquire_token_for_client(SCOPES)["token_source"] == "identity_provider"


def test_a_token_is_renewed_in_the_background_when_the_service_says_so(
    emulator: Any, platform: Any, app: BoundConfidentialClient
) -> None:
    emulator.refresh_in = 1800
    first = app.acquire_token_for_client(SCOPES)
    assert first["refresh_on"] == pytest.approx(platform.clock.now() + 1800, abs=30)
    platform.clock.offset += 1900
    emulator.clock_offset = 1900
    assert app.acquire_token_for_client(SCOPES)["access_token"] == first["access_token"]
    wait_for_background()
    again = app.acquire_token_for_client(SCOPES)
    assert (again["token_source"], again["access_token"] != first["access_token"]) == (
        "cache",
        True,
    )


def test_who_wants_to_be_left_alone_is(
    emulator: Any, platform: Any, app: BoundConfidentialClient
) -> None:
    acquire_assertion(app)
    emulator.faults.add("token", Status(429, headers={"Retry-After": "120"}))
    for _ in range(3):
        with pytest.raises(MsiV2ServiceError) as caught:
            app.acquire_token_for_client(SCOPES)
        assert caught.value.status_code == 429
    assert len(emulator.requests_to("token")) == 2
    other = ["https://vault.azure.net/.default"]
    assert app.acquire_token_for_client(other)["access_token"]
    platform.clock.offset += 121
    assert app.acquire_token_for_client(SCOPES)["access_token"]


def test_a_revoked_certificate_is_replaced_once(
    emulator: Any, app: BoundConfidentialClient
) -> None:
    app.acquire_token_for_client(SCOPES)
    used = emulator.requests_to("token")[0].client_certificate
    emulator.revoke(used)
    result = app.acquire_token_for_client(["https://vault.azure.net/.default"])
    assert result["token_source"] == "identity_provider"
    assert emulator.requests_to("token")[-1].client_certificate != used


@pytest.mark.parametrize(
    ("fault", "renewals"),
    [
        (OAuthError("invalid_client", aadsts=(1000611,)), 1),
        (OAuthError("invalid_client"), 1),
        (Drop(), 1),
        (OAuthError("invalid_client", aadsts=(700213,)), 0),
        (OAuthError("unauthorized_client"), 0),
    ],
)
def test_what_a_new_certificate_may_mend_gets_one(
    emulator: Any, app: BoundConfidentialClient, fault: Any, renewals: int
) -> None:
    acquire_assertion(app)
    used = emulator.requests_to("token")[0].client_certificate
    emulator.faults.add("token", fault)
    if renewals:
        assert app.acquire_token_for_client(SCOPES)["access_token"]
    else:
        with pytest.raises(MsiV2ServiceError):
            app.acquire_token_for_client(SCOPES)
    assert len(emulator.requests_to("issuecredential")) == 1 + renewals
    assert len(emulator.requests_to("token")) == 2 + 2 * renewals
    assert (emulator.requests_to("token")[-1].client_certificate != used) is bool(renewals)


def test_a_bound_token_goes_with_its_certificate(
    emulator: Any, app: BoundConfidentialClient
) -> None:
    kept = app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)
    emulator.revoke(kept["binding_certificate"].der)
    acquire(app._identity, resource="https://another.resource")  # which finds out
    result = app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)
    assert result["binding_certificate"].der != kept["binding_certificate"].der


def test_who_is_not_trusted_is_refused(emulator: Any, identity: ManagedIdentityClient) -> None:
    stranger = emulator.register_application()
    with pytest.raises(MsiV2ServiceError) as caught:
        make_app(emulator, identity, stranger.client_id).acquire_token_for_client(SCOPES)
    assert (caught.value.error, caught.value.error_codes) == ("invalid_client", (700213,))
    assert (
        caught.value.correlation_id
        == emulator.requests_to("token")[-1].headers["client-request-id"]
    )


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (WrongCnf(), "cnf_mismatch"),
        (OAuthError("unauthorized_client"), "unauthorized_client"),
        (
            Status(200, body={"access_token": "x", "token_type": "Bearer", "expires_in": 9}),
            "token_type_mismatch",
        ),
        (Status(200, body={"access_token": "x", "expires_in": 9}), "token_type_missing"),
    ],
)
def test_what_the_second_leg_refuses_or_gets_wrong_is_an_error(
    emulator: Any, app: BoundConfidentialClient, fault: Any, code: str
) -> None:
    acquire_assertion(app)
    emulator.faults.add("token", fault)
    with pytest.raises(MsiV2ServiceError) as caught:
        app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)
    assert caught.value.error == code
    assert "eyJ" not in str(caught.value)
    assert app.acquire_token_for_client(SCOPES, mtls_proof_of_possession=True)


def test_a_bearer_token_is_what_was_asked_for(emulator: Any, app: BoundConfidentialClient) -> None:
    acquire_assertion(app)
    bound = {"access_token": "x", "token_type": "mtls_pop", "expires_in": 9}
    emulator.faults.add("token", Status(200, body=bound))
    with pytest.raises(MsiV2ServiceError, match="of type 'bearer'"):
        app.acquire_token_for_client(SCOPES)


def leg2_form(emulator: Any) -> dict[str, str]:
    return dict(parse_qsl(emulator.requests_to("token")[-1].body.decode()))


def acquire_assertion(app: BoundConfidentialClient) -> None:
    """Have the next token request be leg 2."""
    acquire(app._identity, resource="api://AzureADTokenExchange")


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": ""},
        {"client_id": None},
        {
            "managed_identity_client": msal.ManagedIdentityClient(
                msal.SystemAssignedManagedIdentity(), http_client=object()
            )
        },
        {"client_capabilities": "CP1"},
        {"client_capabilities": [1]},
        {"azure_region": True},
        {"min_strength": 7},
        {"audience": ""},
    ],
)
def test_wrong_arguments(identity: ManagedIdentityClient, wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {
        "client_id": "app",
        "authority": "https://login.microsoftonline.com/t",
        "managed_identity_client": identity,
    }
    BoundConfidentialClient(**right, client_capabilities=[])
    with pytest.raises(MsiV2ClientError) as caught:
        BoundConfidentialClient(**{**right, **wrong})
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize(
    ("authority", "region", "expected"),
    [
        ("https://login.microsoftonline.com/t", None, "https://mtlsauth.microsoft.com/t"),
        ("https://login.windows.net/t/", "westus3", "https://westus3.mtlsauth.microsoft.com/t"),
        ("https://login.microsoftonline.us/t", None, "https://mtlsauth.microsoftonline.us/t"),
        ("https://LOGIN.microsoftonline.com:443/t", None, "https://mtlsauth.microsoft.com/t"),
        ("https://sts.windows.net/t", None, "https://mtlsauth.microsoft.com/t"),
        (
            "https://login.partner.microsoftonline.cn/contoso.cn",
            None,
            "https://mtlsauth.partner.microsoftonline.cn/contoso.cn",
        ),
        ("https://mtlsauth.microsoft.com/t", None, "https://mtlsauth.microsoft.com/t"),
        (
            "https://westus3.mtlsauth.microsoft.com/t",
            None,
            "https://westus3.mtlsauth.microsoft.com/t",
        ),
        ("https://[::1]:8443/t", None, "https://[::1]:8443/t"),
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
        ("https://user:pw@login.microsoftonline.com/t", None),
        ("https://login.microsoftonline.com/t?x=y", None),
        ("https://login.microsoftonline.com/t/v2.0", None),
        ("https://login.microsoftonline.com/a b", None),
        ("https://login.evil.example\\.microsoftonline.com/t", None),
        ("https://contoso.b2clogin.com/t", None),
        ("https://adfs.contoso.com/adfs", None),
        ("https://[x/t", None),
        (None, None),
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
    assert "pw@" not in str(caught.value)


@pytest.mark.parametrize(
    "scopes", ["https://graph.microsoft.com/.default", [], [None], [" "], None, 7]
)
def test_scopes_are_a_list(app: BoundConfidentialClient, scopes: Any) -> None:
    with pytest.raises(MsiV2ClientError, match="must be a list"):
        app.acquire_token_for_client(scopes)
