"""Unmodified msal and azure-identity sign in with each kind of assertion."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
import requests
from forking import held_by_another_thread, locks_of, works_in_a_child
from small_cloud import CLIENT_ID, HANG_UP, TENANTS, VAULT_TOKEN, SmallCloud, Version, issue

from msal_msi_v2 import KeyVaultError
from msal_msi_v2.assertions import (
    ClientAssertion,
    KeyVaultCertificateAssertion,
    KeyVaultKeyAssertion,
    SignedAssertion,
    aio,
)
from msal_msi_v2.assertions.cache import MARGIN
from msal_msi_v2.assertions.key_vault_certificate import PAUSE, REREAD_PERIOD

if TYPE_CHECKING:
    from fake_clock import FakeClock

    from msal_msi_v2.assertions.jwt import Algorithm

SCOPES = ["https://graph.microsoft.com/.default"]


def by_certificate(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    cloud.create()
    return KeyVaultCertificateAssertion(cloud.url, "app", **options, **more)


def by_key(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    made = cloud.create()
    return KeyVaultKeyAssertion(
        cloud.key_id(made), **options, thumbprint_sha256=made.x5t_s256, **more
    )


def by_known_key(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    made = cloud.create()
    return KeyVaultKeyAssertion(cloud.key_id(made), **options, certificate=made.der, **more)


def by_own_key(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> ClientAssertion:
    made = cloud.create()
    return SignedAssertion(made.key, made.certificate, clock=options["clock"], **more)


KINDS = [by_certificate, by_key, by_known_key, by_own_key]


def app_of(cloud: SmallCloud, assertion: Any, tenant: str) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential={"client_assertion": assertion},
        authority=f"{cloud.url}/{tenant}",
        instance_discovery=False,
        verify=cloud.ca_bundle,
    )


def sign_in(cloud: SmallCloud, assertion: Any, tenant: str = TENANTS[0]) -> dict[str, Any]:
    result: dict[str, Any] = app_of(cloud, assertion, tenant).acquire_token_for_client(SCOPES)
    return result


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
@pytest.mark.parametrize("make", KINDS)
def test_msal_signs_in_to_two_tenants_with_one_object(
    cloud: SmallCloud, options: dict[str, Any], make: Any, algorithm: Algorithm
) -> None:
    assertion = make(cloud, options, algorithm=algorithm)
    for tenant in (*TENANTS, *TENANTS):
        assert sign_in(cloud, assertion, tenant)["access_token"] == f"token of {tenant}"
    assert cloud.count("token") == 4
    assert len(set(cloud.assertions)) == 2, "one a tenant"
    assert {jwt.get_unverified_header(one)["alg"] for one in cloud.assertions} == {algorithm}


@pytest.mark.parametrize("make", KINDS)
def test_azure_identity_signs_in_to_two_tenants_with_one_object(
    cloud: SmallCloud, options: dict[str, Any], make: Any
) -> None:
    identity = pytest.importorskip("azure.identity")
    assertion = make(cloud, options)
    for tenant in TENANTS:
        credential = identity.ClientAssertionCredential(
            tenant,
            CLIENT_ID,
            assertion.bind(CLIENT_ID, tenant),
            authority=cloud.url,
            disable_instance_discovery=True,
            connection_verify=cloud.ca_bundle,
        )
        with credential:
            assert credential.get_token(*SCOPES).token == f"token of {tenant}"
    assert cloud.count("sign") == (0 if make is by_own_key else 2)


def test_azure_identitys_asynchronous_credential_takes_the_same_function(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    identity = pytest.importorskip("azure.identity.aio")
    transport = pytest.importorskip("azure.core.pipeline.transport")
    assertion = by_certificate(cloud, options)

    async def ask(tenant: str) -> str:
        credential = identity.ClientAssertionCredential(
            tenant,
            CLIENT_ID,
            assertion.bind(CLIENT_ID, tenant),
            authority=cloud.url,
            disable_instance_discovery=True,
            connection_verify=cloud.ca_bundle,
            transport=transport.AsyncioRequestsTransport(),
        )
        async with credential:
            return str((await credential.get_token(*SCOPES)).token)

    for tenant in TENANTS:
        assert asyncio.run(ask(tenant)) == f"token of {tenant}"
    assert cloud.count("sign") == 2


def test_the_wrong_algorithm_is_refused_early(cloud: SmallCloud, options: dict[str, Any]) -> None:
    for make in KINDS:
        with pytest.raises(ValueError, match="PS256"):
            make(cloud, options, algorithm="none")


def test_a_thousand_requests_cost_one_read_and_one_sign_a_lifetime(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_certificate(cloud, options)
    context = {"client_id": CLIENT_ID, "token_endpoint": f"{cloud.url}/x/oauth2/v2.0/token"}
    first = {assertion(context) for _ in range(1000)}
    assert len(first) == 1
    assert cloud.legs() == ["certificates", "sign"]
    clock.offset += 600 - MARGIN - 30
    assert {assertion(context)} == first
    clock.offset += 31
    second = {assertion(context) for _ in range(1000)}
    assert second.isdisjoint(first)
    assert cloud.legs() == ["certificates", "sign", "sign"]


def test_the_key_form_costs_one_sign_a_lifetime(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_key(cloud, options)
    context = {"client_id": CLIENT_ID, "token_endpoint": f"{cloud.url}/x/oauth2/v2.0/token"}
    for _ in range(500):
        assertion(context)
    clock.offset += 600
    for _ in range(500):
        assertion(context)
    assert cloud.legs() == ["sign", "sign"]


@pytest.mark.parametrize("make", [by_certificate, by_key])
def test_thirty_two_cold_threads_sign_once_for_each_tenant(
    cloud: SmallCloud, options: dict[str, Any], make: Any
) -> None:
    assertion = make(cloud, options)
    barrier = threading.Barrier(32)
    bound = [assertion.bind(CLIENT_ID, tenant) for tenant in TENANTS]

    def ask(number: int) -> str:
        barrier.wait()
        return str(bound[number % 2]())

    with ThreadPoolExecutor(32) as pool:
        made = set(pool.map(ask, range(32)))
    assert len(made) == 2
    assert cloud.count("sign") == 2
    assert cloud.count("certificates") == (1 if make is by_certificate else 0)


def test_a_new_version_is_taken_up_within_the_period(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_certificate(cloud, options).bind(CLIENT_ID, TENANTS[0])
    old = jwt.get_unverified_header(assertion())["x5t#S256"]
    rotated = cloud.create()
    clock.offset += REREAD_PERIOD - 30
    assert jwt.get_unverified_header(assertion())["x5t#S256"] == old
    clock.offset += 31
    assert jwt.get_unverified_header(assertion())["x5t#S256"] == rotated.x5t_s256
    assert cloud.count("certificates") == 2


def test_a_new_version_is_taken_up_when_invalidated(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    assertion = by_certificate(cloud, options)
    assert "access_token" in sign_in(cloud, assertion)
    del cloud.registered[0]
    rotated = cloud.create()
    assert "AADSTS700027" in sign_in(cloud, assertion)["error_description"]
    assertion.invalidate()
    assert "access_token" in sign_in(cloud, assertion)
    assert jwt.get_unverified_header(cloud.assertions[-1])["x5t#S256"] == rotated.x5t_s256


@pytest.mark.parametrize("leg", ["/certificates/app", "/sign"])
def test_what_is_made_while_it_is_invalidated_is_not_kept(
    cloud: SmallCloud, options: dict[str, Any], leg: str
) -> None:
    assertion = by_certificate(cloud, options)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    rotated = cloud.create()

    def rotate(call: Any) -> None:
        if call.path.endswith(leg):
            cloud.wrong.clear()
            assertion.invalidate()

    cloud.versions["app"].pop()
    cloud.wrong.append(rotate)
    old = bound()
    cloud.versions["app"].append(rotated)
    new = bound()
    assert new != old
    assert jwt.get_unverified_header(new)["x5t#S256"] == rotated.x5t_s256


def test_what_is_made_while_it_is_invalidated_is_not_kept_under_the_same_version(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    assertion = by_certificate(cloud, options)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])

    def invalidate(_call: Any) -> None:
        cloud.wrong.clear()
        assertion.invalidate()

    cloud.wrong.append(invalidate)
    assert bound() != bound()


def test_a_pinned_version_stays(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    first = cloud.create()
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options, version=first.version)
    cloud.create()
    for _ in range(3):
        assert "access_token" in sign_in(cloud, assertion)
        clock.offset += REREAD_PERIOD
    named = {jwt.get_unverified_header(one)["x5t#S256"] for one in cloud.assertions}
    assert named == {first.x5t_s256}
    assert cloud.count("certificates") == 1
    assertion.invalidate()
    assert "access_token" in sign_in(cloud, assertion)
    assert cloud.count("certificates") == 2


def test_a_version_taken_out_of_use_gives_way_to_the_newest(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_certificate(cloud, options)
    assert "access_token" in sign_in(cloud, assertion)
    cloud.disabled.add(cloud.versions["app"][0].version)
    rotated = cloud.create()
    clock.offset += 600
    assert "access_token" in sign_in(cloud, assertion)
    assert jwt.get_unverified_header(cloud.assertions[-1])["x5t#S256"] == rotated.x5t_s256


def recreate(cloud: SmallCloud) -> Version:
    """Delete a certificate, and make another one of its name."""
    made = issue("app", 7)
    cloud.versions["app"] = [made]
    cloud.registered = [made.certificate]
    return made


def test_a_certificate_that_was_made_anew_takes_its_place(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_certificate(cloud, options)
    assert "access_token" in sign_in(cloud, assertion)
    made = recreate(cloud)
    clock.offset += 600
    assert "access_token" in sign_in(cloud, assertion)
    assert jwt.get_unverified_header(cloud.assertions[-1])["x5t#S256"] == made.x5t_s256
    assert cloud.count("certificates") == 2


def test_a_pinned_version_that_was_deleted_is_missed(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    version = cloud.create().version
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options, version=version)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    assert bound()
    recreate(cloud)
    clock.offset += 600
    with pytest.raises(KeyVaultError) as caught:
        bound()
    assert caught.value.error == "key_vault_not_found"
    assert cloud.count("certificates") == 1


def test_a_certificate_that_is_not_there_is_looked_for_once(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    assertion = KeyVaultCertificateAssertion(cloud.url, "missing", **options)
    with pytest.raises(KeyVaultError) as caught:
        assertion.bind(CLIENT_ID, TENANTS[0])()
    assert caught.value.error == "key_vault_not_found"
    assert cloud.count("certificates") == 1


# What cannot be read again


@pytest.fixture
def about_to_read_again(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> KeyVaultCertificateAssertion:
    """An assertion object that has just signed, and reads its certificate with the next call."""
    cloud.create()
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    bound()
    clock.offset += REREAD_PERIOD - 60
    bound()
    clock.offset += 61
    cloud.calls.clear()
    return assertion


@pytest.mark.parametrize("status", [429, 500, 503, 400, 401, 403, 404, HANG_UP])
def test_a_certificate_that_cannot_be_read_again_is_kept_for_a_while(
    cloud: SmallCloud,
    clock: FakeClock,
    about_to_read_again: KeyVaultCertificateAssertion,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    bound = about_to_read_again.bind(CLIENT_ID, TENANTS[0])
    cloud.wrong.append(
        lambda call: (status, {}, b"") if call.path.startswith("/certificates") else None
    )
    kept = bound()
    tries = cloud.count("certificates")
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "could not be read again" in caplog.text
    clock.offset += PAUSE - 1
    assert bound() == kept
    assert cloud.count("certificates") == tries, "not at once again"
    cloud.wrong.clear()
    rotated = cloud.create()
    clock.offset += 2
    assert jwt.get_unverified_header(bound())["x5t#S256"] == rotated.x5t_s256
    assert cloud.count("certificates") == tries + 1


def test_what_is_kept_signs_too(
    cloud: SmallCloud, clock: FakeClock, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    cloud.forbidden["certificates/get"] = "ForbiddenByRbac"
    for _ in range(3):
        assert "access_token" in sign_in(cloud, about_to_read_again)
        clock.offset += 600
    assert cloud.count("certificates") == cloud.count("sign") == 3


def test_a_credential_that_fails_meanwhile_spoils_nothing_that_is_kept(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[Exception] = []

    def credential(_resource: str) -> str:
        if failures:
            raise failures[0]
        return VAULT_TOKEN

    assertion = by_certificate(cloud, {**options, "credential": credential})
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    bound()
    clock.offset += REREAD_PERIOD - 60
    kept = bound()
    clock.offset += 61
    failures.append(LookupError("a secret of the caller's"))
    assert bound() == kept
    assert "LookupError" in caplog.text
    assert "secret" not in caplog.text
    clock.offset += 600
    with pytest.raises(LookupError):
        bound()


def test_what_is_invalidated_is_not_kept(
    cloud: SmallCloud, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    about_to_read_again.invalidate()
    cloud.forbidden["certificates/get"] = "ForbiddenByRbac"
    with pytest.raises(KeyVaultError) as caught:
        about_to_read_again.bind(CLIENT_ID, TENANTS[0])()
    assert caught.value.permission == "certificates/get"


def test_what_is_invalidated_while_it_cannot_be_read_is_not_kept(
    cloud: SmallCloud, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    def invalidate(call: Any) -> Any:
        if not call.path.startswith("/certificates"):
            return None
        about_to_read_again.invalidate()
        return 403, {}, b""

    cloud.wrong.append(invalidate)
    with pytest.raises(KeyVaultError):
        about_to_read_again.bind(CLIENT_ID, TENANTS[0])()


def test_whoever_comes_just_after_a_reading_takes_it(
    cloud: SmallCloud, clock: FakeClock, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    bound = about_to_read_again.bind(CLIENT_ID, TENANTS[0])
    with ThreadPoolExecutor(1) as other:
        clock.meanwhile = lambda: other.submit(bound).result()
        bound()
    assert clock.meanwhile is None, "there was somebody"
    assert cloud.count("certificates") == 1


def test_the_certificate_itself_is_sent_when_asked(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    for make in (by_certificate, by_own_key):
        sign_in(cloud, make(cloud, options, send_x5c=True))
        header = jwt.get_unverified_header(cloud.assertions[-1])
        assert len(header["x5c"]) == 1, "the leaf only"
        assert "x5c" not in header["x5t#S256"]


def test_a_clock_that_is_set_back_makes_a_new_assertion(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    bound = by_certificate(cloud, options).bind(CLIENT_ID, TENANTS[0])
    clock.offset = 86400.0
    ahead = bound()
    clock.offset = 0.0
    behind = bound()
    assert cloud.count("certificates") == 2, "nobody knows how old the first one is"
    public = f"https://login.microsoftonline.com/{TENANTS[0]}/oauth2/v2.0/token"
    with pytest.raises(jwt.ImmatureSignatureError):
        cloud.check(ahead, CLIENT_ID, [public])
    assert cloud.check(behind, CLIENT_ID, [public])["iss"] == CLIENT_ID


@pytest.mark.parametrize("skew", [-3600, 3600])
def test_a_machine_whose_clock_is_off_is_told_so_by_entra(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, skew: int
) -> None:
    assertion = by_certificate(cloud, options)
    cloud.now = lambda: clock.now() + skew
    assert sign_in(cloud, assertion)["error"] == "invalid_client"
    cloud.now = lambda: clock.now() + skew / 20
    assert "access_token" in sign_in(cloud, assertion), "a little is forgiven"


def test_the_kept_assertions_are_swept(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_own_key(cloud, options)
    for number in range(1030):
        assertion.bind(f"{CLIENT_ID}-{number % 1025}", TENANTS[0])()
        clock.offset += 1000 if number == 1000 else 0
    assert isinstance(assertion, SignedAssertion)
    assert len(assertion._cache._kept) < 100


def test_awaited_twins_share_what_is_kept(cloud: SmallCloud, options: dict[str, Any]) -> None:
    cloud.create()
    twin = aio.KeyVaultCertificateAssertion(cloud.url, "app", **options)
    context = {"client_id": CLIENT_ID, "token_endpoint": f"{cloud.url}/x/oauth2/v2.0/token"}

    async def ask() -> set[str]:
        return {*await asyncio.gather(*(twin(context) for _ in range(8)))}

    first = asyncio.run(ask())
    assert first == {twin.assertion(context)}
    assert cloud.count("sign") == 1
    twin.invalidate()
    assert asyncio.run(ask()) != first

    async def ask_bound() -> str:
        return await twin.bind(CLIENT_ID, TENANTS[0])()

    assert asyncio.run(ask_bound()) == twin.assertion.bind(CLIENT_ID, TENANTS[0])()


def test_there_is_a_twin_of_every_kind(cloud: SmallCloud, options: dict[str, Any]) -> None:
    made = cloud.create()
    key = aio.KeyVaultKeyAssertion(cloud.key_id(made), **options, certificate=made.certificate)
    own = aio.SignedAssertion(made.key, made.certificate)
    federated = aio.ManagedIdentityAssertion(lambda audience: f"token-for-{audience}")
    context = {"client_id": CLIENT_ID, "token_endpoint": f"{cloud.url}/x/oauth2/v2.0/token"}

    async def ask() -> list[str]:
        return [await one(context) for one in (key, own, federated)]

    first, second, third = asyncio.run(ask())
    assert first.count(".") == second.count(".") == 2
    assert third == "token-for-api://AzureADTokenExchange"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_waits_for_no_lock_of_its_parent(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    session = requests.Session()
    assertion = by_certificate(cloud, {**options, "http_client": session})
    assertion.bind(CLIENT_ID, TENANTS[0])()
    with held_by_another_thread(*locks_of(session, cloud.url)):
        assert works_in_a_child(assertion.bind(CLIENT_ID, TENANTS[1]))
    assert cloud.count("sign") == 2
    session.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_signs_anew(cloud: SmallCloud, options: dict[str, Any]) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no fork()")
    assertion = by_certificate(cloud, options)
    parent = assertion.bind(CLIENT_ID, TENANTS[0])()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, assertion.bind(CLIENT_ID, TENANTS[1])().encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        childs = stream.read()
    assert childs.count(".") == 2
    assert childs != parent
    assert cloud.count("sign") == 2


def test_the_default_session_trusts_nothing_else(
    cloud: SmallCloud, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assertion = by_key(cloud, options).bind(CLIENT_ID, TENANTS[0])
    with pytest.raises(ValueError, match="SSLError"):
        assertion()
    assert options["clock"].sleeps == [], "another try would change nothing"
    session = requests.Session()
    session.verify = cloud.ca_bundle
    trusting = by_key(cloud, options, http_client=session).bind(CLIENT_ID, TENANTS[0])
    assert trusting()
    session.close()
