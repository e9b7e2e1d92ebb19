"""Retries, throttling and recovery: every row, with requests counted and delays recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trustme
from acquiring import acquire, make_client
from requests.adapters import HTTPAdapter, Retry

from msal_msi_v2 import ManagedIdentityClient, MsiV2Error
from msal_msi_v2.emulator import Delay, Drop, MsiV2Emulator, OAuthError, Status
from msal_msi_v2.errors import TransportError, TransportFailure

if TYPE_CHECKING:
    from pathlib import Path

COLD = ["metadata", "issuecredential", "token"]
RENEWED = ["metadata", "issuecredential", "token"]


@pytest.fixture
def client(emulator: MsiV2Emulator, platform: Any) -> ManagedIdentityClient:
    del emulator  # its environment is what counts, and is read here
    return make_client(platform)


def legs(emulator: MsiV2Emulator) -> list[str]:
    return [request.leg for request in emulator.requests]


def failure(client: ManagedIdentityClient, **options: Any) -> MsiV2Error:
    with pytest.raises(MsiV2Error) as caught:
        acquire(client, **options)
    return caught.value


# --- IMDS


@pytest.mark.parametrize("leg", ["metadata", "issuecredential"])
@pytest.mark.parametrize("status", [404, 408, 429, 500, 503, 599])
def test_imds_is_retried_three_times(
    emulator: MsiV2Emulator,
    platform: Any,
    client: ManagedIdentityClient,
    leg: str,
    status: int,
) -> None:
    emulator.faults.add(leg, Status(status, {"Retry-After": "100"}), times=3)
    assert acquire(client)["access_token"]
    assert platform.clock.sleeps == [1, 2, 4]
    tries = emulator.requests_to(leg)
    assert len(tries) == 4
    assert len({(one.body, one.headers["x-ms-client-request-id"]) for one in tries}) == 1


@pytest.mark.parametrize("leg", ["metadata", "issuecredential"])
def test_and_then_no_more(
    emulator: MsiV2Emulator, platform: Any, client: ManagedIdentityClient, leg: str
) -> None:
    emulator.faults.add(leg, Status(503), times=None)
    assert failure(client).status_code == 503
    assert platform.clock.sleeps == [1, 2, 4]
    assert len(emulator.requests_to(leg)) == 4


def test_410_waits_ten_seconds_seven_times(
    emulator: MsiV2Emulator, platform: Any, client: ManagedIdentityClient
) -> None:
    emulator.faults.add("metadata", Status(410), times=7)
    assert acquire(client)["access_token"]
    assert platform.clock.sleeps == [10] * 7


def test_each_request_has_its_own_count(
    emulator: MsiV2Emulator, platform: Any, client: ManagedIdentityClient
) -> None:
    emulator.faults.add("metadata", Status(500), times=3)
    emulator.faults.add("issuecredential", Status(500), times=3)
    assert acquire(client)["access_token"]
    assert platform.clock.sleeps == [1, 2, 4] * 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refusals_of_imds_are_final(
    emulator: MsiV2Emulator, platform: Any, client: ManagedIdentityClient, status: int
) -> None:
    emulator.faults.add("metadata", Status(status))
    assert failure(client).status_code == status
    assert (legs(emulator), platform.clock.sleeps) == (["metadata"], [])


def test_a_timeout_of_imds_is_retried(emulator: MsiV2Emulator, platform: Any) -> None:
    emulator.faults.add("metadata", Delay(4), times=2)
    client = make_client(platform, timeout=(5, 1.5))
    assert acquire(client)["access_token"]
    assert platform.clock.sleeps == [1, 2]


def test_no_connection_to_imds_is_final(platform: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    assert failure(make_client(platform)).error == "managed_identity_unreachable_network"
    assert platform.clock.sleeps == []


def test_an_http_client_that_retries_is_left_alone(emulator: MsiV2Emulator, platform: Any) -> None:
    client = make_client(platform)
    retries = Retry(total=2, status_forcelist=[503], allowed_methods=None, raise_on_status=False)
    client._given_http_client.mount("http://", HTTPAdapter(max_retries=retries))
    emulator.faults.add("metadata", Status(503), times=None)
    assert failure(client).error == "managed_identity_request_failed"
    assert (len(legs(emulator)), platform.clock.sleeps) == (3, [])


def test_an_interrupt_leaves_at_once(
    emulator: MsiV2Emulator, platform: Any, client: ManagedIdentityClient
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    platform.clock.sleep = interrupt  # what Ctrl-C does to a wait
    emulator.faults.add("metadata", Status(503))
    with pytest.raises(KeyboardInterrupt):
        acquire(client)
    assert legs(emulator) == ["metadata"]
    assert acquire(client)["access_token"], "and nothing is stuck"


# --- the token endpoint


@pytest.mark.parametrize("status", [500, 503, 599])
def test_the_token_endpoint_is_retried_once(
    emulator: MsiV2Emulator, platform: Any, client: ManagedIdentityClient, status: int
) -> None:
    emulator.faults.add("token", Status(status))
    assert acquire(client)["access_token"]
    assert platform.clock.sleeps == [1]
    first, second = emulator.requests_to("token")
    assert first.body == second.body
    assert first.headers["client-request-id"] == second.headers["client-request-id"]


@pytest.mark.parametrize("fault", [Status(429), Status(503, {"Retry-After": "5"}), Status(400)])
def test_what_is_not_retried(
    emulator: MsiV2Emulator, platform: Any, client: ManagedIdentityClient, fault: Any
) -> None:
    emulator.faults.add("token", fault)
    failure(client)
    assert (legs(emulator), platform.clock.sleeps) == (COLD, [])


def test_a_timeout_of_the_token_endpoint_is_retried(emulator: MsiV2Emulator, platform: Any) -> None:
    emulator.faults.add("token", Delay(6))
    assert acquire(make_client(platform, timeout=(5, 2)))["access_token"]
    assert platform.clock.sleeps == [1]
    assert len(emulator.requests_to("token")) == 2


@pytest.mark.parametrize(
    ("fault", "tries", "seconds"),
    [
        (Status(429), 1, 60),
        (Status(429, {"Retry-After": "7"}), 1, 7),
        (Status(503, {"Retry-After": "99999"}), 1, 3600),
        (Status(500), 2, 60),
    ],
)
def test_a_refusal_stands_for_a_while(
    emulator: MsiV2Emulator,
    platform: Any,
    client: ManagedIdentityClient,
    fault: Status,
    tries: int,
    seconds: float,
) -> None:
    emulator.faults.add("token", fault, times=tries)
    refused = failure(client)
    again = failure(client)
    assert (again.error, again.status_code) == (refused.error, fault.code)
    assert again is not refused
    assert len(emulator.requests_to("token")) == tries, "answered locally"
    assert acquire(client, resource="https://other")["access_token"], "other resources are free"
    platform.clock.offset += seconds - 1
    failure(client)
    platform.clock.offset += 2
    assert acquire(client)["access_token"]


# --- recovery


def certificates(emulator: MsiV2Emulator) -> list[str]:
    """Return for each certificate request whether it bypassed IMDS's cache."""
    return [
        request.query.get("bypass_cache", "") for request in emulator.requests_to("issuecredential")
    ]


