"""Connections, threads, start and stop: nothing blocks, nothing is left behind."""

from __future__ import annotations

import gc
import math
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from msal_msi_v2.emulator import Body, Delay, MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Answer, MiniClient


def dial(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def test_the_environment_points_a_client_here(emulator: MsiV2Emulator) -> None:
    assert emulator.environment == {
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": emulator.imds_url,
        "SSL_CERT_FILE": emulator.ca_bundle,
        "REQUESTS_CA_BUNDLE": emulator.ca_bundle,
    }
    assert emulator.imds_url.startswith("http://127.0.0.1:")
    for url in (emulator.token_url, emulator.resource_url, emulator.vault_url):
        assert url.startswith("https://localhost:")
    for name in ("localhost", "127.0.0.1"):
        url = emulator.vault_url.replace("localhost", name)
        assert requests.get(url, verify=emulator.ca_bundle, timeout=10).status_code == 404


def test_connections_are_kept_alive_and_counted(client: MiniClient) -> None:
    emulator = client.emulator
    before = {name: emulator.connections(name) for name in ("imds", "resource")}
    certificate = client.certificate()
    after_issue = emulator.connections("imds")
    for service, url, presented in (
        ("imds", emulator.imds_url, None),
        ("resource", emulator.resource_url, certificate),
    ):
        connection = client.connect(url, presented)
        answers = [client.send(connection, "POST", url, body=b"x" * 9) for _ in range(3)]
        connection.close()
        assert len({answer.status for answer in answers}) == 1
        recorded = [one for one in emulator.requests if one.service == service][-3:]
        assert len({one.connection_id for one in recorded}) == 1
        assert [one.body for one in recorded] == [b"x" * 9] * 3
    assert emulator.connections("imds") == after_issue + 1
    assert emulator.connections("resource") == before["resource"] + 1
    assert emulator.connections("nothing") == 0


def test_chunked_bodies_and_head_requests_leave_the_connection_in_step(
    client: MiniClient,
) -> None:
    url = client.emulator.imds_url
    connection = client.connect(url)
    connection.request("POST", "/", iter([b"ab", b"c"]), encode_chunked=True)
    assert connection.getresponse().read()
    connection.request("HEAD", "/")
    response = connection.getresponse()
    assert (response.status, response.read()) == (404, b"")
    assert client.send(connection, "GET", url).status == 404
    connection.close()
    assert client.emulator.requests[0].body == b"abc"


def test_requests_are_recorded_in_order_and_can_be_cleared(client: MiniClient) -> None:
    client.certificate()
    recorded = client.emulator.requests
    assert [one.leg for one in recorded] == ["metadata", "issuecredential"]
    assert [one.service for one in recorded] == ["imds", "imds"]
    assert recorded[1].method == "POST"
    assert recorded[1].path == "/metadata/identity/issuecredential"
    assert recorded[1].query == {"cred-api-version": "2.0"}
    assert recorded[1].headers["metadata"] == "true"
    assert recorded[1].body not in repr(recorded).encode()
    client.emulator.clear_requests()
    assert client.emulator.requests == []
    assert len(recorded) == 2


def test_of_many_requests_the_newest_are_kept_where_asked() -> None:
    with MsiV2Emulator(keep_requests=3) as emulator, requests.Session() as session:
        for number in range(5):
            session.get(f"{emulator.imds_url}/{number}", timeout=10)
        assert [one.path for one in emulator.requests] == ["/2", "/3", "/4"]
        assert {one.status for one in emulator.requests} == {404}


def test_a_silent_client_blocks_nobody(client: MiniClient) -> None:
    certificate = client.certificate()
    with dial(client.emulator.token_url), dial(client.emulator.imds_url):
        start = time.monotonic()
        assert client.token_answer(certificate).status == 200
        assert client.metadata().status == 200
        assert time.monotonic() - start < 2


def test_a_tls_connection_ends_with_a_goodbye(client: MiniClient) -> None:
    request = b"GET /secrets/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with (
        dial(client.emulator.vault_url) as connection,
        client.context().wrap_socket(
            connection, server_hostname="localhost", suppress_ragged_eofs=False
        ) as tls,
    ):
        tls.sendall(request)
        answer = b""
        while data := tls.recv(4096):  # an end without close_notify would be an SSLEOFError
            answer += data
    assert b"\r\nConnection: close\r\n" in answer


