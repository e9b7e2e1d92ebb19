"""What both transports promise, against real TLS servers that behave, and that do not."""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from caller import PATIENT, Caller
from hosts import is_wine
from issuer import CLIENT_ID, Issuer
from memory import peak_memory
from tls_server import OK, Hangup, TlsServer, root, server_context, until
from tunnel import Tunnel

from msal_msi_v2.errors import MsiV2ClientError, TransportError, TransportFailure
from msal_msi_v2.platforms import Route, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tls_server import Received

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import BindingTransport

FOR_EVER = Timeout(connect=float("inf"), read=float("inf"))
MIB = 1 << 20
PROXY_FAILURE = {"openssl": TransportFailure.PROXY, "winhttp": TransportFailure.CONNECT}
"""WinHTTP does not tell the way to the proxy from the way to the server."""


@pytest.fixture
def call(transport: BindingTransport, certificate: BindingCertificate) -> Caller:
    return Caller(transport, certificate)


def answering(data: bytes, *, then_hang_up: bool = False) -> Any:
    def answer(_request: Received, stream: Any) -> None:
        stream.write(data)
        if then_hang_up:
            raise Hangup

    return answer


def test_the_server_sees_the_certificate_and_nothing_that_was_not_asked_for(
    tls: TlsServer, call: Caller
) -> None:
    headers = [("Authorization", "mtls_pop x"), ("X-Two", "1"), ("X-Two", "2"), ("X-Empty", "")]
    assert call(f"{tls.url}/a/b?c=%2F&d=e", headers=headers) == (200, b"OK")
    (received,) = tls.received
    assert received.line == "GET /a/b?c=%2F&d=e HTTP/1.1"
    assert received.subject == CLIENT_ID
    names = [name for name, _value in received.headers if name != "connection"]  # WinHTTP's own
    assert sorted(names) == ["authorization", "host", "x-empty", "x-two", "x-two"]
    values = [value for name, value in received.headers if name == "x-two"]
    assert values == ["1", "2"]
    assert dict(received.headers)["host"] == tls.url.removeprefix("https://")


def test_status_reason_and_headers_come_as_they_were_sent(
    tls: TlsServer, transport: BindingTransport, certificate: BindingCertificate
) -> None:
    tls.answer = answering(
        b"HTTP/1.1 418 I'm a teapot\r\nX-A: 1\r\nB: x:y\r\nX-A: \xe9\r\nContent-Length: 0\r\n\r\n"
    )
    response = transport.request("GET", tls.url, certificate=certificate, timeout=PATIENT)
    assert (response.status, response.reason) == (418, "I'm a teapot")
    assert sorted(response.headers) == [
        ("B", "x:y"), ("Content-Length", "0"), ("X-A", "1"), ("X-A", "é"),
    ]  # fmt: skip
    assert b"".join(response.iter_bytes()) == b""
    response.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_of_bytes_has_a_length(tls: TlsServer, call: Caller, method: str) -> None:
    assert call(tls.url, method, body=b"hello")[0] == 200
    (received,) = tls.received
    assert received.body == b"hello"
    assert dict(received.headers)["content-length"] == "5"
    assert "transfer-encoding" not in dict(received.headers)


def test_a_post_without_a_body_says_so(tls: TlsServer, call: Caller) -> None:
    for body in (None, b""):
        assert call(tls.url, "POST", body=body)[0] == 200
    assert [dict(one.headers).get("content-length") for one in tls.received] == ["0", "0"]


def test_a_body_in_pieces_is_chunked(tls: TlsServer, call: Caller) -> None:
    pieces = (b"one", b"", b"two" * 1000, b"three")
    assert call(tls.url, "POST", body=iter(pieces))[0] == 200
    (received,) = tls.received
    assert received.body == b"".join(pieces)
    assert dict(received.headers)["transfer-encoding"] == "chunked"


def test_a_body_in_pieces_of_known_length_is_not(tls: TlsServer, call: Caller) -> None:
    headers = [("Content-Length", "6")]
    assert call(tls.url, "POST", body=iter((b"one", b"two")), headers=headers)[0] == 200
    (received,) = tls.received
    assert received.body == b"onetwo"
    lengths = [value for name, value in received.headers if name == "content-length"]
    assert lengths == ["6"]


