"""The OpenSSL transport: whom it trusts, what it presents, and what it leaves behind."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import msal
import pytest
import requests
import trustme
from backlog import full_backlog
from caller import Caller
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from issuer import Issuer
from recording_server import Answer, recording_server
from tls_server import OK, TlsServer, root, root_file, server_context, until

from msal_msi_v2 import ManagedIdentityClient, MsiV2ClientError, MtlsBindingStrength
from msal_msi_v2.emulator import Delay, Drop
from msal_msi_v2.errors import MsiV2Error, TransportError, TransportFailure
from msal_msi_v2.http.openssl import OpenSslTransport, _binding_context
from msal_msi_v2.platforms import Route, Timeout
from msal_msi_v2.software import SoftwarePlatform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.emulator import MsiV2Emulator

TIMEOUT = Timeout(connect=5, read=5)
NO_ATTESTATION = MsiV2ClientError("attestation_not_supported", "This is a test's platform.")


def acquire(session: requests.Session | None = None) -> dict[str, Any]:
    client = ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(),
        http_client=session or requests.Session(),
        platform=SoftwarePlatform(NO_ATTESTATION),
    )
    return client.acquire_token_for_client(
        resource="https://vault.azure.net",
        mtls_proof_of_possession=True,
        min_strength=MtlsBindingStrength.SOFTWARE,
    )


@pytest.fixture
def certificate(emulator: MsiV2Emulator) -> BindingCertificate:
    issued: BindingCertificate = acquire()["binding_certificate"]
    emulator.clear_requests()
    return issued


def failure(
    transport: OpenSslTransport, url: str, certificate: BindingCertificate, **options: Any
) -> Any:
    with pytest.raises(TransportError) as caught:
        transport.request("GET", url, certificate=certificate, timeout=TIMEOUT, **options)
    transport.close()
    return caught.value


def test_the_key_never_lies_unencrypted_on_disk(
    emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bytes, str]] = []
    original = ssl.SSLContext.load_cert_chain

    def intercept(
        self: ssl.SSLContext, certfile: Any, keyfile: Any = None, password: Any = None
    ) -> None:
        seen.append((Path(certfile).read_bytes(), str(certfile)))
        assert keyfile is None
        original(self, certfile, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", intercept)
    acquire()
    assert emulator.requests_to("token")[0].client_certificate
    ((pem, path),) = seen
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in pem
    assert pem.count(b"PRIVATE KEY-----") == 2, "one key, and it is the encrypted one"
    for wrong in (None, b"", b"wrong"):
        with pytest.raises((ValueError, TypeError)):
            load_pem_private_key(pem[pem.index(b"-----BEGIN ENC") :], wrong)
    assert not Path(path).exists()


def test_no_file_is_left_when_loading_fails(
    certificate: BindingCertificate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fail(*_: Any, **__: Any) -> None:
        raise ssl.SSLError(1, "no")

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", fail)
    with pytest.raises(MsiV2ClientError, match="TMPDIR"):
        OpenSslTransport().request(
            "GET", "https://localhost:1/", certificate=certificate, timeout=TIMEOUT
        )
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_cannot_be_exported_is_refused_with_the_reason(
    emulator: MsiV2Emulator, certificate: BindingCertificate
) -> None:
    class Sealed:
        def private_bytes(self, *_: Any) -> bytes:
            raise NotImplementedError

    object.__setattr__(certificate, "private_key", Sealed())
    with pytest.raises(MsiV2ClientError, match="cannot be exported"):
        OpenSslTransport(emulator.ca_bundle).request(
            "GET", emulator.resource_url, certificate=certificate, timeout=TIMEOUT
        )


def test_plain_http_is_refused(certificate: BindingCertificate) -> None:
    with recording_server() as server, pytest.raises(MsiV2ClientError, match="https only"):
        OpenSslTransport().request("GET", server.url, certificate=certificate, timeout=TIMEOUT)
    assert server.asked == []


def test_requests_share_a_connection(
    emulator: MsiV2Emulator, certificate: BindingCertificate
) -> None:
    transport = OpenSslTransport(emulator.ca_bundle)
    before = emulator.connections("resource")
    for _ in range(5):
        response = transport.request(
            "GET", emulator.resource_url, certificate=certificate, timeout=TIMEOUT
        )
        assert response.status == 401
        assert b"".join(response.iter_bytes())
        response.close()
    transport.close()
    assert emulator.connections("resource") - before == 1


def test_sixty_four_idle_connections_to_a_host_are_kept() -> None:
    issuer = Issuer()
    certificate = issuer.bind(rsa.generate_private_key(65537, 2048))
    all_at_once = threading.Barrier(70)

    def answer(_request: Any, stream: Any) -> None:
        all_at_once.wait(30)
        stream.write(OK)

    with TlsServer(client_ca=issuer.pem) as server:
        server.answer = answer
        call = Caller(OpenSslTransport(str(root_file())), certificate)
        for connections in (70, 76):
            threads = [threading.Thread(target=call, args=(server.url,)) for _ in range(70)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            until(lambda: server.open == 64)
            assert server.connections == connections
        call.transport.close()
        until(lambda: server.open == 0)


def test_nothing_is_added_to_the_request(
    emulator: MsiV2Emulator, certificate: BindingCertificate
) -> None:
    transport = OpenSslTransport(emulator.ca_bundle)
    transport.request(
        "POST",
        f"{emulator.resource_url}/x",
        certificate=certificate,
        headers=[("X-A", "1"), ("X-A", "é")],
        body=b"body",
        timeout=TIMEOUT,
    ).close()
    transport.close()
    (request,) = emulator.requests_to("resource")
    assert set(request.headers) == {"host", "content-length", "x-a"}
    assert request.body == b"body"


def test_a_line_break_in_a_header_is_refused_without_quoting_it(
    emulator: MsiV2Emulator, certificate: BindingCertificate
) -> None:
    with pytest.raises(MsiV2ClientError, match="line break") as caught:
        OpenSslTransport(emulator.ca_bundle).request(
            "GET",
            emulator.resource_url,
            certificate=certificate,
            headers=[("Authorization", "mtls_pop secret\r\nX: y")],
            timeout=TIMEOUT,
        )
    assert "secret" not in str(caught.value)
    assert emulator.requests == []


def test_what_the_caller_is_handling_has_no_say(
    emulator: MsiV2Emulator, certificate: BindingCertificate
) -> None:
    emulator.faults.add("resource", Delay(5))
    transport = OpenSslTransport(emulator.ca_bundle)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="another's trouble")
    except ssl.SSLError:
        with pytest.raises(TransportError) as caught:
            transport.request(
                "GET",
                emulator.resource_url,
                certificate=certificate,
                timeout=Timeout(connect=5, read=0.2),
            )
    assert caught.value.failure is TransportFailure.READ_TIMEOUT
    transport.close()


# --- whom it trusts


def test_an_untrusted_server_is_refused(
    emulator: MsiV2Emulator, certificate: BindingCertificate
) -> None:
    error = failure(OpenSslTransport(), emulator.resource_url, certificate)
    assert error.failure is TransportFailure.SERVER_CERTIFICATE
    assert not error.is_retryable
    assert emulator.requests == []


def test_a_wrong_host_name_is_refused(certificate: BindingCertificate, tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("elsewhere.example").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with recording_server(context=context) as server:
        error = failure(OpenSslTransport(str(tmp_path / "ca.pem")), server.url, certificate)
    assert error.failure is TransportFailure.SERVER_CERTIFICATE
    assert "match" in str(error)
    assert server.asked == []


def test_tls_1_1_is_refused(certificate: BindingCertificate) -> None:
    context = _binding_context(certifi.where(), certificate)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_an_unreadable_bundle_is_named(certificate: BindingCertificate) -> None:
    with pytest.raises(MsiV2ClientError, match="no/such/file"):
        OpenSslTransport("no/such/file").request(
            "GET", "https://localhost:1/", certificate=certificate, timeout=TIMEOUT
        )


def trust(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_trust_comes_from_where_it_should(
    emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stranger = str(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(stranger)
    explicit = requests.Session()
    explicit.verify = emulator.ca_bundle
    strange = requests.Session()
    strange.verify = stranger
    good, bad = emulator.ca_bundle, stranger
    for session, variables, works in (
        (requests.Session(), {}, False),
        (requests.Session(), {"SSL_CERT_FILE": good}, True),
        (requests.Session(), {"REQUESTS_CA_BUNDLE": good, "SSL_CERT_FILE": bad}, True),
        (requests.Session(), {"REQUESTS_CA_BUNDLE": bad, "SSL_CERT_FILE": good}, False),
        (explicit, {"REQUESTS_CA_BUNDLE": bad, "SSL_CERT_FILE": bad}, True),
        (strange, {"REQUESTS_CA_BUNDLE": good, "SSL_CERT_FILE": good}, False),
    ):
        trust(monkeypatch, **variables)
        try:
            assert acquire(session)["access_token"]
            worked = True
        except TransportError as exc:
            assert exc.failure is TransportFailure.SERVER_CERTIFICATE
            worked = False
        assert worked is works, (session.verify, variables)


def test_trust_is_read_when_the_client_is_made(
    emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(),
        http_client=requests.Session(),
        platform=SoftwarePlatform(NO_ATTESTATION),
    )
    trust(monkeypatch)
    monkeypatch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
    result = client.acquire_token_for_client(
        resource="https://r",
        mtls_proof_of_possession=True,
        min_strength=MtlsBindingStrength.SOFTWARE,
    )
    assert result["access_token"]
    assert len(emulator.requests) == 3


def test_verify_false_is_refused(emulator: MsiV2Emulator) -> None:
    session = requests.Session()
    session.verify = False
    with pytest.raises(MsiV2Error, match="verify is False") as caught:
        acquire(session)
    assert caught.value.error == "invalid_request"
    assert emulator.requests == []


# --- proxies


def test_https_goes_through_the_proxy_by_connect(
    emulator: MsiV2Emulator, certificate: BindingCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording_server(Answer(403)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = failure(OpenSslTransport(emulator.ca_bundle), emulator.resource_url, certificate)
        assert error.failure is TransportFailure.PROXY
        assert [asked.method for asked in proxy.asked] == ["CONNECT"]
        monkeypatch.setenv("NO_PROXY", "localhost")
        transport = OpenSslTransport(emulator.ca_bundle)
        url = emulator.resource_url
        transport.request("GET", url, certificate=certificate, timeout=TIMEOUT).close()
        transport.close()


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that a full backlog keeps silent")
def test_a_timeout_on_the_way_to_the_proxy_is_a_timeout(certificate: BindingCertificate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, full_backlog(listener):
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(TransportError) as caught:
            OpenSslTransport().request(
                "GET",
                "https://localhost/",
                certificate=certificate,
                timeout=Timeout(connect=0.3, read=5),
                route=Route(proxy=proxy),
            )
    assert caught.value.failure is TransportFailure.CONNECT_TIMEOUT


def test_tls_that_the_proxy_does_not_speak_is_the_proxys_failure(
    certificate: BindingCertificate,
) -> None:
    with recording_server() as proxy:
        route = Route(proxy=proxy.url.replace("http:", "https:"))
        error = failure(OpenSslTransport(), "https://localhost/", certificate, route=route)
    assert error.failure is TransportFailure.PROXY
    assert "proxy" in str(error)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        (f"https://{'a' * 70}.example/?secret", None),
        ("https://a..b/?secret", None),
        ("https://local host/?secret", None),
        ("https://localhost:99999/?secret", None),
        ("https://[::1/?secret", None),
        ("https://localhost/?secret", f"http://me:secret@{'a' * 70}.example:80"),
    ],
)
def test_a_host_that_cannot_be_one_is_the_callers_mistake(
    certificate: BindingCertificate, url: str, proxy: str | None
) -> None:
    transport = OpenSslTransport()
    with pytest.raises(MsiV2ClientError, match="host or port") as caught:
        transport.request(
            "GET", url, certificate=certificate, timeout=TIMEOUT, route=Route(proxy=proxy)
        )
    assert caught.value.error == "invalid_request"
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


# --- the peer's failures


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://127.0.0.1:9/", TransportFailure.CONNECT),
        ("https://no-such-host.invalid/", TransportFailure.CONNECT),
    ],
)
def test_unreachable(certificate: BindingCertificate, url: str, expected: Any) -> None:
    assert failure(OpenSslTransport(), url, certificate).failure is expected


def test_a_server_that_speaks_no_tls(certificate: BindingCertificate) -> None:
    with recording_server() as server:
        url = server.url.replace("http:", "https:")
        assert failure(OpenSslTransport(), url, certificate).failure is TransportFailure.HANDSHAKE


def test_a_certificate_that_the_server_does_not_know(
    certificate: BindingCertificate, tmp_path: Path
) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    # With TLS 1.3 the refusal arrives when the request is being sent, or after that.
    for version in (ssl.TLSVersion.TLSv1_2, *[ssl.TLSVersion.TLSv1_3] * 20):
        context.maximum_version = version
        with recording_server(context=context) as server:
            error = failure(OpenSslTransport(str(tmp_path / "ca.pem")), server.url, certificate)
        assert error.failure is TransportFailure.HANDSHAKE
        assert error.is_retryable


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Have a function serve one connection to a URL, which is returned."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def start(handle: Callable[[socket.socket], None]) -> str:
            def accept() -> None:
                with contextlib.suppress(OSError), listener.accept()[0] as connection:
                    handle(connection)

            threading.Thread(target=accept, daemon=True).start()
            return f"https://localhost:{listener.getsockname()[1]}/"

        yield start


def upload(url: str, certificate: BindingCertificate) -> Any:
    """Send far more than fits into the buffers of a connection."""
    return OpenSslTransport(str(root_file())).request(
        "PUT",
        url,
        certificate=certificate,
        body=(bytes(65536) for _ in range(2000)),
        timeout=TIMEOUT,
    )


def test_a_connection_that_breaks_under_an_upload_is_no_refused_handshake(
    certificate: BindingCertificate, serve: Callable[..., str]
) -> None:
    context = server_context(root())

    def hang_up(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1000)

    with pytest.raises(TransportError) as caught:
        upload(serve(hang_up), certificate)
    assert caught.value.failure is TransportFailure.BROKEN


@pytest.mark.skipif(sys.platform == "win32", reason="Winsock drops what it has with a reset")
def test_an_answer_to_half_an_upload_is_heard(
    certificate: BindingCertificate, serve: Callable[..., str]
) -> None:
    context = server_context(root())

    def refuse(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            tls.shutdown(socket.SHUT_WR)

    assert upload(serve(refuse), certificate).status == 413


def test_a_handshake_that_breaks_off_is_a_broken_connection(
    certificate: BindingCertificate, serve: Callable[..., str]
) -> None:
    url = serve(lambda connection: connection.recv(1000) and None)
    assert failure(OpenSslTransport(), url, certificate).failure is TransportFailure.BROKEN


def test_drops_and_delays(emulator: MsiV2Emulator, certificate: BindingCertificate) -> None:
    emulator.faults.add("resource", Drop())
    emulator.faults.add("resource", Delay(5))
    transport = OpenSslTransport(emulator.ca_bundle)
    url = emulator.resource_url
    assert failure(transport, url, certificate).failure is TransportFailure.BROKEN
    with pytest.raises(TransportError) as caught:
        transport.request("GET", url, certificate=certificate, timeout=Timeout(5, 0.1))
    assert caught.value.failure is TransportFailure.READ_TIMEOUT
    transport.close()


def test_a_body_that_ends_early(emulator: MsiV2Emulator, certificate: BindingCertificate) -> None:
    emulator.faults.add("resource", Drop(after_bytes=1))
    transport = OpenSslTransport(emulator.ca_bundle)
    response = transport.request(
        "GET", emulator.resource_url, certificate=certificate, timeout=TIMEOUT
    )
    with pytest.raises(TransportError) as caught:
        list(response.iter_bytes())
    assert caught.value.failure is TransportFailure.BROKEN
    response.close()
    transport.close()
