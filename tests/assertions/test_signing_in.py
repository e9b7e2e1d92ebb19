"""Unmodified msal and azure-identity sign in with each kind of assertion."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests
from forking import held_by_another_thread, locks_of, works_in_a_child
from signing_in import KINDS, SCOPES, by_certificate, by_key, by_own_key, sign_in
from small_cloud import CLIENT_ID, TENANTS, SmallCloud

from msal_msi_v2._base64 import b64url_encode
from msal_msi_v2.assertions import SignedAssertion, aio
from msal_msi_v2.assertions.cache import MARGIN

if TYPE_CHECKING:
    from fake_clock import FakeClock

    from msal_msi_v2.assertions.jwt import Algorithm


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


def test_the_certificate_itself_is_sent_when_asked(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    for make in (by_certificate, by_own_key):
        sign_in(cloud, make(cloud, options, send_x5c=True))
        header = jwt.get_unverified_header(cloud.assertions[-1])
        (leaf,) = header["x5c"]  # without its issuers
        named = b64url_encode(hashlib.sha256(base64.b64decode(leaf)).digest())
        assert named == header["x5t#S256"]


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
