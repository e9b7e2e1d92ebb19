"""What can go wrong with a vault, each with its error."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from requests.adapters import HTTPAdapter
from small_cloud import (
    CHALLENGE,
    CLIENT_ID,
    HANG_UP,
    RESOURCE,
    TENANTS,
    VAULT_TOKEN,
    SmallCloud,
    b64url,
    error,
    issue,
)
from urllib3.util import Retry

from msal_msi_v2 import KeyVaultError, MsiV2ClientError, MsiV2Error, MsiV2ServiceError
from msal_msi_v2.assertions import (
    BearerCredential,
    KeyVaultCertificateAssertion,
    KeyVaultKeyAssertion,
    SignedAssertion,
    rest,
)
from msal_msi_v2.errors import TransportError, TransportFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_clock import FakeClock

HOST = "https://contoso.vault.azure.net"


def bound(assertion: Any) -> Callable[[], str]:
    made: Callable[[], str] = assertion.bind(CLIENT_ID, TENANTS[0])
    return made


def certificate_of(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> Callable[[], str]:
    if not cloud.versions:
        cloud.create()
    return bound(KeyVaultCertificateAssertion(cloud.url, "app", **{**options, **more}))


def always(status: int, payload: Any = b"", **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _call: (status, names, payload)


def failing(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> KeyVaultError:
    with pytest.raises(KeyVaultError) as caught:
        certificate_of(cloud, options, **more)()
    assert isinstance(caught.value, MsiV2ServiceError)
    assert caught.value.correlation_id
    assert any(
        call.headers["x-ms-client-request-id"] == caught.value.correlation_id
        for call in cloud.calls
    )
    return caught.value


@pytest.mark.parametrize(
    ("permission", "action", "role"),
    [
        ("certificates/get", "Microsoft.KeyVault/vaults/certificates/read", "Key Vault Reader"),
        ("keys/sign", "Microsoft.KeyVault/vaults/keys/sign/action", "Key Vault Crypto User"),
    ],
)
@pytest.mark.parametrize("reason", ["ForbiddenByRbac", "AccessDenied", "ForbiddenByPolicy"])
def test_a_missing_permission_is_named(
    cloud: SmallCloud,
    options: dict[str, Any],
    permission: str,
    action: str,
    role: str,
    reason: str,
) -> None:
    cloud.forbidden[permission] = reason
    found = failing(cloud, options)
    assert found.error == "key_vault_access_denied"
    assert (found.permission, found.reason, found.status_code) == (permission, reason, 403)
    assert action in str(found)
    assert role in str(found)
    assert not found.is_retryable


def test_a_permission_that_is_taken_away_is_missed_at_the_next_assertion(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    ask = certificate_of(cloud, options)
    assert ask()
    cloud.forbidden["keys/sign"] = "ForbiddenByRbac"
    assert ask(), "from the cache"
    clock.offset += 600
    with pytest.raises(KeyVaultError) as caught:
        ask()
    assert caught.value.permission == "keys/sign"
    cloud.forbidden.clear()
    assert ask()


def test_a_closed_network_is_not_called_a_permission(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    cloud.forbidden["certificates/get"] = "ForbiddenByFirewall"
    found = failing(cloud, options)
    assert (found.error, found.permission) == ("key_vault_access_denied", None)
    assert "firewall" in str(found)


def test_a_disabled_key(cloud: SmallCloud, options: dict[str, Any]) -> None:
    cloud.disabled.add(cloud.create().version)
    found = failing(cloud, options)
    assert (found.error, found.reason) == ("key_vault_key_unusable", "KeyDisabled")
    assert cloud.count("certificates") == 2, "is there a newer one by now?"


def test_a_pinned_version_that_is_disabled_is_not_read_again(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    made = cloud.create()
    cloud.disabled.add(made.version)
    assert failing(cloud, options, version=made.version).error == "key_vault_key_unusable"
    assert cloud.count("certificates") == 1


def test_a_version_that_is_not_there(cloud: SmallCloud, options: dict[str, Any]) -> None:
    cloud.create()
    found = failing(cloud, options, version="f" * 32)
    assert (found.error, found.status_code) == ("key_vault_not_found", 404)


def test_a_token_that_is_refused(cloud: SmallCloud, options: dict[str, Any]) -> None:
    found = failing(cloud, options, credential=lambda _resource: "another")
    assert (found.error, found.status_code) == ("key_vault_unauthorized", 401)


def test_a_throttled_vault_is_waited_for_as_it_says(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    answers = [always(429, Retry_After="7"), always(429), always(503)]
    cloud.wrong.append(lambda call: answers.pop(0)(call) if answers else None)
    assert certificate_of(cloud, options)()
    assert clock.sleeps == [7.0, 2.0, 4.0]


def test_a_throttled_vault_is_given_up_in_the_end(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    cloud.wrong.append(always(429, error("Throttled", "slow down")))
    found = failing(cloud, options)
    assert (found.error, found.is_retryable) == ("key_vault_throttled", True)
    assert clock.sleeps == [1.0, 2.0, 4.0]


def test_a_long_wait_is_the_callers(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    cloud.wrong.append(always(429, Retry_After="3600"))
    assert failing(cloud, options).error == "key_vault_throttled"
    assert clock.sleeps == []


def test_a_failing_vault(cloud: SmallCloud, options: dict[str, Any], clock: FakeClock) -> None:
    cloud.wrong.append(always(500, b"<html>"))
    found = failing(cloud, options)
    assert (found.error, found.is_retryable) == ("key_vault_unavailable", True)
    assert len(clock.sleeps) == 3


@pytest.mark.parametrize("asked", ["Wed, 21 Oct 2015 07:28:00 GMT", "-5"])
def test_a_wait_that_is_over_is_none(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, asked: str
) -> None:
    answers = [always(503, Retry_After=asked)]
    cloud.wrong.append(lambda call: answers.pop(0)(call) if answers else None)
    assert certificate_of(cloud, options)()
    assert clock.sleeps == [0.0]


def test_the_waits_of_one_call_add_up_to_no_more_than_the_longest(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    cloud.wrong.append(always(429, Retry_After="20"))
    assert failing(cloud, options).error == "key_vault_throttled"
    assert clock.sleeps == [20.0]


def test_the_wait_for_the_challenge_counts_too(
    cloud: SmallCloud, detour: requests.Session, slept: list[float]
) -> None:
    busy = always(429, Retry_After="16")
    answers = [busy, challenged(CHALLENGE), busy]
    cloud.wrong.append(lambda call: answers.pop(0)(call) if answers else None)
    with pytest.raises(KeyVaultError) as caught:
        asked_tokens(cloud, detour)
    assert caught.value.error == "key_vault_throttled"
    assert slept == [16.0]


def test_a_session_that_retries_by_itself_is_left_to_do_so(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    session = requests.Session()
    retry = Retry(2, status_forcelist=[503], allowed_methods=None, raise_on_status=False)
    session.mount("https://", HTTPAdapter(max_retries=retry))
    cloud.wrong.append(always(503))
    found = failing(cloud, options, http_client=session)
    assert found.error == "key_vault_unavailable"
    assert (len(cloud.calls), clock.sleeps) == (3, [])
    session.close()


def test_a_session_that_raises_for_status_does_no_harm(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    session = requests.Session()
    session.hooks["response"].append(lambda answer, **_: answer.raise_for_status())
    cloud.forbidden["keys/sign"] = "ForbiddenByRbac"
    assert failing(cloud, options, http_client=session).permission == "keys/sign"
    assert cloud.legs() == ["certificates", "sign"]
    session.close()


@pytest.mark.parametrize("leg", ["/certificates", "/keys"])
def test_a_connection_that_breaks_is_made_again(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, leg: str
) -> None:
    left = [HANG_UP, HANG_UP]
    cloud.wrong.append(
        lambda call: (left.pop(), {}, b"") if left and call.path.startswith(leg) else None
    )
    assert certificate_of(cloud, options)()
    assert clock.sleeps == [1.0, 2.0]


def test_silence_is_broken_by_another_try(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", (5.0, 0.3))
    over = threading.Event()

    def be_silent(_call: Any) -> Any:
        cloud.wrong.clear()
        over.wait(20)
        return HANG_UP, {}, b""

    cloud.wrong.append(be_silent)
    assert certificate_of(cloud, options)()
    over.set()
    assert clock.sleeps == [1.0]


@pytest.mark.parametrize(
    "answer",
    [
        always(302, Location="https://evil.example/"),
        always(200, b"not json"),
        always(200, []),
        always(200, {"kid": "https://contoso.vault.azure.net/keys/a/b"}),
        always(200, {"cer": "!", "kid": "x"}),
        always(200, b" " * (1024 * 1024 + 1)),
        always(418),
    ],
)
def test_answers_of_another_shape(cloud: SmallCloud, options: dict[str, Any], answer: Any) -> None:
    cloud.wrong.append(answer)
    found = failing(cloud, options)
    assert found.error == "key_vault_request_failed"
    assert len(cloud.calls) == 1, "not sent again, nor elsewhere"


def test_a_signature_of_another_shape(cloud: SmallCloud, options: dict[str, Any]) -> None:
    cloud.wrong.append(
        lambda call: (
            (200, {}, {"kid": "x", "value": "%%%"}) if call.path.startswith("/keys") else None
        )
    )
    assert failing(cloud, options).error == "key_vault_request_failed"


def test_a_certificate_whose_key_is_elsewhere(cloud: SmallCloud, options: dict[str, Any]) -> None:
    made = cloud.create()
    answer = {
        **cloud.describe(made, cloud.url),
        "kid": f"https://evil.example/keys/app/{made.version}",
    }
    cloud.wrong.append(always(200, answer))
    assert failing(cloud, options).error == "key_vault_request_failed"
    assert len(cloud.calls) == 1


def test_a_certificate_of_another_version_than_the_pinned_one(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    pinned, other = cloud.create(), cloud.create()
    cloud.wrong.append(
        lambda call: (
            (200, {}, cloud.describe(other, cloud.url))
            if call.path.startswith("/certificates")
            else None
        )
    )
    found = failing(cloud, options, version=pinned.version)
    assert found.error == "key_vault_request_failed"
    assert cloud.count("sign") == 0


def test_a_certificate_that_is_not_rsa(cloud: SmallCloud, options: dict[str, Any]) -> None:
    made = cloud.create()
    old = made.certificate
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(old.subject, old.subject, key.public_key(), 1)
    builder = builder.not_valid_before(old.not_valid_before_utc)
    other = builder.not_valid_after(old.not_valid_after_utc).sign(key, hashes.SHA256())
    object.__setattr__(made, "certificate", other)
    with pytest.raises(KeyVaultError, match="RSA") as caught:
        certificate_of(cloud, options)()
    assert caught.value.error == "key_vault_key_unusable"


def test_a_vault_that_is_not_there(options: dict[str, Any], clock: FakeClock) -> None:
    assertion = KeyVaultCertificateAssertion("https://localhost:9", "app", **options)
    with pytest.raises(TransportError) as caught:
        bound(assertion)()
    assert caught.value.correlation_id
    assert "localhost" in str(caught.value)
    assert clock.sleeps == [1.0, 2.0, 4.0]


def test_a_credential_that_reaches_nobody_is_not_asked_again(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    def fails(_resource: str) -> str:
        raise TransportError(TransportFailure.CONNECT, "it has tried long enough itself")

    with pytest.raises(TransportError, match="long enough"):
        certificate_of(cloud, options, credential=fails)()
    assert clock.sleeps == []


def wrong_key(cloud: SmallCloud) -> None:
    """Have the vault sign with another key than the certificate's, and not say so."""
    made, other = cloud.versions["app"][-1], issue("app")

    def sign(call: Any) -> Any:
        if not call.path.endswith("/sign"):
            return None
        object.__setattr__(other, "version", made.version)
        return 200, {}, cloud.sign(other, json.loads(call.body), cloud.url)

    cloud.wrong.append(sign)


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_another_key_than_the_certificates(
    cloud: SmallCloud, options: dict[str, Any], algorithm: Any
) -> None:
    made = cloud.create()
    wrong_key(cloud)
    arguments = {**options, "algorithm": algorithm}
    by_key = KeyVaultKeyAssertion(cloud.key_id(made), **arguments, certificate=made.certificate)
    by_name = KeyVaultCertificateAssertion(cloud.url, "app", **arguments)
    own = SignedAssertion(issue("other").key, made.certificate, algorithm=algorithm)
    for assertion in (by_key, by_name, own):
        with pytest.raises(MsiV2ClientError, match=made.thumbprint) as caught:
            bound(assertion)()
        assert caught.value.error == "assertion_key_mismatch"
        assert caught.value.correlation_id


