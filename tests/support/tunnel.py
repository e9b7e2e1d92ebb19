"""A proxy on loopback that tunnels by CONNECT, and remembers whom it was asked for."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from typing_extensions import Self


class Tunnel:
    """The proxy; a context manager. It may ask for a login, and be reached over TLS.

    Attributes:
        asked: Hosts and ports, as they were asked for.
        relayed: What clients have sent through, all of it.
        url: Where it is, without the login.
    """

    def __init__(self, *, login: str = "", context: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.relayed = bytearray()
        self._login = f"Basic {base64.b64encode(login.encode()).decode()}" if login else None
        self._context = context

    def __enter__(self) -> Self:
        tunnel = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                tunnel._serve(self.connection, self.rfile)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        origin = "http://127.0.0.1"  # Wine makes no tunnel to a host of the proxy's own name
        if self._context is not None:
            origin, listener = "https://localhost", self._server.socket
            self._server.socket = self._context.wrap_socket(listener, server_side=True)
        self.url = f"{origin}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket, stream: Any) -> None:
        method, target, _version = stream.readline().decode("ascii").split()
        headers = dict(iter(lambda: _header(stream), ("", "")))
        self.asked.append(target)
        if method != "CONNECT" or headers.get("proxy-authorization") != self._login:
            client.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        host, _, port = target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_relay, args=(server, client, None), daemon=True)
            back.start()
            _relay(client, server, self.relayed)
            back.join()


def _header(stream: Any) -> tuple[str, str]:
    name, _, value = stream.readline().decode("latin-1").strip().partition(":")
    return name.lower(), value.strip()


def _relay(source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if kept is not None:
                kept += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