def test_an_iterable_that_raises_leaves_nothing_behind(tls: TlsServer, call: Caller) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        call(tls.url, "POST", body=pieces())
    assert call(tls.url) == (200, b"OK")


def test_redirects_cookies_logins_and_compression_are_the_callers(
    tls: TlsServer, call: Caller
) -> None:
    answers = iter(
        [
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw",
        ]
    )
    tls.answer = lambda _request, stream: stream.write(next(answers))
    assert [call(tls.url) for _ in range(3)] == [(302, b""), (401, b""), (200, b"raw")]
    assert len(tls.received) == 3
    sent = {name for one in tls.received for name, _value in one.headers}
    assert sent - {"connection"} == {"host"}


def test_connections_are_kept_alive(tls: TlsServer, call: Caller) -> None:
    for method in ("GET", "POST", "HEAD", "GET"):
        tls.answer = (
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
            if method == "HEAD"
            else answering(OK)
        )
        assert call(tls.url, method)[0] == 200
    tls.answer = answering(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert call(tls.url) == (204, b"")
    assert tls.connections == 1


def test_a_body_that_was_not_read_costs_the_connection(
    tls: TlsServer, transport: BindingTransport, call: Caller
) -> None:
    tls.answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
    transport.request("GET", tls.url, certificate=call.certificate, timeout=PATIENT).close()
    tls.answer = answering(OK)
    assert call(tls.url) == (200, b"OK")
    assert tls.connections == 2


def test_certificates_share_no_connection(
    tls: TlsServer, transport: BindingTransport, stack: str, key: Any, issuer: Issuer
) -> None:
    if stack == "winhttp" and is_wine():
        pytest.skip("Wine shares connections without regard to the client certificate")
    for _ in range(2):
        assert Caller(transport, issuer.bind(key))(tls.url) == (200, b"OK")
    assert tls.connections == 2


def test_pieces_arrive_as_they_are_sent(
    tls: TlsServer, transport: BindingTransport, certificate: BindingCertificate
) -> None:
    arrived = threading.Event()

    def answer(_request: Received, stream: Any) -> None:
        stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for piece in (b"one", b"two"):
            stream.write(piece)
            stream.flush()
            arrived.wait(10)
            arrived.clear()

    tls.answer = answer
    begun = time.monotonic()
    response = transport.request("GET", tls.url, certificate=certificate, timeout=PATIENT)
    pieces = []
    for piece in response.iter_bytes():
        pieces.append(piece)
        arrived.set()
    assert pieces == [b"one", b"two"]
    assert time.monotonic() - begun < 5
    response.close()


def test_chunks_are_put_together(tls: TlsServer, call: Caller) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    tls.answer = answering(head + b"3\r\none\r\n5;x=y\r\ntwo33\r\n0\r\n\r\n")
    assert [call(tls.url) for _ in range(2)] == [(200, b"onetwo33")] * 2
    assert tls.connections == 1


def test_pieces_are_no_larger_than_asked_for(
    tls: TlsServer, transport: BindingTransport, certificate: BindingCertificate
) -> None:
    tls.answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    response = transport.request("GET", tls.url, certificate=certificate, timeout=PATIENT)
    sizes = [len(piece) for piece in response.iter_bytes(chunk_size=512)]
    assert max(sizes) <= 512
    assert sum(sizes) == 5000
    response.close()


def test_large_bodies_pass_both_ways_in_little_memory(tls: TlsServer, call: Caller) -> None:
    size, block = 256 * MIB, b"x" * MIB

    def answer(_request: Received, stream: Any) -> None:
        stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // MIB):
            stream.write(block)

    tls.answer, tls.keep_bodies = answer, False
    headers = [("Content-Length", str(size))]
    before = peak_memory()
    response = call.transport.request(
        "POST",
        tls.url,
        certificate=call.certificate,
        timeout=PATIENT,
        headers=headers,
        body=(block for _ in range(size // MIB)),
    )
    assert sum(len(piece) for piece in response.iter_bytes()) == size
    response.close()
    assert peak_memory() - before < 48 * MIB  # of which the server has its part


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (answering(b"", then_hang_up=True), TransportFailure.BROKEN),
        (answering(b"no http\r\n\r\n", then_hang_up=True), TransportFailure.BROKEN),
    ],
)
def test_an_answer_that_is_none_is_named(
    tls: TlsServer, call: Caller, answer: Any, failure: TransportFailure
) -> None:
    tls.answer = answer
    assert call.failure(tls.url).failure is failure


def test_an_answer_that_breaks_off_is_not_taken_for_whole(tls: TlsServer, call: Caller) -> None:
    tls.answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", then_hang_up=True)
    with pytest.raises(TransportError) as caught:
        call(tls.url)
    assert caught.value.failure is TransportFailure.BROKEN


def test_a_silent_server_ends_in_the_read_timeout(tls: TlsServer, call: Caller) -> None:
    may_end = threading.Event()

    def answer(_request: Received, _stream: Any) -> None:
        may_end.wait(30)

    tls.answer = answer
    begun = time.monotonic()
    error = call.failure(tls.url, timeout=Timeout(connect=20, read=1))
    may_end.set()
    assert error.failure is TransportFailure.READ_TIMEOUT
    assert error.error == "request_timeout"
    assert 0.9 < time.monotonic() - begun < 8


def test_so_does_one_that_falls_silent(tls: TlsServer, call: Caller) -> None:
    may_end = threading.Event()

    def answer(_request: Received, stream: Any) -> None:
        stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        stream.flush()
        may_end.wait(30)

    tls.answer = answer
    error = call.failure(tls.url, timeout=Timeout(connect=20, read=1))
    may_end.set()
    assert error.failure is TransportFailure.READ_TIMEOUT


def test_a_slow_answer_within_the_read_timeout_is_waited_for(tls: TlsServer, call: Caller) -> None:
    def answer(_request: Received, stream: Any) -> None:
        time.sleep(2)
        stream.write(OK)

    tls.answer = answer
    assert call(tls.url, timeout=Timeout(connect=1, read=20)) == (200, b"OK")


def test_tls_that_is_never_answered_ends_in_the_connect_timeout(call: Caller, stack: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begun = time.monotonic()
        url = f"https://localhost:{mute.getsockname()[1]}/"
        read = 3 if is_wine() else 20  # Wine bounds the handshake by the longer of the two
        error = call.failure(url, timeout=Timeout(connect=1, read=read))
    # urllib3 ends it after the connect timeout, and calls it a read timeout all the same.
    timed_out = {"openssl": TransportFailure.READ_TIMEOUT}
    assert error.failure is timed_out.get(stack, TransportFailure.CONNECT_TIMEOUT)
    assert time.monotonic() - begun < 8


def test_nobody_there_is_named(call: Caller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert call.failure(f"https://localhost:{port}/").failure is TransportFailure.CONNECT


def test_an_unknown_name_is_named(call: Caller) -> None:
    error = call.failure("https://no-such-host.invalid/")
    assert error.failure is TransportFailure.CONNECT
    assert "no-such-host.invalid" in error.error_description


@pytest.mark.parametrize(
    "server",
    [
        {"ca": trustme.CA(key_type=trustme.KeyType.RSA)},
        {"host": "other.example"},
        {"not_after": datetime(2020, 1, 1)},  # noqa: DTZ001 - trustme wants it so
    ],
    ids=["unknown CA", "other host", "expired"],
)
@pytest.mark.usefixtures("tls")  # so that the CA is trusted
def test_a_server_certificate_that_is_not_right_is_refused(
    call: Caller, stack: str, issuer: Issuer, server: dict[str, Any]
) -> None:
    refused = {TransportFailure.SERVER_CERTIFICATE}
    if stack == "winhttp" and is_wine():  # which has one code for all failures of TLS
        refused.add(TransportFailure.HANDSHAKE)
    with TlsServer(client_ca=issuer.pem, **server) as other:
        assert call.failure(other.url).failure in refused
        assert other.received == []


@pytest.mark.usefixtures("tls")
def test_a_client_certificate_that_is_refused_is_named(call: Caller) -> None:
    with TlsServer(client_ca=Issuer("another").pem) as strict:
        error = call.failure(strict.url)
        assert error.failure is TransportFailure.HANDSHAKE
        assert "client certificate" in error.error_description
        assert strict.received == []


def test_a_peer_that_resets_the_handshake_is_named(call: Caller, stack: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def reset() -> None:
            connection = rude.accept()[0]
            connection.recv(1000)
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()

        threading.Thread(target=reset, daemon=True).start()
        url = f"https://localhost:{rude.getsockname()[1]}/"
        expected = {TransportFailure.HANDSHAKE}
        if stack == "openssl":  # to which a reset is a reset, at any time
            expected.add(TransportFailure.BROKEN)
        assert call.failure(url).failure in expected


@pytest.mark.parametrize("url", ["http://localhost/", "https://u:p@localhost/", "https:///"])
def test_what_is_not_https_is_refused(call: Caller, url: str) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        call(url)
    assert caught.value.error == "invalid_request"


def test_many_threads_may_call(tls: TlsServer, call: Caller) -> None:
    results: list[tuple[int, bytes]] = []

    def work() -> None:
        results.extend(call(tls.url, "POST", body=b"x" * 1000) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [(200, b"OK")] * 80


@pytest.mark.parametrize("while_reading", [False, True])
def test_closing_under_a_request_ends_it_within_its_timeout(
    tls: TlsServer,
    transport: BindingTransport,
    certificate: BindingCertificate,
    while_reading: bool,
) -> None:
    may_end, waiting, failures = threading.Event(), threading.Event(), list[TransportFailure]()

    def answer(_request: Received, stream: Any) -> None:
        if while_reading:
            stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            stream.flush()
        waiting.set()
        may_end.wait(30)

    def call() -> None:
        try:
            response = transport.request(
                "GET", tls.url, certificate=certificate, timeout=Timeout(connect=20, read=2)
            )
            b"".join(response.iter_bytes())
        except TransportError as exc:
            failures.append(exc.failure)

    tls.answer = answer
    caller = threading.Thread(target=call)
    caller.start()
    assert waiting.wait(20)
    time.sleep(0.3)
    begun = time.monotonic()
    transport.close()
    assert time.monotonic() - begun < 6
    caller.join(10)
    may_end.set()
    assert len(failures) == 1
    assert failures[0] in {TransportFailure.READ_TIMEOUT, TransportFailure.BROKEN}


def test_after_closing_a_transport_opens_anew(
    tls: TlsServer, transport: BindingTransport, stack: str, certificate: BindingCertificate
) -> None:
    response = transport.request("GET", tls.url, certificate=certificate, timeout=PATIENT)
    transport.close()
    if stack == "winhttp":  # closing a session closes its requests
        with pytest.raises(TransportError, match="closed"):
            b"".join(response.iter_bytes())
    else:
        assert b"".join(response.iter_bytes()) == b"OK"
    response.close()
    assert Caller(transport, certificate)(tls.url) == (200, b"OK")


# --- methods, headers, framing


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "PROPFIND"])
def test_any_method_goes_out_as_it_is(tls: TlsServer, call: Caller, method: str) -> None:
    assert call(tls.url, method) == (200, b"OK")
    assert tls.received[0].line.startswith(f"{method} / ")


def test_header_values_are_latin_1_both_ways(
    tls: TlsServer, transport: BindingTransport, stack: str, certificate: BindingCertificate
) -> None:
    tls.answer = answering(b"HTTP/1.1 200 OK\r\nX-B: \xfc\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n")
    response = transport.request(
        "GET", tls.url, certificate=certificate, timeout=PATIENT, headers=[("X-A", "ä, ö")]
    )
    response.close()
    sent = "ä, ö".encode() if stack == "winhttp" and is_wine() else "ä, ö".encode("latin-1")
    assert ("x-a", sent.decode("latin-1")) in tls.received[0].headers
    assert [value for name, value in response.headers if name == "X-B"] == ["ü", "2"]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "nul\0", "\u20ac"])
def test_a_header_that_cannot_be_sent_is_refused_unquoted(
    tls: TlsServer, call: Caller, value: str
) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        call(tls.url, headers=[("X-Secret", value)])
    assert value not in str(caught.value)
    assert "X-Secret" in str(caught.value)
    assert tls.received == []


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_body_ends_at_once(tls: TlsServer, call: Caller, status: int) -> None:
    tls.answer = answering(b"HTTP/1.1 %d X\r\n\r\n" % status)
    assert [call(tls.url) for _ in range(2)] == [(status, b"")] * 2
    assert tls.connections == 1


def test_an_answer_without_a_length_ends_with_the_connection(tls: TlsServer, call: Caller) -> None:
    tls.answer = answering(b"HTTP/1.0 200 OK\r\n\r\nall there is", then_hang_up=True)
    assert call(tls.url) == (200, b"all there is")


def test_an_interim_answer_is_passed_over(tls: TlsServer, call: Caller, stack: str) -> None:
    if stack == "winhttp" and is_wine():
        pytest.skip("Wine takes it for the answer, and a broken one")
    tls.answer = answering(b"HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n" + OK)
    assert call(tls.url) == (200, b"OK")


# --- connections


def test_a_dropped_certificate_makes_a_new_connection(
    tls: TlsServer, stack: str, call: Caller
) -> None:
    call(tls.url)
    call.transport.drop(call.certificate)
    assert call(tls.url) == (200, b"OK")
    shared = stack == "winhttp" and is_wine()  # Wine pools the connections of a whole process
    assert tls.connections == (1 if shared else 2)
    call.transport.drop(call.certificate)
    call.transport.drop(call.certificate)  # harmless twice


def test_connections_are_kept_for_the_eight_certificates_used_last(
    tls: TlsServer, transport: BindingTransport, stack: str, key: Any, issuer: Issuer
) -> None:
    certificates = [issuer.bind(key) for _ in range(12)]

    def call_with(*which: int) -> int:
        for number in which:
            assert Caller(transport, certificates[number])(tls.url) == (200, b"OK")
        return tls.connections

    connections = call_with(*range(12))
    if stack == "winhttp" and is_wine():
        return  # it shares connections without regard to the client certificate
    assert connections == 12
    assert call_with(4, 5, 6, 7, 8, 9, 10, 11, 4) == 12
    assert call_with(3) == 13, "in place of 5, which was used the longest time ago"
    assert call_with(4, 6, 7, 8, 9, 10, 11) == 13
    assert call_with(5) == 14
    until(lambda: tls.open == 8)


def test_a_request_is_never_sent_twice(tls: TlsServer, call: Caller) -> None:
    call(tls.url)
    tls.answer = answering(b"", then_hang_up=True)
    with pytest.raises(TransportError) as caught:
        call(tls.url, "POST", body=b"once")
    assert caught.value.failure is TransportFailure.BROKEN
    assert [one.body for one in tls.received].count(b"once") == 1


def test_who_waits_for_ever_may(tls: TlsServer, call: Caller) -> None:
    assert call(tls.url, timeout=FOR_EVER) == (200, b"OK")


def test_thirty_two_threads(tls: TlsServer, call: Caller) -> None:
    results: list[tuple[int, bytes]] = []
    threads = [threading.Thread(target=lambda: results.append(call(tls.url))) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [(200, b"OK")] * 32
    assert tls.connections <= 32


def test_a_thousand_requests_use_the_same_few_connections(tls: TlsServer, call: Caller) -> None:
    def work() -> None:
        for _ in range(250):
            assert call(tls.url) == (200, b"OK")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert len(tls.received) == 1000
    assert tls.connections <= 4


# --- routes


def test_ipv6(call: Caller, stack: str, issuer: Issuer) -> None:
    if stack == "winhttp" and is_wine():
        pytest.skip("Wine gets there, and finds no address among the names of a certificate")
    with TlsServer(client_ca=issuer.pem, host="::1", address="::1") as server:
        assert call(server.url) == (200, b"OK")
        assert dict(server.received[0].headers)["host"] == server.url.removeprefix("https://")


@pytest.mark.parametrize("named_by", ["route", "environment"])
def test_tls_goes_through_a_proxy_and_ends_at_the_server(
    tls: TlsServer, call: Caller, named_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tunnel() as tunnel:
        options: dict[str, Any] = {"headers": [("Authorization", "mtls_pop secret")]}
        if named_by == "route":
            options["route"] = Route(proxy=tunnel.url)
        else:
            monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        for _ in range(2):
            assert call(tls.url, **options) == (200, b"OK")
        call.transport.close()
        assert tunnel.asked == [tls.url.removeprefix("https://")]
        assert [one.subject for one in tls.received] == [CLIENT_ID] * 2
        assert len(tunnel.relayed) > 1000
        assert b"secret" not in tunnel.relayed


def test_no_proxy_is_a_route_too(
    tls: TlsServer, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tunnel() as tunnel:
        monkeypatch.setenv("ALL_PROXY", tunnel.url)
        assert call(tls.url, route=Route()) == (200, b"OK")
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert call(tls.url) == (200, b"OK")
        assert tunnel.asked == []


def test_a_proxy_that_asks_for_a_login(tls: TlsServer, call: Caller, stack: str) -> None:
    with Tunnel(login="me:p@ss") as tunnel:
        wines = stack == "winhttp" and is_wine()  # takes the refusal for a tunnel
        refused = TransportFailure.HANDSHAKE if wines else TransportFailure.PROXY
        assert call.failure(tls.url, route=Route(proxy=tunnel.url)).failure is refused
        with_login = Route(proxy=tunnel.url.replace("://", "://me:p%40ss@"))
        if stack == "winhttp":
            with pytest.raises(MsiV2ClientError, match="no login from its URL") as caught:
                call(tls.url, route=with_login)
            assert "p%40ss" not in str(caught.value)
        else:
            assert call(tls.url, route=with_login) == (200, b"OK")
            assert "proxy-authorization" not in dict(tls.received[0].headers)
    assert len(tls.received) == (0 if stack == "winhttp" else 1)


def test_a_proxy_over_tls(tls: TlsServer, call: Caller, stack: str) -> None:
    with Tunnel(context=server_context(root())) as tunnel:
        route = Route(proxy=tunnel.url)
        if stack == "winhttp":
            with pytest.raises(MsiV2ClientError, match="no TLS to a proxy"):
                call(tls.url, route=route)
            return
        assert call(tls.url, route=route) == (200, b"OK")
        assert tls.received[0].subject == CLIENT_ID
        call.transport.close()
    with Tunnel(context=server_context(trustme.CA())) as stranger:
        error = call.failure(tls.url, route=Route(proxy=stranger.url))
        assert error.failure is TransportFailure.SERVER_CERTIFICATE
        assert stranger.asked == []


def test_a_proxy_that_is_not_there_is_named(tls: TlsServer, call: Caller, stack: str) -> None:
    with Tunnel() as tunnel:
        gone = Route(proxy=tunnel.url)
    error = call.failure(tls.url, route=gone)
    assert error.failure is PROXY_FAILURE[stack]
    assert "proxy" in error.error_description
    assert tls.received == []


@pytest.mark.parametrize("proxy", ["socks5://localhost:1080", "http://", "http://x:port"])
def test_what_is_no_proxy_is_refused(tls: TlsServer, call: Caller, proxy: str) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        call(tls.url, route=Route(proxy=proxy))
    assert caught.value.error == "invalid_request"
    assert "proxy" in caught.value.error_description
    assert tls.received == []


def test_another_ca_bundle(tls: TlsServer, stack: str, call: Caller, tmp_path: Any) -> None:
    other = tmp_path / "other.pem"
    trustme.CA(key_type=trustme.KeyType.RSA).cert_pem.write_to_path(str(other))
    if stack == "winhttp":
        with pytest.raises(MsiV2ClientError, match="Windows trusts"):
            call(tls.url, route=Route(ca_bundle=str(other)))
    else:
        failure = call.failure(tls.url, route=Route(ca_bundle=str(other))).failure
        assert failure is TransportFailure.SERVER_CERTIFICATE
        assert call(tls.url, route=Route()) == (200, b"OK")
    assert len(tls.received) == (0 if stack == "winhttp" else 1)