def test_with_a_thumbprint_alone_another_key_is_not_noticed(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    made = cloud.create()
    wrong_key(cloud)
    assertion = KeyVaultKeyAssertion(cloud.key_id(made), **options, thumbprint_sha256=made.x5t_s256)
    assert bound(assertion)(), "so Entra is the first to know; the documentation says so"


def says_it_signed_with(cloud: SmallCloud, key_id: str) -> None:
    def sign(call: Any) -> Any:
        if not call.path.endswith("/sign"):
            return None
        made = cloud.versions["app"][-1]
        return 200, {}, {**cloud.sign(made, json.loads(call.body), cloud.url), "kid": key_id}

    cloud.wrong.append(sign)


@pytest.mark.parametrize(
    "key_id",
    [
        "{host}/keys/app/00000000000000000000000000000002",
        "{host}/keys/other/{version}",
        "https://evil.example/keys/app/{version}",
        "{host}/keys/app",
        "{host}/certificates/app/{version}",
    ],
)
def test_a_vault_that_signs_with_another_key_and_says_so(
    cloud: SmallCloud, options: dict[str, Any], key_id: str
) -> None:
    made = cloud.create()
    says_it_signed_with(cloud, key_id.format(host=cloud.url, version=made.version))
    assert failing(cloud, options).error == "key_vault_request_failed"
    alone = KeyVaultKeyAssertion(cloud.key_id(made), **options, thumbprint_sha256=made.x5t_s256)
    with pytest.raises(KeyVaultError, match="not the one") as caught:
        bound(alone)()
    assert caught.value.error == "key_vault_request_failed"


def test_a_vault_may_write_the_keys_id_in_other_cases(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    says_it_signed_with(cloud, cloud.key_id(cloud.create()).upper())
    assert certificate_of(cloud, options)()


def test_an_exportable_key_is_warned_of_once_a_version(
    cloud: SmallCloud, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cloud.create(exportable=True)
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options)
    for _ in range(2):
        bound(assertion)()
        assertion.invalidate()
    cloud.create(exportable=False)
    bound(assertion)()
    (record,) = [one for one in caplog.records if "exportable" in one.message]
    assert record.levelno == logging.WARNING
    assert cloud.versions["app"][0].version in record.message


# What tokens are for


def challenged(text: str | None) -> Any:
    headers = {} if text is None else {"WWW-Authenticate": text}
    return lambda _call: (401, headers, b"")


def asked_tokens(cloud: SmallCloud, detour: requests.Session, host: str = HOST) -> list[str]:
    """Ask for an assertion, and return the resources that tokens were asked for."""
    asked: list[str] = []

    def credential(resource: str) -> str:
        asked.append(resource)
        return VAULT_TOKEN

    cloud.versions["app"] = [issue("app")]
    assertion = KeyVaultCertificateAssertion(host, "app", credential, http_client=detour)
    try:
        bound(assertion)()
    finally:
        shown = [call.headers.get("authorization") for call in cloud.calls]
        assert set(shown) <= {None, f"Bearer {VAULT_TOKEN}"}
        assert shown[0] is None, "the first request shows nothing"
        if not asked:
            assert set(shown) == {None}
    return asked


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


def test_a_throttled_challenge(
    cloud: SmallCloud, detour: requests.Session, slept: list[float]
) -> None:
    cloud.wrong.append(always(429))
    with pytest.raises(KeyVaultError) as caught:
        asked_tokens(cloud, detour)
    assert caught.value.error == "key_vault_throttled"
    assert slept == [1.0, 2.0, 4.0]


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


# Arguments


@pytest.mark.parametrize(
    "url",
    [
        "http://contoso.vault.azure.net",
        "contoso.vault.azure.net",
        "https://",
        "https://contoso.vault.azure.net/secrets",
        "https://contoso.vault.azure.net?x=y",
        "https://contoso.vault.azure.net#x",
        "https://user@contoso.vault.azure.net",
        "https://[x",
        "https://[::1].vault.azure.net",
        None,
    ],
)
def test_what_is_no_vaults_url_is_refused(url: Any, options: dict[str, Any]) -> None:
    with pytest.raises(MsiV2ClientError, match="https and a host alone"):
        KeyVaultCertificateAssertion(url, "app", **options)


@pytest.mark.parametrize(
    "key_id",
    [
        f"{HOST}/keys/name",
        f"{HOST}/secrets/name/1",
        f"{HOST}/keys/name/1/sign",
        f"{HOST}/keys/name/1?x=y",
        f"{HOST}/keys/na%2Fme/1",
        f"{HOST}/keys//1",
        "http://contoso.vault.azure.net/keys/name/1",
        "https://[x/keys/name/1",
    ],
)
def test_what_is_no_key_id_is_refused(key_id: str, options: dict[str, Any]) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        KeyVaultKeyAssertion(key_id, **options, thumbprint_sha256="0" * 64)
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize(
    "wrong",
    [
        {"certificate_name": "../keys/x"},
        {"certificate_name": ""},
        {"version": "1/2"},
        {"algorithm": "HS256"},
        {"credential": 5},
        {"credential": requests},
        {"resource": "https://graph.microsoft.com"},
        {"resource": "https://[x"},
        {"resource": 5},
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], options: dict[str, Any]) -> None:
    arguments = {"vault_url": HOST, "certificate_name": "app", **options, **wrong}
    with pytest.raises(MsiV2ClientError) as caught:
        KeyVaultCertificateAssertion(**arguments)
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"thumbprint": "0" * 40},
        {"thumbprint_sha256": "0" * 40},
        {"thumbprint_sha256": "not one"},
        {"thumbprint_sha256": b"0" * 64},
        {"thumbprint": b"0" * 40, "algorithm": "RS256"},
        {"thumbprint_sha256": "0" * 64, "thumbprint": "0" * 40},
        {"certificate": "no certificate"},
        {"certificate": 5},
    ],
)
def test_the_certificate_of_a_key_is_named_in_one_way(
    names: dict[str, Any], options: dict[str, Any]
) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        KeyVaultKeyAssertion(f"{HOST}/keys/name/1", **options, **names)
    assert caught.value.error == "invalid_request"


