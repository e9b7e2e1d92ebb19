"""What opens the vault, and whose token is an assertion."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
import requests
from acquiring import NO_ATTESTATION
from small_cloud import CLIENT_ID, RESOURCE, TENANTS, VAULT_TOKEN, SmallCloud

from msal_msi_v2 import (
    ManagedIdentityClient,
    MsiV2ClientError,
    MsiV2Error,
    MtlsBindingStrength,
)
from msal_msi_v2.assertions import (
    BearerCredential,
    BoundCredential,
    KeyVaultCertificateAssertion,
    ManagedIdentityAssertion,
)
from msal_msi_v2.assertions.refusals import Operation
from msal_msi_v2.assertions.rest import VaultConnection
from msal_msi_v2.clock import SystemClock
from msal_msi_v2.errors import TransportError, TransportFailure
from msal_msi_v2.software import SoftwarePlatform

if TYPE_CHECKING:
    from msal_msi_v2.emulator import MsiV2Emulator

CONTEXT = {
    "client_id": CLIENT_ID,
    "token_endpoint": f"https://login.microsoftonline.com/{TENANTS[0]}/oauth2/v2.0/token",
}
SECRET = "the emulator's secret"
AUDIENCE = "api://AzureADTokenExchange"
AccessToken = namedtuple("AccessToken", ["token", "expires_on"])  # noqa: PYI024 - the shape of azure-core's
TokenInfo = namedtuple("TokenInfo", ["token", "token_type"])  # noqa: PYI024 - the same
BOUND_TOKEN = jwt.encode({"cnf": {"x5t#S256": "x"}}, "k" * 32)


class TokenCredential:
    """What azure-core's protocol asks for."""

    def __init__(self, token: str = VAULT_TOKEN) -> None:
        self.asked: list[str] = []
        self._token = token

    def get_token(self, *scopes: str, **_: Any) -> Any:
        self.asked += scopes
        return AccessToken(self._token, 0)


class Informed(TokenCredential):
    """One that says what type its tokens are of."""

    def get_token_info(self, *_: str, **__: Any) -> Any:
        return TokenInfo(VAULT_TOKEN, "mtls_pop")


