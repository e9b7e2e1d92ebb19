"""The resource and the Key Vault: what a bound token opens, and with what certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from msal_msi_v2.emulator import MsiV2Emulator, OpaqueToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Answer, MiniClient

DAY = 86400
RESOURCE = {"scope": "https://r.example/.default"}
BOUND = {"x-ms-tokenboundauth": "true"}


def get(
    client: MiniClient,
    path: str,
    token: str | None,
    certificate: bytes | None,
    scheme: str = "mtls_pop",
    **headers: str,
) -> Answer:
    authorization = {} if token is None else {"Authorization": f"{scheme} {token}"}
    return client.call("GET", path, {**authorization, **headers}, certificate=certificate)


def test_the_resource_echoes_who_asked_for_what(client: MiniClient) -> None:
    certificate = client.certificate()
    headers = {"Authorization": f"mtls_pop {client.token(certificate, **RESOURCE)}"}
    url = f"{client.emulator.resource_url}/a/b?c=d"
    answer = client.call("PUT", url, headers, b"x" * 300_000, certificate)
    assert answer.status == 200
    assert answer.json == {
        "method": "PUT",
        "path": "/a/b",
        "query": {"c": "d"},
        "body_length": 300_000,
        "audience": "https://r.example",
        "client_id": client.identity.client_id,
        "object_id": client.identity.object_id,
        "tenant_id": client.emulator.tenant_id,
        "x5t#S256": client.x5t_s256(certificate),
    }


def test_the_resource_says_what_is_wrong_with_a_token(client: MiniClient) -> None:
    certificate = client.certificate(bypass_cache="true")
    token = client.token(certificate, **RESOURCE)
    url = client.emulator.resource_url
    absent = get(client, url, None, certificate)
    assert (absent.status, absent.headers["www-authenticate"]) == (401, "mtls_pop")
    assert absent.json["error"]["code"] == "unauthorized"
    assert_invalid(get(client, url, "", certificate), "DecodeError")
    assert_invalid(get(client, url, token, certificate, "Bearer"), "scheme", "invalid_request")
    assert_invalid(get(client, url, client.forge(token), certificate), "InvalidSignature")
    assert_invalid(get(client, url, "opaque", certificate), "DecodeError")
    attestation = client.attestation_token()
    assert_invalid(get(client, url, attestation, certificate), "InvalidSignature")
    plain = client.token(certificate, scope="api://r/.default")
    assert_invalid(get(client, url, plain, certificate), "audience")
    renewed = client.certificate(bypass_cache="true")
    answer = get(client, url, token, renewed)
    assert_invalid(answer, "MtlsCnfClaimRequestDataValidationFailed")
    assert b"MtlsCnfClaimRequestDataValidationFailed" in answer.body
    client.emulator.clock_offset = DAY + 1
    assert_invalid(get(client, url, token, certificate), "expired")
    client.emulator.clock_offset = 0
    client.emulator.revoke(certificate)
    assert_invalid(get(client, url, token, certificate), "revoked")


def test_a_bearer_token_of_imds_v1_opens_nothing_that_wants_a_bound_one(
    client: MiniClient,
) -> None:
    bearer = bearer_token(client, "https://r.example")
    answer = get(client, client.emulator.resource_url, bearer, client.certificate())
    assert_invalid(answer, "MtlsCnfClaimRequestDataValidationFailed")


def test_an_opaque_token_is_refused(client: MiniClient) -> None:
    client.emulator.faults.add("token", OpaqueToken())
    certificate = client.certificate()
    token = client.token(certificate, **RESOURCE)
    assert "." not in token
    assert_invalid(get(client, client.emulator.resource_url, token, certificate), "DecodeError")


def test_a_resource_may_be_choosy_about_its_audience(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(audiences=["api://r"]) as emulator:
        client = client_of(emulator)
        certificate = client.certificate()
        token = client.token(certificate, scope="api://r/.default")
        assert get(client, emulator.resource_url, token, certificate).status == 200
        token = client.token(certificate, **RESOURCE)
        assert_invalid(get(client, emulator.resource_url, token, certificate), "audience")


def secret_url(client: MiniClient, name: str = "x", version: str = "api-version=7.4") -> str:
    return f"{client.emulator.vault_url}/secrets/{name}?{version}"


def test_the_vault_hands_out_a_secret(client: MiniClient) -> None:
    certificate = client.certificate()
    token = client.token(certificate)
    answer = get(client, secret_url(client), token, certificate, **BOUND)
    assert answer.status == 200
    assert answer.json["value"] == "the emulator's secret"
    assert answer.json["attributes"]["enabled"] is True
    base, _, version = answer.json["id"].rpartition("/")
    assert base == f"{client.emulator.vault_url}/secrets/x"
    for path in (f"x/{version}", "x/", "X"):
        assert get(client, secret_url(client, path), token, certificate, **BOUND).status == 200
    for path in ("x/0123", "y"):
        answer = get(client, secret_url(client, path), token, certificate, **BOUND)
        assert (answer.status, answer.json["error"]["code"]) == (404, "SecretNotFound")
    answer = get(client, secret_url(client, "x", "v=1"), token, certificate, **BOUND)
    assert (answer.status, answer.json["error"]["code"]) == (400, "BadParameter")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic bWU6bWU="}])
def test_the_vault_challenges_those_who_do_not_authenticate(
    client: MiniClient, headers: dict[str, str]
) -> None:
    answer = client.call("GET", secret_url(client), headers)
    assert answer.status == 401
    tenant = client.emulator.tenant_id
    assert answer.headers["www-authenticate"] == (
        f'Bearer authorization="https://login.microsoftonline.com/{tenant}", '
        'resource="https://vault.azure.net"'
    )
    assert answer.json["error"]["code"] == "Unauthorized"


def test_the_vault_says_what_is_wrong_with_a_token(client: MiniClient) -> None:
    certificate = client.certificate()
    token = client.token(certificate)
    url = secret_url(client)
    elsewhere = client.token(certificate, **RESOURCE)
    rows: list[tuple[str, bytes | None, str, dict[str, str], str]] = [
        (token, certificate, "mtls_pop", {}, "x-ms-tokenboundauth"),
        (token, None, "mtls_pop", BOUND, "No client certificate"),
        (token, client.certificate(bypass_cache="true"), "mtls_pop", BOUND, "Mtls"),
        (token, certificate, "Bearer", {}, "not a bearer token"),
        (elsewhere, certificate, "mtls_pop", BOUND, "audience"),
        ("opaque", certificate, "mtls_pop", BOUND, "DecodeError"),
        ("", certificate, "Bearer", {}, "DecodeError"),
    ]
    for value, presented, scheme, headers, reason in rows:
        answer = get(client, url, value, presented, scheme, **headers)
        assert answer.status == 401
        assert reason in answer.json["error"]["message"]
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_the_vault_takes_an_unbound_bearer_token(client: MiniClient) -> None:
    token = bearer_token(client, "https://vault.azure.net")
    assert get(client, secret_url(client), token, None, "Bearer").status == 200


def test_secrets_are_read_only_and_ones_own(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(secrets={"mine": "1"}) as emulator:
        client = client_of(emulator)
        token = bearer_token(client, "https://vault.azure.net")
        headers = {"Authorization": f"Bearer {token}"}
        answers: list[Any] = [
            client.call(method, secret_url(client, name), headers)
            for method, name in (("GET", "mine"), ("GET", "x"), ("DELETE", "mine"))
        ]
    assert [answer.status for answer in answers] == [200, 404, 405]


def bearer_token(client: MiniClient, resource: str) -> str:
    url = f"{client.emulator.imds_url}/metadata/identity/oauth2/token"
    query = f"api-version=2018-02-01&resource={resource}"
    token: str = client.call("GET", f"{url}?{query}", {"Metadata": "true"}).json["access_token"]
    return token


def assert_invalid(answer: Answer, reason: str, error: str = "invalid_token") -> None:
    assert answer.status == 401
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith(f'mtls_pop error="{error}", error_description="')
    assert reason in challenge
    assert answer.json["error"]["code"] == error
    assert reason in answer.json["error"]["message"]