@pytest.mark.parametrize("codes", [(7000215,), (1000610,), (1000614,), ()])
def test_invalid_client_is_recovered_with_a_new_certificate(
    emulator: MsiV2Emulator,
    platform: Any,
    client: ManagedIdentityClient,
    codes: tuple[int, ...],
) -> None:
    emulator.faults.add("token", OAuthError("invalid_client", codes))
    result = acquire(client)
    assert legs(emulator) == COLD + RENEWED
    assert certificates(emulator) == ["", "true"]
    first, second = emulator.requests_to("token")
    assert first.client_certificate != second.client_certificate
    assert second.client_certificate == result["binding_certificate"].der
    assert platform.clock.sleeps == [0.0]


@pytest.mark.parametrize(
    ("codes", "renewals"),
    [((7000215,), 1), ((1000609,), 1), ((1000615,), 1), ((1000612,), 3), ((), 3)],
)
def test_recovery_is_bounded(
    emulator: MsiV2Emulator,
    platform: Any,
    client: ManagedIdentityClient,
    codes: tuple[int, ...],
    renewals: int,
) -> None:
    emulator.faults.add("token", OAuthError("invalid_client", codes), times=None)
    assert failure(client).error == "invalid_client"
    assert legs(emulator) == COLD + RENEWED * renewals
    assert len(platform.clock.sleeps) == renewals
    for waited, longest in zip(platform.clock.sleeps, [0, 2, 4], strict=False):
        assert longest / 2 <= waited <= longest


