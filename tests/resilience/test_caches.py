"""What is remembered, for how long, and what it is never mixed up with."""

from __future__ import annotations

import os
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msal
import pytest
from acquiring import (
    RESOURCE,
    ClockedPlatform,
    Store,
    acquire,
    make_client,
    wait_for_background,
)

from msal_msi_v2 import MsiV2Error, MtlsBindingStrength
from msal_msi_v2.caches import TokenName
from msal_msi_v2.emulator import Delay, IssuedCertificate, Status

if TYPE_CHECKING:
    from msal_msi_v2.emulator import MsiV2Emulator

COLD = ["metadata", "issuecredential", "token"]
HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def aging(emulator: MsiV2Emulator) -> MsiV2Emulator:
    """A host whose tokens are to be renewed after an hour."""
    emulator.refresh_in = HOUR
    return emulator


def legs(emulator: MsiV2Emulator) -> list[str]:
    return [request.leg for request in emulator.requests]


def advance(emulator: MsiV2Emulator, platform: Any, seconds: float) -> None:
    """Let time pass for the client and for the services alike."""
    platform.clock.offset += seconds
    emulator.clock_offset = platform.clock.offset


def test_a_second_client_hits_the_cache(emulator: MsiV2Emulator, platform: Any) -> None:
    first = acquire(make_client(platform))
    second = acquire(make_client(platform))
    assert legs(emulator) == COLD
    assert (first["token_source"], second["token_source"]) == ("identity_provider", "cache")
    assert second["access_token"] == first["access_token"]
    assert second["binding_certificate"] is first["binding_certificate"]
    assert second["correlation_id"] == first["correlation_id"]
    assert set(second) == set(first)


@pytest.mark.usefixtures("emulator")
def test_a_hit_carries_the_callers_guid_if_there_is_one(platform: Any) -> None:
    guid = "6f2f6d5e-9d0c-4f0a-8f43-0d2b7a7d3f11"
    client = make_client(platform)
    acquire(client)
    assert acquire(client, correlation_id=guid)["correlation_id"] == guid


def test_another_platform_shares_nothing(emulator: MsiV2Emulator, make_platform: Any) -> None:
    acquire(make_client(make_platform()))
    acquire(make_client(make_platform()))
    assert legs(emulator) == COLD * 2


def test_any_object_will_do_as_a_platform(emulator: MsiV2Emulator, platform: Any) -> None:
    plain = SimpleNamespace(
        key_store=platform.key_store,
        attestor=None,
        transport=platform.transport,
        certificate_store=None,
    )
    acquire(make_client(plain))
    acquire(make_client(plain))
    assert legs(emulator) == COLD


def test_a_new_resource_is_one_request(emulator: MsiV2Emulator, platform: Any) -> None:
    client = make_client(platform)
    acquire(client)
    emulator.clear_requests()
    acquire(client, resource="https://storage.azure.com")
    assert legs(emulator) == ["token"]


def test_spellings_of_a_resource_share(emulator: MsiV2Emulator, platform: Any) -> None:
    client = make_client(platform)
    for resource in (RESOURCE, f"{RESOURCE}/", f"{RESOURCE}/.default"):
        assert acquire(client, resource=resource)["resource"] == resource
    assert legs(emulator) == COLD


def test_what_differs_is_kept_apart(emulator: MsiV2Emulator, platform: Any) -> None:
    user = next(identity for identity in emulator.identities if identity.resource_id)
    by_client = msal.UserAssignedManagedIdentity(client_id=user.client_id)
    by_object = msal.UserAssignedManagedIdentity(object_id=user.object_id)
    tokens = [
        acquire(make_client(platform))["access_token"],
        acquire(make_client(platform, by_client))["access_token"],
        acquire(make_client(platform, by_object))["access_token"],
        acquire(make_client(platform, client_capabilities=["CP1"]))["access_token"],
    ]
    assert len(set(tokens)) == 4
    assert legs(emulator) == COLD * 3 + ["token"], "capabilities share the certificate"


def test_attested_and_unattested_do_not_evict_each_other(
    emulator: MsiV2Emulator, attested_platform: Any
) -> None:
    client = make_client(attested_platform)
    for _ in range(3):
        acquire(client, with_attestation_support=True, min_strength=None)
        acquire(client, min_strength=None)
    assert sorted(legs(emulator)) == sorted([*COLD * 2, "attestation"])


def test_a_cached_token_must_meet_the_floor(
    emulator: MsiV2Emulator, platform: Any, stack: str
) -> None:
    if stack == "windows":
        pytest.skip("a KeyGuard key meets every floor")
    client = make_client(platform)
    acquire(client)
    for floor in (None, MtlsBindingStrength.KEYGUARD):
        with pytest.raises(MsiV2Error):
            acquire(client, min_strength=floor)
    assert legs(emulator) == COLD


