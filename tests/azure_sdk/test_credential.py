"""``MsiV2Credential`` with the real clients of the Azure SDK, over every TLS stack."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import msal
import pytest
from acquiring import acquire, make_client
from backlog import full_backlog

from msal_msi_v2 import MsiV2ClientError, MsiV2Error, MtlsBindingStrength
from msal_msi_v2.emulator import Drop, OAuthError, Status

exceptions = pytest.importorskip("azure.core.exceptions")
identity = pytest.importorskip("azure.identity")
secrets = pytest.importorskip("azure.keyvault.secrets")

from azure.core.credentials import AccessToken, SupportsTokenInfo  # noqa: E402 - needs azure-core
from azure.core.pipeline.policies import RetryPolicy  # noqa: E402
from azure.keyvault.secrets._shared import http_challenge_cache  # noqa: E402
from azure.keyvault.secrets.aio import SecretClient as AsyncSecretClient  # noqa: E402

from msal_msi_v2.azure import MsiV2Credential, aio  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCOPE = "https://vault.azure.net/.default"
OPTIONS: dict[str, Any] = {"min_strength": MtlsBindingStrength.SOFTWARE}
CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
BEARER_CHALLENGE = 'Bearer authorization="https://login.microsoftonline.com/t", resource="{}"'


@pytest.fixture(autouse=True)
def _no_challenge_is_known() -> None:
    """The SDK keeps Key Vault's challenges, by address, for the whole process."""
    http_challenge_cache.clear()


@pytest.fixture
def make_credential(emulator: Any, make_platform: Callable[[], Any]) -> Callable[..., Any]:
    """Make a credential with a machine of its own."""
    del emulator

    def make(kind: Any = MsiV2Credential) -> Any:
        return kind(client=make_client(make_platform()), **OPTIONS)

    return make


@pytest.fixture
def credential(make_credential: Callable[..., Any]) -> Any:
    return make_credential()


def secret_client(emulator: Any, credential: Any, options: Any = None, **more: Any) -> Any:
    return secrets.SecretClient(
        emulator.vault_url,
        credential,
        verify_challenge_resource=False,  # the emulator's address is no vault's
        retry_policy=RetryPolicy.no_retries(),
        **(credential.client_options() if options is None else options),
        **more,
    )


# --- with Key Vault's clients


def test_a_secret_is_read_with_a_bound_token(emulator: Any, credential: Any) -> None:
    with secret_client(emulator, credential) as client:
        assert client.get_secret("x").value == "the emulator's secret"
        assert client.get_secret("x").name == "x"
    first, *rest = emulator.requests_to("vault")
    assert (first.status, first.headers.get("authorization"), first.client_certificate) == (
        401,
        None,
        None,
    )
    assert len(rest) == 2
    for sent in rest:
        assert sent.headers["authorization"].startswith("mtls_pop eyJ")
        assert sent.headers["x-ms-tokenboundauth"] == "true"
        assert sent.client_certificate
    assert len(emulator.requests_to("token")) == 1


def test_and_by_the_asynchronous_client(emulator: Any, make_credential: Callable[..., Any]) -> None:
    async def main() -> list[str]:
        async with (
            make_credential(aio.MsiV2Credential) as credential,
            AsyncSecretClient(
                emulator.vault_url,
                credential,
                verify_challenge_resource=False,
                **credential.client_options(),
            ) as client,
        ):
            found = await asyncio.gather(*(client.get_secret("x") for _ in range(4)))
            return [str(one.value) for one in found]

    assert asyncio.run(main()) == ["the emulator's secret"] * 4
    assert emulator.requests_to("vault")[-1].headers["authorization"].startswith("mtls_pop ")