def test_a_handshake_that_does_not_end_is_given_up(
    emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msal_msi_v2.emulator.connection._HANDSHAKE_TIMEOUT", 0.2)
    with dial(emulator.token_url) as connection:
        assert connection.recv(4096) == b""


def test_a_refused_client_that_does_not_leave_is_left_after_a_second(
    emulator: MsiV2Emulator,
) -> None:
    def serving() -> int:
        return sum(thread.name == "emulator-token" for thread in threading.enumerate())

    before = serving()
    with dial(emulator.token_url) as connection:
        connection.sendall(b"\x00garbage\r\n\r\n")
        until = time.monotonic() + 5
        while connection.recv(4096) or (serving() > before and time.monotonic() < until):
            time.sleep(0.05)
        assert serving() <= before


def test_garbage_in_place_of_tls_and_http_is_survived(client: MiniClient) -> None:
    for url in (client.emulator.token_url, client.emulator.imds_url):
        with dial(url) as connection:
            connection.sendall(b"\x00garbage\r\n\r\n")
            while connection.recv(4096):
                pass
    with dial(client.emulator.imds_url) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096) == b""
    assert client.metadata().status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://[ HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
    ],
)
@pytest.mark.parametrize(
    ("service", "mode"),
    [("imds_url", "handshake"), ("vault_url", "handshake"), ("vault_url", "renegotiation")],
)
def test_what_is_not_http_is_answered_and_the_connection_ends(
    client: MiniClient, monkeypatch: pytest.MonkeyPatch, service: str, mode: str, request_: bytes
) -> None:
    monkeypatch.setattr(client.emulator, "client_certificates", mode)
    url = getattr(client.emulator, service)
    context = client.context()
    with dial(url) as tcp:
        tls = url.startswith("https")
        with context.wrap_socket(tcp, server_hostname="localhost") if tls else tcp as connection:
            connection.sendall(request_ + b"\r\n\r\n" + b"x" * 100_000)
            answer = b""
            while data := connection.recv(4096):
                answer += data
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("leg", ["metadata", "token", "vault"])
def test_a_mistake_of_the_emulators_is_an_answer(
    client: MiniClient, caplog: pytest.LogCaptureFixture, leg: str
) -> None:
    certificate = client.certificate()
    client.emulator.faults.add(leg, Body(mistake))
    ask: dict[str, Callable[[], Answer]] = {
        "metadata": client.metadata,
        "token": lambda: client.token_answer(certificate),
        "vault": lambda: client.call("GET", f"{client.emulator.vault_url}/secrets/x"),
    }
    answer = ask[leg]()
    assert answer.status == 500
    error = answer.json["error"]
    assert (error["code"] if leg == "vault" else error) == "internal_server_error"
    assert client.emulator.requests_to(leg)[-1].status == 500
    (logged,) = [one for one in caplog.records if one.exc_info]
    assert "ZeroDivisionError" in caplog.text
    assert logged.getMessage().endswith("a request could not be answered")


def mistake(content: bytes) -> bytes:
    return content[: 1 // 0]


def test_a_hundred_threads_are_served_at_once(client: MiniClient) -> None:
    certificate = client.certificate()
    client.emulator.faults.add("token", Delay(0.3), times=None)
    ready = threading.Barrier(100)

    def ask(_: int) -> int:
        ready.wait()
        return client.token_answer(certificate).status

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(ask, range(100))) == [200] * 100


