"""What a vault's tokens are for, and who gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from small_cloud import RESOURCE, VAULT_TOKEN, SmallCloud
from vault_calls import asked_tokens, bound, certificate_of, challenged, failing

from msal_msi_v2 import KeyVaultError, MsiV2ClientError
from msal_msi_v2.assertions import KeyVaultCertificateAssertion, KeyVaultKeyAssertion

if TYPE_CHECKING:
    import requests


@pytest.mark.parametrize(
    "host",
    [
        "https://contoso.vault.azure.net",
        "https://CONTOSO.vault.azure.net",
        "https://contoso.privatelink.vault.azure.net",
    ],
)
def test_a_vault_says_what_its_tokens_are_for(
    cloud: SmallCloud, detour: requests.Session, host: str
) -> None:
    assert set(asked_tokens(cloud, detour, host)) == {RESOURCE}
    assert cloud.calls[0].body == b""
    assert len(cloud.calls) == 3, "challenge, read, sign"


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer authorization="https://login.microsoftonline.com/t", scope="https://vault.azure.net/.default"',
        'PoP nonce="x", Bearer authorization="https://a", resource="https://vault.azure.net"',
        'bearer Resource="https://vault.azure.net/"',
    ],
)
def test_challenges_of_other_shapes(
    cloud: SmallCloud, detour: requests.Session, challenge: str
) -> None:
    answers = [challenged(challenge)]
    cloud.wrong.append(lambda call: answers.pop(0)(call) if answers else None)
    assert set(asked_tokens(cloud, detour)) == {RESOURCE}


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer authorization="https://a", resource="https://graph.microsoft.com"',
        'Bearer authorization="https://a", resource="https://azure.net.evil.example"',
        'Bearer authorization="https://a", resource="https://ault.azure.net"',
        'Bearer authorization="https://a", resource="https://net"',
        'Bearer authorization="https://a", resource="https://"',
        'Bearer authorization="https://a", resource="https://[x"',
        'Bearer authorization="https://a", resource="http://vault.azure.net"',
        'Bearer authorization="https://a", resource="vault.azure.net"',
        'Bearer authorization="https://a", resource="https://graph.microsoft.com/.vault.azure.net"',
        'Bearer authorization="https://a", resource="https://graph.microsoft.com@vault.azure.net"',
        'Bearer resource="https://vault.azure.net", resource="https://graph.microsoft.com"',
        'Bearer resource="https://vault.azure.net", Bearer resource="https://x.vault.azure.net"',
        'Bearer scope="https://graph.microsoft.com/.default"',
        'Bearer authorization="https://a"',
        'Basic realm="x"',
        "",
        None,
    ],
)
def test_hostile_challenges_get_no_token(
    cloud: SmallCloud, detour: requests.Session, challenge: str | None
) -> None:
    cloud.wrong.append(challenged(challenge))
    with pytest.raises(KeyVaultError) as caught:
        asked_tokens(cloud, detour)
    assert caught.value.error == "key_vault_challenge_refused"
    assert len(cloud.calls) == 1
    assert caught.value.correlation_id


@pytest.mark.parametrize(
    "host",
    ["https://evil.example", "https://vault.azure.net.evil.example", "https://evilvault.azure.net"],
)
def test_a_hostile_vault_gets_no_token(
    cloud: SmallCloud, detour: requests.Session, host: str
) -> None:
    with pytest.raises(KeyVaultError) as caught:
        asked_tokens(cloud, detour, host)
    assert caught.value.error == "key_vault_challenge_refused"
    with pytest.raises(MsiV2ClientError) as refused:
        KeyVaultCertificateAssertion(host, "app", lambda _: "token", resource=RESOURCE)
    assert refused.value.error == "invalid_request"


@pytest.mark.parametrize(
    "between", ["\\", "%5c", "%5C", ";", " ", "%00", "\t", "\n", "@", "#", "?", "/", ":", ":443\\"]
)
@pytest.mark.parametrize("resource", [None, RESOURCE])
def test_a_url_that_reads_in_two_ways_gets_no_token(
    cloud: SmallCloud, detour: requests.Session, between: str, resource: str | None
) -> None:
    """Who connects takes ``evil.example`` for the host of some of these."""
    host = f"https://evil.example{between}.vault.azure.net"
    options: dict[str, Any] = {
        "credential": lambda _resource: VAULT_TOKEN,
        "resource": resource,
        "http_client": detour,
    }
    for make in (
        lambda: KeyVaultCertificateAssertion(host, "app", **options),
        lambda: KeyVaultKeyAssertion(f"{host}/keys/a/1", thumbprint_sha256="0" * 64, **options),
    ):
        with pytest.raises(MsiV2ClientError) as caught:
            bound(make())()
        assert caught.value.error == "invalid_request"
    assert cloud.calls == []


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:1"])
def test_vaults_on_this_machine_have_these_names(host: str, options: dict[str, Any]) -> None:
    by_name = KeyVaultCertificateAssertion(f"https://{host}", "app", **options)
    key_id = f"https://{host}/keys/name/1"
    by_key = KeyVaultKeyAssertion(key_id, **options, thumbprint_sha256="0" * 64)
    assert by_name._connection.url == by_key._connection.url == f"https://{host}"


def test_a_vault_on_this_machine_needs_its_resource_named(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    assert failing(cloud, options, resource=None).error == "key_vault_challenge_refused"
    assert {call.headers.get("authorization") for call in cloud.calls} == {None}
    assert certificate_of(cloud, options)()
    local = cloud.url.replace("localhost", "127.0.0.1")
    made = KeyVaultKeyAssertion(f"{local}/keys/a/b", **options, thumbprint_sha256="0" * 64)
    assert made is not None


def test_passwords_of_netrc_are_not_sent(
    cloud: SmallCloud, options: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert certificate_of(cloud, options)()
    with pytest.raises(KeyVaultError):
        certificate_of(cloud, options, resource=None)()
    shown = {call.headers.get("authorization") for call in cloud.calls}
    assert shown == {None, f"Bearer {VAULT_TOKEN}"}