class Giving:
    """One whose answer is of another shape than azure-core's."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def get_token(self, *_: str, **__: Any) -> Any:
        return self._found


class Asynchronous:
    async def get_token(self, *_: str) -> Any:
        """Never gets that far."""


def client_of(emulator: MsiV2Emulator, *, keyguard: bool = True) -> ManagedIdentityClient:
    platform: Any = emulator.keyguard_platform() if keyguard else SoftwarePlatform(NO_ATTESTATION)
    return ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session(), platform=platform
    )


def msals_client() -> msal.ManagedIdentityClient:
    return msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )


def ask_small_vault(cloud: SmallCloud, credential: Any) -> str:
    cloud.create()
    return KeyVaultCertificateAssertion(cloud.url, "app", credential, resource=RESOURCE)(CONTEXT)


GET_SECRET = Operation("secrets/get", "", "")


def open_emulated_vault(emulator: MsiV2Emulator, credential: Any) -> str:
    """Read a secret, over the connection that reads certificates and signs."""
    connection = VaultConnection(
        emulator.vault_url, credential, resource=RESOURCE, http_client=None, clock=SystemClock()
    )
    return connection.call(
        GET_SECRET, "GET", "/secrets/x", required=("value",), read=lambda found: str(found["value"])
    )


def test_a_token_credential_is_asked_for_the_default_scope(cloud: SmallCloud) -> None:
    credential = TokenCredential()
    assert ask_small_vault(cloud, credential)
    assert set(credential.asked) == {f"{RESOURCE}/.default"}


def test_azure_cores_own_classes_do(cloud: SmallCloud) -> None:
    credentials = pytest.importorskip("azure.core.credentials")

    class Static:
        def get_token(self, *_: str, **__: Any) -> Any:
            return credentials.AccessToken(VAULT_TOKEN, 0)

        def get_token_info(self, *_: str, **__: Any) -> Any:
            return credentials.AccessTokenInfo(VAULT_TOKEN, 0)

    assert ask_small_vault(cloud, Static())


def test_a_function_is_asked_for_the_resource(cloud: SmallCloud) -> None:
    asked: list[str] = []

    def give(resource: str) -> str:
        asked.append(resource)
        return VAULT_TOKEN

    assert ask_small_vault(cloud, give)
    assert set(asked) == {RESOURCE}


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        (TokenCredential(BOUND_TOKEN), "token_type_mismatch"),
        (Informed(), "token_type_mismatch"),
        (lambda _resource: BOUND_TOKEN, "token_type_mismatch"),
        (lambda _resource: None, "invalid_request"),
        (lambda _resource: b"bytes", "invalid_request"),
        (lambda _resource: "  ", "invalid_request"),
        (lambda _resource: "tökén", "invalid_request"),
        (lambda _resource: f"{VAULT_TOKEN}\n", "invalid_request"),
        (lambda _resource: f"{VAULT_TOKEN}\r\nX-Injected: 1", "invalid_request"),
        (lambda _resource: f"{VAULT_TOKEN} {VAULT_TOKEN}", "invalid_request"),
        (TokenCredential(f"{VAULT_TOKEN}\n"), "invalid_request"),
        (Giving(None), "invalid_request"),
        (Giving(VAULT_TOKEN), "invalid_request"),
        (Giving({"token": VAULT_TOKEN}), "invalid_request"),
        (Giving(object()), "invalid_request"),
        (Giving(TokenInfo(None, None)), "invalid_request"),
        (Asynchronous(), "invalid_request"),
    ],
)
def test_what_is_no_bearer_token_is_not_shown(
    cloud: SmallCloud, credential: Any, code: str
) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        ask_small_vault(cloud, credential)
    assert caught.value.error == code
    assert VAULT_TOKEN not in str(caught.value)
    assert cloud.calls == []


def test_a_token_whose_type_is_not_said_is_a_bearer_token(cloud: SmallCloud) -> None:
    assert ask_small_vault(cloud, Giving(TokenInfo(VAULT_TOKEN, None)))


def test_our_client_opens_the_vault_with_bound_tokens_only(emulator: MsiV2Emulator) -> None:
    assert open_emulated_vault(emulator, client_of(emulator)) == SECRET
    (sent,) = emulator.requests_to("vault")
    assert sent.headers["authorization"].startswith("mtls_pop ")
    assert sent.headers["x-ms-tokenboundauth"] == "true"


def test_the_same_token_is_refused_over_a_plain_connection(emulator: MsiV2Emulator) -> None:
    open_emulated_vault(emulator, client_of(emulator))
    (sent,) = emulator.requests_to("vault")
    headers = {name: sent.headers[name] for name in ("authorization", "x-ms-tokenboundauth")}
    url = f"{emulator.vault_url}/secrets/x?api-version=7.4"
    assert requests.get(url, headers=headers, timeout=30).status_code == 401
    headers["authorization"] = headers["authorization"].replace("mtls_pop", "Bearer")
    assert requests.get(url, headers=headers, timeout=30).status_code == 401


def test_a_bound_vault_is_never_opened_with_less(emulator: MsiV2Emulator) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        open_emulated_vault(emulator, client_of(emulator, keyguard=False))
    assert caught.value.error == "mtls_pop_requires_keyguard"
    assert emulator.requests_to("vault") == []
    assert emulator.requests_to("imds_token") == []


def test_options_of_bound_tokens_are_said_outright(emulator: MsiV2Emulator) -> None:
    soft = client_of(emulator, keyguard=False)
    accepting = BoundCredential(soft, min_strength=MtlsBindingStrength.SOFTWARE)
    assert open_emulated_vault(emulator, accepting) == SECRET
    assert emulator.requests_to("attestation") == []
    attested = BoundCredential(client_of(emulator), with_attestation_support=True)
    assert open_emulated_vault(emulator, attested) == SECRET
    assert len(emulator.requests_to("attestation")) == 1


def test_bearer_tokens_of_our_client_are_asked_for_outright(emulator: MsiV2Emulator) -> None:
    for credential in (BearerCredential(client_of(emulator)), msals_client()):
        assert open_emulated_vault(emulator, credential) == SECRET
        assert emulator.requests_to("vault")[-1].headers["authorization"].startswith("Bearer ")


def test_a_bound_vault_that_is_not_there(emulator: MsiV2Emulator) -> None:
    away = KeyVaultCertificateAssertion(
        "https://localhost:9", "app", client_of(emulator), resource=RESOURCE
    )
    with pytest.raises(TransportError) as caught:
        away(CONTEXT)
    assert caught.value.failure is TransportFailure.CONNECT


@pytest.mark.parametrize("ours", [True, False])
def test_the_identitys_own_token_is_the_assertion(emulator: MsiV2Emulator, ours: bool) -> None:
    client = client_of(emulator) if ours else msals_client()
    assertion = ManagedIdentityAssertion(client)
    token = assertion(CONTEXT)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["aud"] == AUDIENCE
    assert "cnf" not in claims
    assert assertion.bind(CLIENT_ID, TENANTS[1])() == token
    assertion.invalidate()
    assert assertion(CONTEXT) == token, "the client keeps it"
    assert len(emulator.requests_to("imds_token")) == 1


def test_other_clouds_have_another_audience(emulator: MsiV2Emulator) -> None:
    del emulator
    audience = "api://AzureADTokenExchangeUSGov"
    token = ManagedIdentityAssertion(msals_client(), audience=audience)(CONTEXT)
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == audience


def test_a_bound_assertion_is_no_plain_callable(emulator: MsiV2Emulator) -> None:
    for source in (BoundCredential(client_of(emulator)), lambda _audience: BOUND_TOKEN):
        assertion = ManagedIdentityAssertion(source)
        with pytest.raises(MsiV2ClientError, match="BoundConfidentialClient") as caught:
            assertion(CONTEXT)
        assert caught.value.error == "token_type_mismatch"


def test_an_identity_that_is_not_there(emulator: MsiV2Emulator) -> None:
    missing = msal.UserAssignedManagedIdentity(client_id="00000000-0000-4000-8000-000000000000")
    client = msal.ManagedIdentityClient(missing, http_client=requests.Session())
    with pytest.raises(MsiV2Error):
        ManagedIdentityAssertion(client)(CONTEXT)
    assert len(emulator.requests_to("imds_token")) >= 1
