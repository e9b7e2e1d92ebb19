"""Each fault happens as it was told, where it was told, and as often."""

from __future__ import annotations

import base64
import ctypes
import http.client
import json
import socket
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from msal_msi_v2.emulator import (
    LEGS,
    Body,
    Delay,
    Drop,
    Fault,
    IssuedCertificate,
    MsiV2Emulator,
    OAuthError,
    OpaqueToken,
    Status,
    WrongCnf,
)

if TYPE_CHECKING:
    from tests.emulator.conftest import Answer, MiniClient


def statuses(client: MiniClient, calls: int) -> list[int]:
    return [client.metadata().status for _ in range(calls)]


def test_faults_happen_in_order_one_a_request(client: MiniClient) -> None:
    faults = client.emulator.faults
    faults.add("metadata", Status(503), times=2)
    faults.add("issuecredential", Status(500))
    faults.add("metadata", Status(410))
    assert statuses(client, 4) == [503, 503, 410, 200]
    recorded = client.emulator.requests_to("metadata")
    assert [one.status for one in recorded] == [503, 503, 410, 200]


def test_a_lasting_fault_lasts_until_it_is_cleared(client: MiniClient) -> None:
    client.emulator.faults.add("metadata", Status(404), times=None)
    assert statuses(client, 5) == [404] * 5
    client.emulator.faults.clear()
    assert statuses(client, 1) == [200]


@pytest.mark.parametrize(
    ("leg", "fault", "times"),
    [
        ("tokens", Status(500), 1),
        ("metadata", WrongCnf(), 1),
        ("issuecredential", OpaqueToken(), 1),
        ("token", IssuedCertificate(), 1),
        ("token", Status(500), 0),
    ],
)
def test_a_fault_that_could_never_happen_is_refused(
    emulator: MsiV2Emulator, leg: str, fault: Fault, times: int
) -> None:
    with pytest.raises(ValueError):
        emulator.faults.add(leg, fault, times=times)


def call_leg(client: MiniClient, leg: str) -> Answer:
    """Call a leg in the simplest way; what it answers without a fault does not matter."""
    emulator = client.emulator
    urls = {
        "metadata": client.imds_url("getplatformmetadata"),
        "issuecredential": client.imds_url("issuecredential"),
        "imds_token": f"{emulator.imds_url}/metadata/identity/oauth2/token",
        "compute": f"{emulator.imds_url}/metadata/instance/compute",
        "attestation": f"{emulator.attestation_plain_url}/attest/keyguard",
        "token": f"{emulator.token_url}/{emulator.tenant_id}/oauth2/v2.0/token",
        "resource": emulator.resource_url,
        "vault": f"{emulator.vault_url}/secrets/x",
        "vault_certificate": f"{emulator.vault_url}/certificates/x",
        "vault_key": f"{emulator.vault_url}/keys/x",
        "vault_sign": f"{emulator.vault_url}/keys/x/sign",
        "openid": f"{emulator.login_url}/t/v2.0/.well-known/openid-configuration",
        "login_token": f"{emulator.login_url}/t/oauth2/v2.0/token",
    }
    needs_certificate = leg in {"token", "resource"}
    certificate = client.certificate() if needs_certificate else None
    return client.call("GET", urls[leg], certificate=certificate)


@pytest.mark.parametrize("leg", sorted(LEGS))
def test_every_leg_can_fail_in_its_own_shape(client: MiniClient, leg: str) -> None:
    client.emulator.faults.add(leg, Status(503, headers={"Retry-After": "7"}))
    answer = call_leg(client, leg)
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert "error" in answer.json
    assert client.emulator.requests_to(leg)[-1].status == 503
    assert call_leg(client, leg).status != 503


def test_a_status_does_nothing_of_what_was_asked(client: MiniClient) -> None:
    first = client.certificate()
    client.emulator.faults.add("issuecredential", Status(500))
    assert client.issue(bypass_cache="true").status == 500
    assert client.certificate() == first


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(429, body="slow down"), (429, b"slow down")),
        (Status(200, body=b"\x00"), (200, b"\x00")),
        (Status(400, body={"error": "e"}), (400, b'{"error": "e"}')),
        (Status(204), (204, b"")),
    ],
)
def test_a_status_carries_the_body_it_was_given(
    client: MiniClient, status: Status, expected: tuple[int, bytes]
) -> None:
    client.emulator.faults.add("metadata", status)
    answer = client.metadata()
    assert (answer.status, answer.body) == expected
    assert "IMDS" in answer.headers["server"]


def test_a_status_need_not_be_a_standard_one(client: MiniClient) -> None:
    client.emulator.faults.add("metadata", Status(599))
    assert client.metadata().status == 599


def test_a_delay_answers_normally_but_late(client: MiniClient) -> None:
    client.emulator.faults.add("metadata", Delay(0.3))
    start = time.monotonic()
    assert client.metadata().status == 200
    assert time.monotonic() - start >= 0.3


def after_a_request(client: MiniClient, url: str) -> bytes:
    """What TCP brings after a request, TLS looked through: ssl may make an end of a reset."""
    connection = client.connect(url)
    try:
        connection.request("GET", "/secrets/x")
        return socket.socket.recv(connection.sock, 4096)
    finally:
        connection.close()