def test_stop_is_prompt_and_leaves_nothing_behind(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    threads = set(threading.enumerate())
    files = open_files()
    with MsiV2Emulator() as emulator:
        client = client_of(emulator)
        certificate = client.certificate()
        emulator.faults.add("metadata", Delay(60))
        delayed = threading.Thread(target=swallow, args=(client.metadata,))
        delayed.start()
        idle = [client.connect(emulator.imds_url) for _ in range(5)]
        idle += [client.connect(emulator.resource_url, certificate) for _ in range(5)]
        for connection in idle:
            connection.request("GET", "/")
            connection.getresponse().read()
        silent = dial(emulator.token_url)
        while emulator.requests_to("metadata")[-1].status is not None:
            time.sleep(0.01)
        directory = Path(emulator.ca_bundle).parent
        assert directory.exists()
        start = time.monotonic()
    assert time.monotonic() - start < 1.5
    assert not directory.exists()
    delayed.join(5)
    for connection in idle:
        connection.close()
    silent.close()
    del connection, idle
    gc.collect()  # a socket left open would be a ResourceWarning here, and so a failure
    assert set(threading.enumerate()) <= threads
    assert open_files() <= files
    with pytest.raises(OSError):
        dial(emulator.imds_url)


def swallow(call: Callable[[], object]) -> None:
    with suppress(OSError):
        call()


def open_files() -> int:
    descriptors = Path("/proc/self/fd")
    return len(list(descriptors.iterdir())) if descriptors.exists() else 0


def test_an_emulator_is_used_once() -> None:
    emulator = MsiV2Emulator()
    for early in (lambda: emulator.environment, emulator.keyguard_platform):
        with pytest.raises(RuntimeError, match="not been started"):
            early()
    with emulator:
        assert emulator.imds_url
    emulator.stop()
    with pytest.raises(RuntimeError, match="once"):
        emulator.start()


def test_another_loopback_address_is_named_in_the_urls_and_certificates(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(host="127.0.0.2") as emulator:
        assert emulator.imds_url.startswith("http://127.0.0.2:")
        assert emulator.vault_url.startswith("https://127.0.0.2:")
        client = client_of(emulator)
        assert client.token_answer(client.certificate()).status == 200


def test_an_address_that_is_not_ours_is_an_error_and_leaves_nothing_open() -> None:
    with pytest.raises(OSError), MsiV2Emulator(host="192.0.2.1"):
        pass
    gc.collect()


@pytest.mark.parametrize("options", [{"vm_id": None}, {"imds_version": 3}])
def test_a_host_that_could_not_be_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        MsiV2Emulator(**options)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("name", ["token", "certificate", "attestation"])
@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e20, 0, -1])
def test_a_lifetime_that_could_not_be_is_refused(name: str, seconds: float) -> None:
    options: dict[str, Any] = {f"{name}_lifetime": seconds}
    with pytest.raises(ValueError, match=f"^{name}_lifetime is in seconds: more than 0"):
        MsiV2Emulator(**options)


def test_the_longest_lifetimes(client_of: Callable[[MsiV2Emulator], MiniClient]) -> None:
    years = 50 * 365 * 86400
    with MsiV2Emulator(token_lifetime=years, certificate_lifetime=years) as emulator:
        client = client_of(emulator)
        assert client.token_answer(client.certificate()).json["expires_in"] == years


def test_two_emulators_share_nothing(
    emulator: MsiV2Emulator, client_of: Callable[[MsiV2Emulator], MiniClient]
) -> None:
    with MsiV2Emulator() as other:
        certificate = client_of(other).certificate()
        assert emulator.requests == []
        with pytest.raises(ssl.SSLError):
            client_of(emulator).token_answer(certificate)
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(other.vault_url, verify=emulator.ca_bundle, timeout=10)


def test_a_program_that_forgets_to_stop_ends_all_the_same() -> None:
    program = """
import requests
from msal_msi_v2.emulator import MsiV2Emulator
emulator = MsiV2Emulator()
emulator.start()
session = requests.Session()
print(session.get(emulator.imds_url).status_code)
"""
    environment = {**os.environ, "NO_PROXY": "*"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert result.stdout.strip() == "404"


def test_connections_end_with_their_answer_where_asked(emulator: MsiV2Emulator) -> None:
    emulator.keep_alive = False
    before = emulator.connections("imds")
    with requests.Session() as session:
        answers = [session.get(emulator.imds_url, timeout=5) for _ in range(3)]
    assert {answer.headers.get("Connection") for answer in answers} == {"close"}
    assert emulator.connections("imds") - before == 3