def test_bound_and_bearer_never_answer_for_each_other(
    emulator: MsiV2Emulator, platform: Any
) -> None:
    client = make_client(platform)
    bound = acquire(client)["access_token"]
    bearer = client.acquire_token_for_client(resource=RESOURCE)["access_token"]
    assert legs(emulator) == [*COLD, "imds_token"]
    assert acquire(client)["access_token"] == bound
    assert client.acquire_token_for_client(resource=RESOURCE)["access_token"] == bearer
    assert len(emulator.requests) == 4


@pytest.mark.parametrize(("left", "hit"), [(310, True), (290, False)])
def test_a_token_is_served_while_five_minutes_remain(
    emulator: MsiV2Emulator, platform: Any, left: float, hit: bool
) -> None:
    client = make_client(platform)
    lifetime = acquire(client)["expires_in"]
    platform.clock.offset += lifetime - left
    again = acquire(client)
    assert (again["token_source"] == "cache") is hit
    if hit:
        assert abs(again["expires_in"] - left) <= 2
    assert len(emulator.requests_to("token")) == (1 if hit else 2)


def test_a_token_whose_certificate_expired_is_not_served(
    emulator: MsiV2Emulator, platform: Any
) -> None:
    emulator.faults.add("issuecredential", IssuedCertificate(lifetime=HOUR))
    client = make_client(platform)
    acquire(client)
    assert acquire(client)["token_source"] == "cache"
    platform.clock.offset += HOUR + 1
    acquire(client)
    assert legs(emulator) == COLD * 2


@pytest.mark.parametrize(("lifetime", "reused"), [(DAY + 600, True), (DAY - 600, False)])
def test_a_certificate_is_reused_with_more_than_a_day_left(
    emulator: MsiV2Emulator, platform: Any, lifetime: float, reused: bool
) -> None:
    emulator.faults.add("issuecredential", IssuedCertificate(lifetime=lifetime))
    client = make_client(platform)
    acquire(client)
    acquire(client, resource="https://other")
    assert legs(emulator) == ([*COLD, "token"] if reused else COLD * 2)


def test_force_refresh_gets_a_new_token_over_the_same_certificate(
    emulator: MsiV2Emulator, platform: Any
) -> None:
    client = make_client(platform)
    first = acquire(client)
    second = acquire(client, force_refresh=True)
    assert legs(emulator) == [*COLD, "token"]
    assert second["access_token"] != first["access_token"]
    assert second["binding_certificate"] is first["binding_certificate"]
    assert acquire(client)["access_token"] == second["access_token"]


# --- renewal in the background


def test_refresh_in_renews_once_behind_the_callers_back(
    aging: MsiV2Emulator, platform: Any
) -> None:
    client = make_client(platform)
    first = acquire(client)
    advance(aging, platform, HOUR + 1)
    aging.faults.add("token", Delay(1))
    hits = [acquire(client) for _ in range(10)]
    assert {hit["access_token"] for hit in hits} == {first["access_token"]}
    assert {hit["token_source"] for hit in hits} == {"cache"}
    wait_for_background()
    assert legs(aging) == [*COLD, "token"]
    assert acquire(client)["access_token"] != first["access_token"]


def test_a_failing_renewal_harms_nobody(aging: MsiV2Emulator, platform: Any) -> None:
    client = make_client(platform)
    first = acquire(client)
    advance(aging, platform, HOUR + 1)
    aging.faults.add("token", Status(400), times=None)
    for _ in range(3):
        assert acquire(client)["access_token"] == first["access_token"]
        wait_for_background()
    assert legs(aging).count("token") == 2, "and is not tried again at once"
    aging.faults.clear()
    advance(aging, platform, 61)
    acquire(client)
    wait_for_background()
    assert acquire(client)["access_token"] != first["access_token"]


def test_a_certificate_is_renewed_from_half_its_life_on(
    aging: MsiV2Emulator, platform: Any
) -> None:
    client = make_client(platform)
    first = acquire(client)
    advance(aging, platform, 3.6 * DAY)
    second = acquire(client)
    assert second["binding_certificate"] is first["binding_certificate"], "nobody waits"
    wait_for_background()
    assert sorted(legs(aging)) == sorted([*COLD, "token", "metadata", "issuecredential"])
    acquire(client)
    assert acquire(client)["access_token"] == second["access_token"], "and no token is evicted"
    third = acquire(client, resource="https://other")
    assert third["binding_certificate"] is not first["binding_certificate"]


# --- persisted certificates


@pytest.fixture
def stored(stack: str, platform: Any) -> Store:
    if stack == "windows":
        pytest.skip("tests/native has the real store; this one pretends")
    store = Store()
    vars(platform)["certificate_store"] = store
    return store


def another_process(platform: Any) -> Any:
    """Return the same host's platform as a new process sees it: its key and store, no memory."""
    other: Any = ClockedPlatform()
    other.key_store = platform.key_store
    vars(other)["certificate_store"] = vars(platform)["certificate_store"]
    return other


def test_a_new_process_reuses_the_certificate(
    emulator: MsiV2Emulator, platform: Any, stored: Store
) -> None:
    first = acquire(make_client(platform))
    wait_for_background()
    assert [*stored.kept] == ["system_assigned_managed_identity#att=0"]
    emulator.clear_requests()
    second = acquire(make_client(another_process(platform)))
    assert legs(emulator) == ["token"]
    assert second["binding_certificate"].der == first["binding_certificate"].der