class Thief:
    """A credential that gives out another machine's token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_kwargs: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


def test_a_stolen_token_is_refused_before_it_is_sent(
    emulator: Any, make_credential: Callable[..., Any]
) -> None:
    owner, other = make_credential(), make_credential()
    stolen = owner.get_token(SCOPE).token
    other.get_token(SCOPE)
    with (
        secret_client(emulator, Thief(stolen), other.client_options()) as client,
        pytest.raises(exceptions.ClientAuthenticationError, match="has not issued"),
    ):
        client.get_secret("x")
    assert [sent.status for sent in emulator.requests_to("vault")] == [401]


def test_a_stolen_token_with_another_certificate_fails_at_the_vault(
    emulator: Any, make_credential: Callable[..., Any]
) -> None:
    owner, other = make_credential(), make_credential()
    stolen = owner.get_token(SCOPE).token
    renewed = acquire(other._handout.client, claims_challenge=CLAIMS)
    certificate = renewed["binding_certificate"]
    other._handout._remember(stolen, certificate)  # as if it were its own
    with (
        secret_client(emulator, Thief(stolen), other.client_options()) as client,
        pytest.raises(exceptions.ClientAuthenticationError),
    ):
        client.get_secret("x")
    sent = emulator.requests_to("vault")
    assert [one.status for one in sent] == [401] * len(sent)
    assert len(sent) <= 4, "each bound request is repeated once at most"


@pytest.mark.parametrize("allow_bearer", [False, True])
def test_bearer_tokens_of_others_are_refused_unless_asked_for(
    emulator: Any, credential: Any, allow_bearer: bool
) -> None:
    bearer = acquire_bearer()
    options = credential.client_options(allow_bearer=allow_bearer)
    with secret_client(emulator, Thief(bearer), options) as client:
        if allow_bearer:
            assert client.get_secret("x").value
            last = emulator.requests_to("vault")[-1]
            assert last.headers["authorization"].startswith("Bearer ")
            assert last.client_certificate is None
        else:
            with pytest.raises(exceptions.ClientAuthenticationError, match="allow_bearer"):
                client.get_secret("x")


def acquire_bearer() -> str:
    client = make_client(None)
    token: str = client.acquire_token_for_client(resource="https://vault.azure.net")["access_token"]
    return token


def test_a_renewed_certificate_is_the_next_requests(emulator: Any, credential: Any) -> None:
    with secret_client(emulator, credential) as client:
        client.get_secret("x")
        challenge = BEARER_CHALLENGE.format("https://vault.azure.net")
        encoded = base64.b64encode(CLAIMS.encode()).decode()
        challenge += f', error="insufficient_claims", claims="{encoded}"'
        emulator.faults.add("vault", Status(401, {"WWW-Authenticate": challenge}))
        assert client.get_secret("x").value
    certificates = [sent.client_certificate for sent in emulator.requests_to("vault")][1:]
    assert certificates[0] == certificates[1] != certificates[2]
    claims = json.loads(dict_of(emulator.requests_to("token")[-1].body)["claims"])
    assert claims["access_token"]["xms_cc"] == {"values": ["CP1"]}


def dict_of(body: bytes) -> dict[str, str]:
    from urllib.parse import parse_qsl  # noqa: PLC0415 - beside its only use

    return dict(parse_qsl(body.decode()))


def test_a_stale_binding_is_mended_once(emulator: Any, credential: Any) -> None:
    with secret_client(emulator, credential) as client:
        client.get_secret("x")
        emulator.clear_requests()
        emulator.faults.add("vault", Status(401, body="MtlsCnfClaimRequestDataValidationFailed"))
        assert client.get_secret("x").value
    first, second = emulator.requests_to("vault")
    assert (first.status, second.status) == (401, 200)
    assert first.connection_id != second.connection_id


def test_a_redirect_elsewhere_carries_neither(emulator: Any, credential: Any) -> None:
    with secret_client(emulator, credential) as client:
        client.get_secret("x")
        elsewhere = emulator.vault_url.replace("localhost", "127.0.0.1")
        there = Status(307, {"Location": f"{elsewhere}/secrets/x?api-version=7.4"})
        emulator.faults.add("vault", there)
        with pytest.raises(exceptions.ClientAuthenticationError):
            client.get_secret("x")
    seen = [one for one in emulator.requests_to("vault") if "127.0.0.1" in one.headers["host"]]
    assert seen
    for one in seen:
        assert (one.headers.get("authorization"), one.client_certificate) == (None, None)


def test_failures_of_the_network_are_the_sdks_own(emulator: Any, credential: Any) -> None:
    with secret_client(emulator, credential) as client:
        client.get_secret("x")
        emulator.faults.add("vault", Drop(), times=None)
        with pytest.raises(exceptions.AzureError):
            client.get_secret("x")


def test_no_token_is_logged(
    emulator: Any, credential: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with secret_client(emulator, credential) as client:
        client.get_secret("x")
    token = emulator.requests_to("vault")[-1].headers["authorization"].partition(" ")[2]
    assert token not in caplog.text
    assert token not in repr(credential) + repr(vars(credential))


# --- the credential by itself


def test_it_is_a_token_credential(credential: Any) -> None:
    assert callable(credential.get_token)
    assert isinstance(credential, SupportsTokenInfo)
    credential = cast("Any", credential)
    info = credential.get_token_info(SCOPE, options={"tenant_id": "any"})
    assert info.token_type == "mtls_pop"
    assert 86000 < info.expires_on - time.time() <= 86401
    with credential as same:
        again = same.get_token(SCOPE, tenant_id="any", claims=None)
    assert (again.token, abs(again.expires_on - info.expires_on) <= 1) == (info.token, True)


def test_cae_is_a_capability_of_the_token(emulator: Any, credential: Any) -> None:
    plain = credential.get_token(SCOPE).token
    able = credential.get_token(SCOPE, enable_cae=True).token
    assert plain != able
    assert credential.get_token_info(SCOPE, options={"enable_cae": True}).token == able
    assert credential.get_token(SCOPE).token == plain
    assert len(emulator.requests_to("token")) == 2
    assert len(emulator.requests_to("issuecredential")) == 1


@pytest.mark.parametrize("scopes", [(), ("a/.default", "b/.default"), (" ",)])
def test_one_scope_it_must_be(credential: Any, scopes: tuple[str, ...]) -> None:
    with pytest.raises(exceptions.ClientAuthenticationError, match="one resource") as caught:
        credential.get_token(*scopes)
    assert isinstance(caught.value.__cause__, MsiV2ClientError)
    assert not isinstance(caught.value, identity.CredentialUnavailableError)


def test_an_error_of_entra_is_an_authentication_error(emulator: Any, credential: Any) -> None:
    emulator.faults.add("token", OAuthError("unauthorized_client"), times=None)
    with pytest.raises(exceptions.ClientAuthenticationError, match="unauthorized_client") as caught:
        credential.get_token(SCOPE)
    assert not isinstance(caught.value, identity.CredentialUnavailableError)
    assert isinstance(caught.value.__cause__, MsiV2Error)


def test_a_chain_goes_on_where_there_is_no_imds(
    make_platform: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    nowhere = MsiV2Credential(client=make_client(make_platform()), **OPTIONS)
    chain = identity.ChainedTokenCredential(nowhere, Thief("another's token"))
    assert chain.get_token(SCOPE).token == "another's token"
    with pytest.raises(identity.CredentialUnavailableError, match="MsiV2Credential: "):
        nowhere.get_token(SCOPE)


@contextlib.contextmanager
def nobodys_imds() -> Iterator[tuple[str, list[socket.socket]]]:
    """Something that takes connections and says nothing, and those it has taken."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])
                    taken[-1].close()

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken


