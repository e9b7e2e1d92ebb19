"""What the product's transport rests on: whom winhttp trusts here, and what it presents."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from winapi import NCrypt, ffi, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from remote import RemoteEmulator
    from standins import Standins
    from winapi import Key

SUBJECT = "presented by winhttp"
KEY_CONTEXT_PROPERTY, NCRYPT_KEY_SPEC, NO_RELEASE = 5, 0xFFFFFFFF, 1
NO_PROXY, SECURE = 1, 0x00800000
SECURITY_FLAGS, IGNORE_UNKNOWN_CA = 31, 0x100
CLIENT_CERT_CONTEXT = 47
NO_SECURE_CHANNEL, SERVER_REFUSED = 12157, 12175
STATUS_AS_NUMBER = 19 | 0x20000000


class Server:
    """A TLS server for one connection, which may want a client certificate.

    Attributes:
        subjects: What it saw: a subject, or ``None`` where there was no certificate.
    """

    def __init__(self, client_ca: bytes | None = None) -> None:
        # RSA: Wine refuses one in 128 ECDSA signatures (see emulation.py).
        certificate = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("localhost")
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        if client_ca is not None:
            self._tls.verify_mode = ssl.CERT_REQUIRED
            self._tls.load_verify_locations(cadata=client_ca.decode())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.subjects: list[Any] = []
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as connection:
            try:
                with self._tls.wrap_socket(connection, server_side=True) as tls:
                    if tls.recv(65536):
                        self.subjects.append((tls.getpeercert() or {}).get("subject"))
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except ssl.SSLError:
                self.subjects.append(None)


@pytest.fixture
def key(standins: Standins) -> Iterator[Key]:
    assert standins.state.exists()
    ncrypt = NCrypt()
    provider = ncrypt.provider()
    with ncrypt.create(provider, "key") as made:
        yield made
    ncrypt.free(provider)


def issue(public_key: rsa.RSAPublicKey) -> tuple[bytes, bytes]:
    """Return a client certificate (DER), and the certificate of the CA behind it (PEM)."""
    ca_key = rsa.generate_private_key(65537, 2048)
    now = datetime.now(timezone.utc)

    def build(name: str, key: rsa.RSAPublicKey, *, ca: bool) -> x509.Certificate:
        common_name = x509.NameOID.COMMON_NAME
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(common_name, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(common_name, "CA")]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(ca_key, hashes.SHA256())
        )

    ca = build("CA", ca_key.public_key(), ca=True)
    leaf = build(SUBJECT, public_key, ca=False)
    return leaf.public_bytes(Encoding.DER), ca.public_bytes(Encoding.PEM)


def get(port: int, *, context: Any = None, ignore: int = 0) -> int:
    """Do a GET, and return the status, or winhttp's error code, which is over 12000.

    Args:
        port: Of localhost.
        context: The certificate to present.
        ignore: What not to check of the server's certificate.
    """
    http = load("winhttp.dll")
    session = http.WinHttpOpen("test", NO_PROXY, ffi.NULL, ffi.NULL, 0)
    connection = http.WinHttpConnect(session, "localhost", port, 0)
    nothing = (ffi.NULL,) * 3
    request = http.WinHttpOpenRequest(connection, "GET", "/", *nothing, SECURE)
    assert http.WinHttpSetOption(request, SECURITY_FLAGS, ffi.new("uint32_t *", ignore), 4)
    if context is not None:
        assert http.WinHttpSetOption(request, CLIENT_CERT_CONTEXT, context, 40)
    status, size = ffi.new("uint32_t *"), ffi.new("uint32_t *", 4)
    sent = http.WinHttpSendRequest(request, ffi.NULL, 0, ffi.NULL, 0, 0, 0)
    if sent and http.WinHttpReceiveResponse(request, ffi.NULL):
        http.WinHttpQueryHeaders(request, STATUS_AS_NUMBER, ffi.NULL, status, size, ffi.NULL)
    else:
        status[0] = load("kernel32.dll").GetLastError()
    for handle in (request, connection, session):
        http.WinHttpCloseHandle(handle)
    return int(status[0])


def certificate_context(der: bytes, key: Key) -> Any:
    """Return a certificate context that uses a key."""
    crypt32 = load("crypt32.dll")
    context = crypt32.CertCreateCertificateContext(1, der, len(der))
    members = [ffi.sizeof("KeyContext"), key.handle, NCRYPT_KEY_SPEC]
    key_context = ffi.new("KeyContext *", members)
    assert crypt32.CertSetCertificateContextProperty(
        context, KEY_CONTEXT_PROPERTY, NO_RELEASE, key_context
    )
    return context


def test_the_server_sees_the_certificate(key: Key) -> None:
    der, client_ca = issue(key.public_key())
    server = Server(client_ca)
    server.thread.start()
    context = certificate_context(der, key)
    assert get(server.port, context=context, ignore=IGNORE_UNKNOWN_CA) == 200
    server.thread.join(timeout=10)
    assert server.subjects == [((("commonName", SUBJECT),),)]
    load("crypt32.dll").CertFreeCertificateContext(context)
    key.sign(b"the handle is still ours")


def test_without_one_the_server_refuses(key: Key) -> None:
    server = Server(issue(key.public_key())[1])
    server.thread.start()
    assert get(server.port, ignore=IGNORE_UNKNOWN_CA) == NO_SECURE_CHANNEL
    server.thread.join(timeout=10)
    assert server.subjects == [None]


def test_the_emulator_is_trusted(emulator: RemoteEmulator) -> None:
    port = urlsplit(emulator.attestation_url).port
    assert port is not None
    assert get(port) == 404  # there is nothing at /, and that was said by a server we trust


def test_others_are_not_trusted() -> None:
    server = Server()
    server.thread.start()
    assert get(server.port) in {NO_SECURE_CHANNEL, SERVER_REFUSED}  # under Wine, on Windows
    server.thread.join(timeout=10)
    assert server.subjects == []