def test_a_certificate_that_is_of_no_use_is_forgotten_by_the_store_too(
    emulator: MsiV2Emulator, platform: Any, stored: Store
) -> None:
    acquire(make_client(platform))
    wait_for_background()
    emulator.revoke_all()
    emulator.clear_requests()
    result = acquire(make_client(another_process(platform)))
    assert legs(emulator) == ["token", *COLD]
    wait_for_background()
    ((_, kept),) = stored.kept.items()
    assert kept.der == result["binding_certificate"].der


# --- one flight


@pytest.mark.parametrize("attested", [False, True])
def test_64_threads_cold_make_one_of_each(
    emulator: MsiV2Emulator, attested_platform: Any, attested: bool
) -> None:
    barrier = threading.Barrier(64)
    results: list[Any] = []

    def work() -> None:
        client = make_client(attested_platform)
        barrier.wait()
        results.append(acquire(client, with_attestation_support=attested, min_strength=None))

    run_all([threading.Thread(target=work) for _ in range(64)])
    assert len(results) == 64
    assert len({result["access_token"] for result in results}) == 1
    assert legs(emulator) == (["metadata", "attestation", *COLD[1:]] if attested else COLD)


def test_who_is_too_late_for_a_flight_takes_what_it_has_made(
    emulator: MsiV2Emulator, platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, others = make_client(platform), list[dict[str, Any]]()
    look = client.host.caches.tokens.get

    def look_and_be_overtaken(*arguments: Any) -> Any:
        kept = look(*arguments)
        monkeypatch.setattr(client.host.caches.tokens, "get", look)
        others.append(acquire(make_client(platform)))
        return kept

    monkeypatch.setattr(client.host.caches.tokens, "get", look_and_be_overtaken)
    assert acquire(client)["access_token"] == others[0]["access_token"]
    assert legs(emulator) == COLD


def test_threads_share_a_failure_too(emulator: MsiV2Emulator, platform: Any) -> None:
    emulator.faults.add("metadata", Delay(0.5))
    emulator.faults.add("issuecredential", Status(400), times=None)
    errors: list[MsiV2Error] = []

    def work() -> None:
        try:
            acquire(make_client(platform))
        except MsiV2Error as exc:
            errors.append(exc)

    run_all([threading.Thread(target=work) for _ in range(8)])
    assert len(errors) == 8
    assert len({id(error) for error in errors}) == 8, "each has a traceback of its own"
    assert len(legs(emulator)) == 2


def test_nobody_gets_what_only_another_one_would_accept(
    emulator: MsiV2Emulator, platform: Any, stack: str
) -> None:
    if stack == "windows":
        pytest.skip("a KeyGuard key meets every floor")
    emulator.faults.add("token", Delay(0.5))
    floors: list[Any] = [MtlsBindingStrength.SOFTWARE, None, MtlsBindingStrength.KEYGUARD]
    outcomes: dict[Any, Any] = {}

    def work(floor: Any) -> None:
        try:
            outcomes[floor] = acquire(make_client(platform), min_strength=floor)["token_type"]
        except MsiV2Error as exc:
            outcomes[floor] = exc.error

    run_all([threading.Thread(target=work, args=(floor,)) for floor in floors])
    assert outcomes == {
        MtlsBindingStrength.SOFTWARE: "mtls_pop",
        None: "mtls_pop_requires_keyguard",
        MtlsBindingStrength.KEYGUARD: "min_strength_not_met",
    }


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_works_and_shares_no_connection(
    emulator: MsiV2Emulator, platform: Any
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no fork()")
    client = make_client(platform)
    acquire(client)
    connections = emulator.connections("token")
    to_imds = emulator.connections("imds")
    platform_caches = client.host.caches
    platform_caches.tokens._lock.acquire()  # as if another thread of the parent held it
    child = os.fork()
    if child == 0:
        code = 1
        try:
            acquire(client, resource="https://in.the.child")
            acquire(client, claims_challenge='{"access_token":{}}')
            code = 0
        finally:
            os._exit(code)
    platform_caches.tokens._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert emulator.connections("token") == connections + 2, "one for each of its certificates"
    assert emulator.connections("imds") == to_imds + 1
    acquire(client, resource="https://in.the.parent")
    acquire(client, claims_challenge='{"access_token":{}}', resource="https://in.the.parent")
    assert emulator.connections("imds") == to_imds + 1, "the parent's own one still works"


@pytest.mark.usefixtures("emulator")
def test_memory_of_tokens_is_bounded_by_their_life(platform: Any) -> None:
    client = make_client(platform)
    acquire(client)
    cache = client.host.caches.tokens
    ((name, token),) = cache._tokens.items()
    assert isinstance(name, TokenName)
    for number in range(3000):
        platform.clock.offset += 3600
        later = platform.clock.now()
        kept = type(token)(token.token, token.binding, later + DAY, None, "")
        cache.put(name._replace(scope=str(number)), kept, later)
    assert len(cache._tokens) < 1100