def test_for_a_minute_an_imds_that_is_not_there_is_not_asked_again(
    platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nobodys_imds() as (url, taken):
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        nowhere = MsiV2Credential(client=make_client(platform), **OPTIONS)
        for seconds, asked in ((0, 1), (59, 1), (2, 2), (1, 2)):
            platform.clock.sleep(seconds)
            with pytest.raises(identity.CredentialUnavailableError, match="IMDS") as caught:
                nowhere.get_token(SCOPE)
            assert isinstance(caught.value.__cause__, MsiV2Error)
            assert len(taken) == asked


def test_an_imds_that_has_answered_is_this_hosts_whatever_becomes_of_it(
    emulator: Any, platform: Any
) -> None:
    credential = MsiV2Credential(client=make_client(platform), **OPTIONS)
    emulator.faults.add("issuecredential", Drop(), times=None)
    for _ in range(2):
        with pytest.raises(exceptions.ClientAuthenticationError) as caught:
            credential.get_token(SCOPE)
        assert not isinstance(caught.value, identity.CredentialUnavailableError)
    assert len(emulator.requests_to("issuecredential")) == 2
    emulator.faults.clear()
    assert credential.get_token(SCOPE).token


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that a full backlog keeps silent")
def test_an_imds_that_nobody_connects_to_is_tried_once(
    platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, full_backlog(listener):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        client = make_client(platform, timeout=0.3)
        with pytest.raises(identity.CredentialUnavailableError):
            MsiV2Credential(client=client, **OPTIONS).get_token(SCOPE)
        assert platform.clock.sleeps == []
        with pytest.raises(MsiV2Error) as caught:
            acquire(client)  # by itself the client is as patient as ever
        assert caught.value.error == "request_timeout"
        assert platform.clock.sleeps == [1, 2, 4]


@pytest.mark.skipif(sys.platform == "win32", reason="this host has a KeyGuard key")
def test_a_chain_goes_on_where_the_key_is_too_weak(emulator: Any) -> None:
    weak = MsiV2Credential()
    chain = identity.ChainedTokenCredential(weak, Thief("another's token"))
    assert chain.get_token(SCOPE).token == "another's token"
    assert emulator.requests == []


def test_identity_and_client_exclude_each_other(make_platform: Callable[[], Any]) -> None:
    with pytest.raises(MsiV2ClientError, match="managed_identity or client"):
        MsiV2Credential(msal.SystemAssignedManagedIdentity(), client=make_client(make_platform()))


@pytest.mark.skipif(sys.platform == "win32", reason="its keys need the emulator it trusts")
def test_a_user_assigned_identity(emulator: Any) -> None:
    user = next(one for one in emulator.identities if one.resource_id)
    credential = MsiV2Credential(
        msal.UserAssignedManagedIdentity(client_id=user.client_id), **OPTIONS
    )
    payload = credential.get_token(SCOPE).token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["appid"] == user.client_id