def test_the_last_error_is_the_callers(
    emulator: MsiV2Emulator, client: ManagedIdentityClient
) -> None:
    emulator.faults.add("token", OAuthError("invalid_client", (1000610,)))
    emulator.faults.add("token", OAuthError("invalid_scope", (70011,), status=400))
    assert failure(client).error == "invalid_scope"


@pytest.mark.parametrize("error", ["invalid_scope", "unauthorized_client", "invalid_request"])
def test_other_oauth_errors_are_not_remediated(
    emulator: MsiV2Emulator, client: ManagedIdentityClient, error: str
) -> None:
    emulator.faults.add("token", OAuthError(error, (1000610,), status=400))
    assert failure(client).error == error
    assert legs(emulator) == COLD


def test_a_revoked_certificate_is_replaced(
    emulator: MsiV2Emulator, client: ManagedIdentityClient
) -> None:
    first = acquire(client)
    emulator.revoke(first["binding_certificate"].der)
    second = acquire(client, resource="https://other")
    assert second["binding_certificate"].der != first["binding_certificate"].der
    emulator.clear_requests()
    third = acquire(client)
    assert third["token_source"] == "identity_provider", "tokens of a dropped one are not served"
    assert legs(emulator) == ["token"]
    assert first["binding_certificate"].private_key.key_size == 2048, "its object stays usable"


@pytest.mark.parametrize("fault", [Drop(), Drop(reset=True), Drop(after_bytes=5)])
def test_a_broken_connection_is_recovered_once(
    emulator: MsiV2Emulator, client: ManagedIdentityClient, fault: Drop
) -> None:
    emulator.faults.add("token", fault)
    assert acquire(client)["access_token"]
    assert legs(emulator) == COLD + RENEWED
    emulator.clear_requests()
    emulator.faults.add("token", fault, times=None)
    error = failure(client, resource="https://other")
    assert isinstance(error, TransportError)
    assert legs(emulator) == ["token", *RENEWED]


def test_a_server_that_we_refuse_is_never_remediated(
    emulator: MsiV2Emulator,
    platform: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stack: str,
) -> None:
    if stack == "windows":
        pytest.skip("Windows trusts what its store says")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    error = failure(make_client(platform))
    assert isinstance(error, TransportError)
    assert error.failure is TransportFailure.SERVER_CERTIFICATE
    assert legs(emulator) == ["metadata", "issuecredential"]


def test_a_refused_attestation_token_is_not_sent_again(
    emulator: MsiV2Emulator, attested_platform: Any
) -> None:
    client = make_client(attested_platform)
    emulator.faults.add("token", OAuthError("invalid_client", (1000610,)))
    acquire(client, with_attestation_support=True, min_strength=None)
    sent = [request.body for request in emulator.requests_to("issuecredential")]
    assert len(set(sent)) == 2
    assert len(emulator.requests_to("attestation")) == 2


def test_a_claims_challenge_gets_a_new_certificate_first(
    emulator: MsiV2Emulator, client: ManagedIdentityClient
) -> None:
    first = acquire(client)
    emulator.clear_requests()
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    second = acquire(client, claims_challenge=claims)
    assert legs(emulator) == RENEWED
    assert certificates(emulator) == ["true"]
    assert second["binding_certificate"].der != first["binding_certificate"].der
    assert acquire(client)["access_token"] == second["access_token"]


def test_a_challenge_on_a_cold_client_takes_one_certificate(
    emulator: MsiV2Emulator, client: ManagedIdentityClient
) -> None:
    acquire(client, claims_challenge='{"access_token":{}}')
    assert legs(emulator) == COLD
    assert certificates(emulator) == ["true"]


def test_a_throttled_client_leaves_everybody_alone(
    emulator: MsiV2Emulator, client: ManagedIdentityClient
) -> None:
    emulator.faults.add("token", OAuthError("invalid_client", (1000610,), status=429))
    assert failure(client).status_code == 429
    assert legs(emulator) == COLD, "no certificate mends a 429"
    emulator.clear_requests()
    for _ in range(3):
        error = failure(client, claims_challenge='{"access_token":{}}')
        assert (error.error, error.status_code) == ("invalid_client", 429)
    assert legs(emulator) == []


def test_a_failing_renewal_is_the_callers_error(
    emulator: MsiV2Emulator, client: ManagedIdentityClient
) -> None:
    acquire(client)
    emulator.faults.add("token", OAuthError("invalid_client", (1000610,)))
    emulator.faults.add("issuecredential", Status(400))
    error = failure(client, resource="https://other")
    assert (error.error, error.status_code) == ("managed_identity_request_failed", 400)
