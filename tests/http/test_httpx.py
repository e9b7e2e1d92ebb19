"""``MtlsTransport`` and ``AsyncMtlsTransport``, over every TLS stack."""

from __future__ import annotations

import base64
import gzip
import io
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from acquiring import RESOURCE, acquire, make_client
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer import Issuer
from tls_server import TlsServer, root, root_file, server_context
from tunnel import Tunnel

from msal_msi_v2 import MsiV2ClientError, MsiV2Error, MtlsBindingStrength, authorization_header
from msal_msi_v2.emulator import Body, Delay, Drop, OAuthError, Status

httpx = pytest.importorskip("httpx")
anyio = pytest.importorskip("anyio")

from msal_msi_v2.http import AsyncMtlsTransport, MtlsTransport  # noqa: E402 - needs httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from msal_msi_v2 import ManagedIdentityClient

CLAIMS = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()
CHALLENGE = Status(401, {"WWW-Authenticate": f'Bearer claims="{CLAIMS}"'})
STALE = Status(401, body="MtlsCnfClaimRequestDataValidationFailed")
EXPIRED = Status(401, {"WWW-Authenticate": 'mtls_pop error="invalid_token"'})
OPTIONS: dict[str, Any] = {"min_strength": MtlsBindingStrength.SOFTWARE}


@pytest.fixture
def client(emulator: Any, platform: Any) -> ManagedIdentityClient:
    del emulator
    return make_client(platform)


def send(transport: Any, method: str, url: str, **options: Any) -> Any:
    """Send one request, and read its answer, as either kind of program does."""
    options.setdefault("timeout", 30)
    settings = {"follow_redirects": True, "transport": transport}
    if isinstance(transport, MtlsTransport):
        with httpx.Client(**settings) as session:
            return session.request(method, url, **options)

    async def main() -> Any:
        async with httpx.AsyncClient(**settings) as session:
            return await session.request(method, url, **options)

    return anyio.run(main)


@pytest.fixture(params=[MtlsTransport, AsyncMtlsTransport], ids=["sync", "async"])
def call(request: pytest.FixtureRequest, client: ManagedIdentityClient) -> Any:
    transport = request.param.for_resource(client, RESOURCE, **OPTIONS)
    return partial(send, transport)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_every_method_carries_token_and_certificate(emulator: Any, call: Any, method: str) -> None:
    assert call(method, emulator.resource_url, headers={"X-A": "1"}).status_code == 200
    (sent,) = emulator.requests_to("resource")
    assert sent.method == method
    assert sent.headers["authorization"].startswith("mtls_pop eyJ")
    assert sent.headers["x-ms-tokenboundauth"] == "true"
    assert len(sent.headers["x-ms-client-request-id"]) == 36
    assert sent.headers["x-a"] == "1"
    assert sent.client_certificate


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"content": b"bytes"}, b"bytes"),
        ({"content": "ü"}, "ü".encode()),
        ({"json": 1}, b"1"),
        ({"data": {"a": "b c"}}, b"a=b+c"),
        ({}, b""),
    ],
)
def test_every_kind_of_body(emulator: Any, call: Any, options: dict[str, Any], body: bytes) -> None:
    assert call("POST", emulator.resource_url, **options).json()["body_length"] == len(body)
    assert emulator.requests_to("resource")[0].body == body


def test_files_are_sent_in_parts(emulator: Any, client: ManagedIdentityClient) -> None:
    transport = MtlsTransport.for_resource(client, RESOURCE, **OPTIONS)
    with httpx.Client(transport=transport) as session:
        answer = session.post(
            emulator.resource_url, files={"f": io.BytesIO(b"x" * 200_000)}, timeout=30
        )
    assert answer.json()["body_length"] > 200_000


@pytest.mark.parametrize("fault", [CHALLENGE, STALE, EXPIRED])
def test_a_refusal_that_can_be_mended_is_and_once(emulator: Any, call: Any, fault: Status) -> None:
    emulator.faults.add("resource", fault)
    assert call("POST", emulator.resource_url, content=b"again").status_code == 200
    assert [sent.body for sent in emulator.requests_to("resource")] == [b"again"] * 2
    emulator.clear_requests()
    emulator.faults.add("resource", fault, times=None)
    assert call("GET", emulator.resource_url).status_code == 401
    assert len(emulator.requests_to("resource")) <= 2


