"""IMDS is reached directly, or not at all."""

from __future__ import annotations

import json
import socket
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from backlog import full_backlog
from fake_clock import FakeClock
from recording_server import Answer, Server, recording_server

from msal_msi_v2.errors import MsiV2ServiceError, TransportError, TransportFailure
from msal_msi_v2.imds import ImdsClient, impatience
from msal_msi_v2.platforms import Timeout
from msal_msi_v2.protocol.messages import LONGEST_BODY, Request

TIMEOUT = Timeout(connect=2, read=2)


def get(url: str) -> Request:
    return Request("GET", f"{url}/path", {"Metadata": "true"}, {"mi_res_id": "/a b&c=ä"})


def send(url: str, http_client: Any = None, timeout: Timeout = TIMEOUT) -> Any:
    return ImdsClient(http_client or requests.Session(), timeout, FakeClock()).send(get(url))


def refusal(server: Server, http_client: Any = None) -> MsiV2ServiceError:
    with pytest.raises(MsiV2ServiceError) as caught:
        send(server.url, http_client)
    return caught.value


def test_values_are_percent_encoded() -> None:
    with recording_server() as server:
        send(server.url)
        assert server.asked[0].target in {
            "/path?mi_res_id=%2Fa+b%26c%3D%C3%A4",
            "/path?mi_res_id=%2Fa%20b%26c%3D%C3%A4",
        }