def test_a_drop_sends_nothing_not_even_a_tls_goodbye(client: MiniClient) -> None:
    client.emulator.faults.add("metadata", Drop())
    with pytest.raises(http.client.RemoteDisconnected):
        client.metadata()
    (recorded,) = client.emulator.requests
    assert recorded.status is None
    client.emulator.faults.add("vault", Drop())
    assert after_a_request(client, client.emulator.vault_url) == b""


def is_wine() -> bool:
    if sys.platform != "win32":
        return False
    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


@pytest.mark.skipif(is_wine(), reason="Wine ends every connection with a FIN")
def test_a_drop_may_reset_the_connection(client: MiniClient) -> None:
    client.emulator.faults.add("vault", Drop(reset=True))
    with pytest.raises(ConnectionResetError):
        after_a_request(client, client.emulator.vault_url)
    client.emulator.faults.add("metadata", Drop(reset=True))
    with pytest.raises(ConnectionResetError) as caught:
        client.metadata()
    assert caught.type is ConnectionResetError  # not RemoteDisconnected, which is one too


def test_a_drop_may_come_in_the_middle_of_the_body(client: MiniClient) -> None:
    client.emulator.faults.add("metadata", Drop(after_bytes=10))
    with pytest.raises(http.client.IncompleteRead) as caught:
        client.metadata()
    assert caught.value.partial == b'{"clientId'


def test_a_body_replaces_the_real_one(client: MiniClient) -> None:
    client.emulator.faults.add("metadata", Body(b"<html>"))
    assert client.metadata().body == b"<html>"

    def blank_tenant(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "tenantId": ""}).encode()

    client.emulator.faults.add("metadata", Body(blank_tenant))
    assert client.metadata().json["tenantId"] == ""
    assert client.metadata().json["tenantId"] != ""


def test_headers_can_be_set_and_removed(client: MiniClient) -> None:
    headers = {"Server": None, "Content-Type": "text/html", "X-More": "1"}
    client.emulator.faults.add("metadata", Body(headers=headers))
    answer = client.metadata()
    assert answer.status == 200
    assert answer.json["clientId"]
    assert "server" not in answer.headers
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["x-more"] == "1"


def test_an_oauth_error_has_entras_shape(client: MiniClient) -> None:
    certificate = client.certificate()
    request_id = str(uuid.uuid4())
    client.emulator.faults.add(
        "token", OAuthError("invalid_client", (1000613, 7), description="Bad jku.", claims="{}")
    )
    answer = client.token_answer(certificate, headers={"client-request-id": request_id})
    assert answer.status == 401
    assert answer.json["error"] == "invalid_client"
    assert answer.json["error_description"].startswith("AADSTS1000613: Bad jku. Trace ID: ")
    assert answer.json["error_codes"] == [1000613, 7]
    assert answer.json["correlation_id"] == request_id
    assert answer.headers["client-request-id"] == request_id
    assert answer.json["claims"] == "{}"
    client.emulator.faults.add("token", OAuthError("invalid_client", status=400))
    answer = client.token_answer(certificate)
    assert answer.status == 400
    assert "error_codes" not in answer.json
    assert answer.json["error_description"].startswith("The emulator was told to")


def faulty_certificate(client: MiniClient, **changes: Any) -> x509.Certificate:
    client.emulator.faults.add("issuecredential", IssuedCertificate(**changes))
    return x509.load_der_x509_certificate(base64.b64decode(client.issue().json["certificate"]))


def test_a_certificate_can_be_wrong_in_every_way(client: MiniClient) -> None:
    right = client.certificate()
    short = faulty_certificate(client, lifetime=60)
    life = short.not_valid_after_utc - short.not_valid_before_utc
    assert life.total_seconds() == 60
    past = faulty_certificate(client, not_before=-3600, lifetime=1800)
    assert past.not_valid_after_utc.timestamp() < time.time()
    assert faulty_certificate(client).public_key() == client.key.public_key()
    assert faulty_certificate(client, key="other").public_key() != client.key.public_key()
    assert (
        "managedidentity" not in faulty_certificate(client, issuer="other").issuer.rfc4514_string()
    )
    named = faulty_certificate(client, common_name="c", domain_component="d")
    assert [one.value for one in named.subject] == ["d", "c"]
    assert client.certificate() == right  # IMDS remembers none of them


def test_a_faulty_certificate_is_refused_for_what_is_wrong_with_it(client: MiniClient) -> None:
    client.emulator.faults.add("issuecredential", IssuedCertificate(not_before=3600))
    answer = client.token_answer(client.certificate())
    assert (answer.status, answer.json["error_codes"]) == (401, [700027])


def test_a_token_can_be_bound_to_another_certificate(client: MiniClient) -> None:
    certificate = client.certificate()
    client.emulator.faults.add("token", WrongCnf())
    wrong = client.read_claims(client.token(certificate))["cnf"]
    right = client.read_claims(client.token(certificate))["cnf"]
    assert wrong.keys() == right.keys()
    assert wrong != right


def test_faults_count_requests_of_many_threads_exactly(emulator: MsiV2Emulator) -> None:
    fault = Status(500)
    emulator.faults.add("token", fault, times=3)
    assert [emulator.faults.take("token") for _ in range(4)] == [fault, fault, fault, None]