async def pieces() -> AsyncIterator[bytes]:
    for piece in (b"in ", b"pieces"):
        yield piece


@pytest.mark.parametrize("fault", [None, STALE])
def test_a_body_in_pieces_is_sent_only_once(
    emulator: Any, client: ManagedIdentityClient, fault: Status | None
) -> None:
    if fault:
        emulator.faults.add("resource", fault, times=2)

    async def main() -> int:
        transport = AsyncMtlsTransport.for_resource(client, RESOURCE, **OPTIONS)
        async with httpx.AsyncClient(transport=transport, timeout=30) as session:
            answer = await session.post(emulator.resource_url, content=pieces())
            return int(answer.status_code)

    expected = 401 if fault else 200
    assert anyio.run(main) == expected
    transport = MtlsTransport.for_resource(client, RESOURCE, **OPTIONS)
    with httpx.Client(transport=transport, timeout=30) as session:
        sync = session.post(emulator.resource_url, content=iter([b"in ", b"pieces"]))
    assert sync.status_code == expected
    assert [sent.body for sent in emulator.requests_to("resource")] == [b"in pieces"] * 2


def test_an_answer_is_decompressed(emulator: Any, call: Any) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    emulator.faults.add("resource", Body(gzip.compress(b"text " * 50_000), headers=headers))
    assert call("GET", emulator.resource_url).text == "text " * 50_000


def test_an_answer_streams(emulator: Any, client: ManagedIdentityClient) -> None:
    emulator.faults.add("resource", Body(b"x" * 300_000), times=2)
    transport = MtlsTransport.for_resource(client, RESOURCE, **OPTIONS)
    with httpx.Client(transport=transport, timeout=30) as session:
        with session.stream("GET", emulator.resource_url) as answer:
            assert sum(map(len, answer.iter_bytes())) == 300_000
        with session.stream("GET", emulator.resource_url) as answer:
            next(answer.iter_bytes())  # and no more of it


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://localhost:9/", "ConnectError"), ("https://no-such-host.invalid/", "ConnectError")],
)
def test_nobody_there_is_httpx_own_error(call: Any, url: str, expected: str) -> None:
    with pytest.raises(httpx.TransportError) as caught:
        call("GET", url)
    assert type(caught.value).__name__ == expected
    assert isinstance(caught.value.__cause__, MsiV2Error)
    assert caught.value.request.url == url


