"""TLS servers that do as a test tells them, byte for byte. They ask for a client certificate."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from typing_extensions import Self

_RSA = trustme.KeyType.RSA  # Wine's crypt32 checks no chain of elliptic curves
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


@functools.cache
def root() -> trustme.CA:
    """Return the CA of servers that Windows trusts in this run."""
    return trustme.CA(key_type=_RSA)


@functools.cache
def root_file() -> Path:
    """Return a PEM file with that CA's certificate."""
    path = Path(tempfile.mkdtemp(prefix="msal-test-ca-")) / "root.pem"
    root().cert_pem.write_to_path(path)
    return path


@dataclass
class Received:
    """One request as it came over the wire.

    Attributes:
        connection: Which connection it came on, from 0.
        line: The request line.
        headers: Names in lower case, in order.
        body: Its bytes, unframed.
        subject: Of the client's certificate: its common name.
    """

    connection: int
    line: str
    headers: list[tuple[str, str]]
    body: bytes
    subject: str


class TlsServer:
    """A server on loopback; a context manager.

    Attributes:
        url: Its base URL, no trailing slash.
        received: The requests so far.
        answer: Takes a request and the connection, and answers, or does not.
        connections: How many were made.
        open: How many of them the client has not closed.
        keep_bodies: Whether to remember what was uploaded.
    """

    def __init__(
        self,
        *,
        client_ca: str,
        ca: trustme.CA | None = None,
        host: str = "localhost",
        address: str = "127.0.0.1",
        not_after: datetime | None = None,
    ) -> None:
        self._context = server_context(ca or root(), host, not_after=not_after)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_verify_locations(cadata=client_ca)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        name = f"[{host}]" if ":" in host else "localhost"
        self.url = f"https://{name}:{self._listener.getsockname()[1]}"
        self.received: list[Received] = []
        self.answer: Callable[[Received, Any], None] = lambda _request, stream: stream.write(OK)
        self.connections = 0
        self._serving: set[int] = set()
        self.keep_bodies = True
        self._open: list[socket.socket] = []

    @property
    def open(self) -> int:
        return len(self._serving)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                number, self.connections = self.connections, self.connections + 1
                self._open.append(connection)
                self._serving.add(number)
                arguments = (number, connection)
                threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, number: int, connection: socket.socket) -> None:
        try:
            self._answer_all(number, connection)
        finally:
            self._serving.discard(number)

    def _answer_all(self, number: int, connection: socket.socket) -> None:
        with (
            contextlib.suppress(OSError, ValueError, Hangup),
            connection,
            self._context.wrap_socket(connection, server_side=True) as tls,
        ):
            self._open.append(tls)
            certificate: Any = tls.getpeercert() or {}
            subject = dict(pair for (pair,) in certificate.get("subject", ()))
            with tls.makefile("rwb") as stream:
                while True:
                    request = self._read(number, stream, subject.get("commonName", ""))
                    self.received.append(request)
                    self.answer(request, stream)
                    stream.flush()

    def _read(self, number: int, stream: Any, subject: str) -> Received:
        line = stream.readline().decode("latin-1").strip()
        if not line:
            raise Hangup
        headers = []
        while field := stream.readline().decode("latin-1").strip():
            name, _, value = field.partition(":")
            headers.append((name.lower(), value.strip()))
        body = b"".join(self._body(stream, dict(headers)))
        return Received(number, line, headers, body, subject)

    def _body(self, stream: Any, headers: dict[str, str]) -> list[bytes]:
        if "transfer-encoding" in headers:
            return list(iter(lambda: _chunk(stream), b""))
        left, kept = int(headers.get("content-length", 0)), []
        while left:
            piece = stream.read(min(left, 65536))
            left -= len(piece)
            if self.keep_bodies:
                kept.append(piece)
        return kept


def server_context(
    ca: trustme.CA, host: str = "localhost", *, not_after: datetime | None = None
) -> ssl.SSLContext:
    """Return a server's TLS settings, with a certificate of some CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(host, key_type=_RSA, not_after=not_after).configure_cert(context)
    return context


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a server is about to notice."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Hangup(Exception):  # noqa: N818 - not an error
    """An answer that raises this drops the connection; what was written so far is sent."""


def _chunk(stream: Any) -> bytes:
    size = int(stream.readline(), 16)
    data: bytes = stream.read(size)
    stream.readline()
    return data