def test_an_answer_is_read_whatever_its_status() -> None:
    with recording_server(Answer(503, b"busy", {"Server": "IMDS/1"})) as server:
        response = send(server.url)
    assert (response.status, response.body) == (503, b"busy")
    assert "IMDS/1" in response.headers["server"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_proxies_of_the_environment_are_bypassed(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with recording_server() as proxy, recording_server() as server:
        monkeypatch.setenv(name, proxy.url)
        send(server.url)
        assert (len(server.asked), len(proxy.asked)) == (1, 0)


@pytest.mark.parametrize("key", ["http", "all", "http://127.0.0.1", "all://127.0.0.1"])
def test_proxies_of_the_session_are_bypassed(key: str) -> None:
    with recording_server() as proxy, recording_server() as server:
        session = requests.Session()
        session.proxies[key] = proxy.url
        send(server.url, session)
        assert (len(server.asked), len(proxy.asked)) == (1, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(status: int) -> None:
    with recording_server() as elsewhere:
        answer = Answer(status, headers={"Location": elsewhere.url})
        with recording_server(answer) as server:
            error = refusal(server)
        assert (error.error, error.status_code) == ("managed_identity_request_failed", status)
        assert elsewhere.asked == []


def test_a_client_that_follows_redirects_anyway_is_caught() -> None:
    class Stubborn(requests.Session):
        def get(self, url: str | bytes, **options: Any) -> requests.Response:
            options["allow_redirects"] = True
            return super().get(url, **options)

    answer = Answer(302, headers={"Location": "/elsewhere"})
    with recording_server(answer, Answer()) as server:
        error = refusal(server, Stubborn())
    assert "redirect" in str(error)


@pytest.mark.parametrize("length", [LONGEST_BODY, LONGEST_BODY + 1])
def test_long_answers_are_refused(length: int) -> None:
    with recording_server(Answer(200, b"x" * length)) as server:
        if length > LONGEST_BODY:
            assert refusal(server).error == "managed_identity_request_failed"
        else:
            assert len(send(server.url).body) == length


class Plain:
    """The least that msal asks of an http client: no streaming, bodies as ``str``."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> Any:
        return self._answer(requests.get(url, params=params, headers=headers, timeout=5))

    def post(
        self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any
    ) -> Any:
        self.sent.append(data)
        return self._answer(requests.post(url, data, params=params, headers=headers, timeout=5))

    @staticmethod
    def _answer(response: requests.Response) -> Any:
        return SimpleNamespace(
            status_code=response.status_code, text=response.text, headers=dict(response.headers)
        )


def test_a_session_that_raises_for_status_does_no_harm() -> None:
    def raise_for_status(response: requests.Response, **_: Any) -> None:
        response.raise_for_status()

    session = requests.Session()
    session.hooks["response"].append(raise_for_status)
    with recording_server(Answer(404, b"{}", {"Server": "IMDS"})) as server:
        client = ImdsClient(session, TIMEOUT, FakeClock())
        assert client.send(get(server.url)).status == 404
        assert client.has_answered


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError, OSError])
def test_errors_of_other_clients_are_ours_too(error: type[OSError]) -> None:
    class Failing:
        def get(self, *_: Any, **__: Any) -> Any:
            raise error

    with pytest.raises(TransportError) as caught:
        send("http://127.0.0.1:9", Failing())
    assert caught.value.__cause__.__class__ is error


def test_a_plain_client_will_do() -> None:
    with recording_server(Answer(200, b'{"a": 1}')) as server:
        client = Plain()
        assert send(server.url, client).body == b'{"a": 1}'
        request = Request("POST", server.url, {"Content-Type": "application/json"}, {}, "{}")
        assert ImdsClient(client, TIMEOUT, FakeClock()).send(request).status == 200
    assert client.sent == ["{}"], "the body goes out as str"


def test_a_plain_clients_long_answer_is_refused_too() -> None:
    with recording_server(Answer(200, b"x" * (LONGEST_BODY + 1))) as server:
        assert refusal(server, Plain()).error == "managed_identity_request_failed"


def test_the_body_is_sent_as_it_is() -> None:
    with recording_server() as server:
        body = json.dumps({"csr": "Q1NS"})
        request = Request("POST", server.url, {"Content-Type": "application/json"}, {}, body)
        ImdsClient(requests.Session(), TIMEOUT, FakeClock()).send(request)
        assert server.asked[0].body == body.encode()
        assert server.asked[0].headers["content-type"] == "application/json"


def test_a_closed_port_is_told_apart_from_silence() -> None:
    with recording_server() as server:
        url = server.url
    with pytest.raises(TransportError) as caught:
        send(url)
    assert caught.value.failure is TransportFailure.CONNECT
    assert caught.value.error == "managed_identity_unreachable_network"
    assert isinstance(caught.value.__cause__, requests.exceptions.ConnectionError)


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that a full backlog keeps silent")
@pytest.mark.parametrize("answered", [False, True])
def test_impatience_ends_once_something_has_answered(answered: bool) -> None:
    clock = FakeClock()
    client = ImdsClient(requests.Session(), Timeout(connect=0.2, read=5), clock)
    with socket.create_server(("127.0.0.1", 0)) as listener, impatience():
        request = get(f"http://127.0.0.1:{listener.getsockname()[1]}")
        if answered:
            threading.Thread(target=answer_once, args=(listener,), daemon=True).start()
            assert client.send(request).status == 400
        with full_backlog(listener), pytest.raises(TransportError) as caught:
            client.send(request)
    assert client.has_answered is answered
    assert clock.sleeps == ([1, 2, 4] if answered else [])
    late, none = TransportFailure.CONNECT_TIMEOUT, TransportFailure.CONNECT
    assert caught.value.failure is (late if answered else none)


def answer_once(listener: socket.socket) -> None:
    with listener.accept()[0] as connection:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_silence_is_a_timeout(emulator: Any) -> None:
    from msal_msi_v2.emulator import Delay  # noqa: PLC0415 - beside its only use

    emulator.faults.add("metadata", Delay(5), times=None)
    request = Request("GET", f"{emulator.imds_url}/metadata/identity/getplatformmetadata", {}, {})
    with pytest.raises(TransportError) as caught:
        ImdsClient(requests.Session(), Timeout(connect=1, read=0.1), FakeClock()).send(request)
    assert caught.value.failure is TransportFailure.READ_TIMEOUT
    assert (caught.value.error, caught.value.is_retryable) == ("request_timeout", True)


def test_an_interrupt_passes_unwrapped() -> None:
    class Interrupted:
        def get(self, *_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send("http://127.0.0.1:9", Interrupted())