def test_a_proxy_that_is_not_there_is_httpx_own_error(
    emulator: Any, call: Any, stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("GET", emulator.resource_url)
    monkeypatch.setenv("HTTPS_PROXY", "localhost:9")
    with pytest.raises(httpx.TransportError) as caught:
        call("GET", emulator.resource_url)
    named = isinstance(caught.value, httpx.ProxyError)
    assert named is (stack == "software"), "WinHTTP cannot tell"


def test_timeouts_and_breaks_are_httpx_own_errors(emulator: Any, call: Any) -> None:
    call("GET", emulator.resource_url)
    emulator.faults.add("resource", Delay(5))
    with pytest.raises(httpx.ReadTimeout):
        call("GET", emulator.resource_url, timeout=httpx.Timeout(30, read=0.3))
    emulator.faults.add("resource", Drop(after_bytes=3))
    with pytest.raises(httpx.ReadError):
        call("GET", emulator.resource_url)


def test_an_acquisition_that_fails_is_ours(emulator: Any, call: Any) -> None:
    emulator.faults.add("token", OAuthError("unauthorized_client"), times=None)
    with pytest.raises(MsiV2Error, match="unauthorized_client"):
        call("GET", emulator.resource_url)
    assert emulator.requests_to("resource") == []


def test_redirects_keep_both_within_the_origin_only(emulator: Any, call: Any) -> None:
    emulator.faults.add("resource", Status(307, {"Location": "/there"}))
    assert call("GET", emulator.resource_url).json()["path"] == "/there"
    elsewhere = f"{emulator.vault_url}/secrets/x?api-version=7.4"
    emulator.faults.add("resource", Status(302, {"Location": elsewhere}))
    assert call("GET", emulator.resource_url).status_code == 401
    (sent,) = emulator.requests_to("vault")
    assert (sent.headers.get("authorization"), sent.client_certificate) == (None, None)
    emulator.faults.add("resource", Status(302, {"Location": emulator.imds_url}))
    with pytest.raises(MsiV2ClientError, match="https only"):
        call("GET", emulator.resource_url)


def test_a_redirect_back_finds_neither_again(emulator: Any, call: Any) -> None:
    elsewhere = f"{emulator.vault_url}/secrets/x?api-version=7.4"
    back = f"{emulator.resource_url}/back"
    emulator.faults.add("resource", Status(302, {"Location": elsewhere}))
    emulator.faults.add("vault", Status(302, {"Location": back}))
    with pytest.raises((httpx.TransportError, ssl.SSLError)):  # the latter leaks out of httpx
        call("GET", emulator.resource_url)  # whose handshake takes a certificate
    assert len(emulator.requests_to("vault")) == 1
    assert len(emulator.requests_to("resource")) == 1


def test_a_redirect_elsewhere_goes_through_the_proxy_for_that_place(
    emulator: Any, call: Any, stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, given = ("me:p@ss", "me:p%40ss@") if stack == "software" else ("", "")  # or WinHTTP
    secret = f"{emulator.vault_url}/secrets/x?api-version=7.4"
    origin, elsewhere = urlsplit(emulator.resource_url).netloc, urlsplit(secret).netloc
    with Tunnel(login=login) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url.replace("://", f"://{given}"))
        for direct, proxied in ((origin, elsewhere), (elsewhere, origin)):
            tunnel.asked.clear()
            monkeypatch.setenv("NO_PROXY", direct)
            emulator.faults.add("resource", Status(302, {"Location": secret}))
            assert call("GET", emulator.resource_url).status_code == 401
            assert proxied in tunnel.asked
            assert direct not in tunnel.asked
    assert len(emulator.requests_to("vault")) == 2


@pytest.mark.parametrize(
    "kind", [MtlsTransport, AsyncMtlsTransport], ids=["openssl-sync", "openssl-async"]
)
def test_a_redirect_elsewhere_goes_through_a_proxy_behind_tls(kind: Any) -> None:
    issuer = Issuer()
    certificate = issuer.bind(rsa.generate_private_key(65537, 2048))
    with (
        TlsServer(client_ca=issuer.pem) as server,
        TlsServer(client_ca=issuer.pem) as other,
        Tunnel(context=server_context(root())) as tunnel,
    ):
        moved = f"HTTP/1.1 302 Found\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n"
        server.answer = lambda _request, stream: stream.write(moved.encode())
        transport = kind(certificate, verify=str(root_file()), proxy=tunnel.url)
        with pytest.raises((httpx.TransportError, ssl.SSLError)):  # as it takes a certificate
            send(transport, "GET", server.url)
        assert tunnel.asked == [urlsplit(url).netloc for url in (server.url, other.url)]
        assert other.connections == 1


def test_verify_false_is_refused(emulator: Any, client: ManagedIdentityClient) -> None:
    certificate = acquire(client)["binding_certificate"]
    for kind in (MtlsTransport, AsyncMtlsTransport):
        with pytest.raises(MsiV2ClientError, match="verify is False"):
            kind(certificate, verify=False)
    del emulator


def test_with_one_certificate_the_caller_brings_the_token(
    emulator: Any, client: ManagedIdentityClient
) -> None:
    result = acquire(client, resource="https://resource.example")
    headers = {"Authorization": authorization_header(result)}
    with httpx.Client(transport=MtlsTransport(result["binding_certificate"])) as session:
        assert session.get(emulator.resource_url, headers=headers, timeout=30).status_code == 200
        assert session.get(emulator.resource_url, timeout=30).status_code == 401