def test_thumbprints_in_all_their_forms(cloud: SmallCloud, options: dict[str, Any]) -> None:
    made = cloud.create()
    sha256 = made.certificate.fingerprint(hashes.SHA256())
    forms: list[dict[str, Any]] = [
        {"thumbprint_sha256": made.x5t_s256},
        {"thumbprint_sha256": sha256.hex(":").upper()},
        {"thumbprint": made.thumbprint, "algorithm": "RS256"},
        {"thumbprint": b64url(bytes.fromhex(made.thumbprint)), "algorithm": "RS256"},
        {"thumbprint_sha256": made.x5t_s256, "algorithm": "RS256"},
        {"certificate": made.certificate.public_bytes(Encoding.PEM).decode()},
    ]
    public = f"https://login.microsoftonline.com/{TENANTS[0]}/oauth2/v2.0/token"
    for form in forms:
        assertion = KeyVaultKeyAssertion(cloud.key_id(made), **options, **form)
        cloud.check(bound(assertion)(), CLIENT_ID, [public])


def test_a_session_that_verifies_nobody_is_refused(options: dict[str, Any]) -> None:
    session = requests.Session()
    session.verify = False
    with pytest.raises(MsiV2ClientError, match="verify"):
        KeyVaultCertificateAssertion(HOST, "app", **{**options, "http_client": session})


def test_an_unsigned_credential_failure_passes_as_it_is(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    def fails(_resource: str) -> str:
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        certificate_of(cloud, options, credential=fails)()


def test_msals_failure_becomes_ours(cloud: SmallCloud, options: dict[str, Any]) -> None:
    client = msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )
    client.acquire_token_for_client = lambda **_: {"error": "no_identity", "error_description": "x"}
    with pytest.raises(MsiV2Error) as caught:
        certificate_of(cloud, options, credential=BearerCredential(client))()
    assert caught.value.error == "no_identity"
    assert caught.value.correlation_id
