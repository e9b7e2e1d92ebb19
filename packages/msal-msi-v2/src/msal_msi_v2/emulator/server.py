"""The HTTP server: Werkzeug's, with TLS done by the worker threads and one loop that accepts."""

from __future__ import annotations

import io
import logging
import selectors
import socket
import threading
import time
import weakref
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from werkzeug import Response
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from msal_msi_v2.errors import quote

from .connection import Connection, HandshakeFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed.wsgi import WSGIEnvironment

    from .service import Context, Service
    from .tls import Wrap

logger = logging.getLogger("msal_msi_v2.emulator")

CONNECTION = "msal_msi_v2.connection"
"""The key of the ``Connection`` in a request's WSGI environment."""
_STOP_TIMEOUT = 10.0


class ConnectionDropped(Exception):  # noqa: N818 - a command to the server, not an error
    """Raised by an application: close the connection in place of a whole answer.

    Attributes:
        response: The answer that is begun; ``None``: not a byte is sent.
        body_bytes: How much of its body is sent.
        reset: Whether the connection ends with a TCP RST in place of a FIN.
    """

    def __init__(self, response: Response | None, body_bytes: int, *, reset: bool) -> None:
        super().__init__()
        self.response = response
        self.body_bytes = body_bytes
        self.reset = reset


def reason_phrase(status: int) -> str:
    """Return what the status line says beside the status, which need not be a standard one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Handler(WSGIRequestHandler):
    """Answers the requests of one connection, which it keeps alive."""

    protocol_version = "HTTP/1.1"
    server: Server
    connection: Any  # a Connection, where typeshed knows sockets only

    def setup(self) -> None:
        """Read and write through the ``Connection``, which is what this server calls a request."""
        self.connection = self.request
        self.rfile = io.BufferedReader(self.connection)
        self.wfile = self.connection

    def finish(self) -> None:
        """Leave the closing to the server, which owns the connection."""
        self.rfile.detach()

    def run_wsgi(self) -> None:
        """Answer one request, whose body the application reads to its end."""
        try:
            environ = self._environ()
        except ValueError:
            self._refuse("The request's target is no URL.")
            return
        try:
            self._send(Response.from_app(self.server.app, environ, buffered=True))
        except ConnectionDropped as drop:
            if drop.response is not None:
                self._send(drop.response, drop.body_bytes)
            raise
        except ClientDisconnected:
            self.close_connection = True
        except OSError as exc:
            if type(exc) is not OSError or exc.errno is not None:
                raise
            self._refuse(f"{exc}.")  # Werkzeug's complaint about chunks, not the system's

    def _environ(self) -> WSGIEnvironment:
        environ = self.make_environ()
        environ[CONNECTION] = self.connection
        # http.server makes one slash of several at the start. Here, a doubled slash is a mistake
        # that the client should hear about.
        target = self.requestline.split()[1]
        if target.startswith("//"):
            environ["PATH_INFO"] = unquote(target.partition("?")[0], "latin-1")
        return environ

    def _refuse(self, reason: str) -> None:
        """Refuse what is not HTTP, and end the connection: nobody knows where it would go on."""
        self.close_connection = True
        self.log("error", "%s", reason)
        self._send(Response(f"{reason}\n", 400))
        self.connection.linger()

    def _send(self, response: Response, body_bytes: int | None = None) -> None:
        """Write status, headers and (the first bytes of) the body in one piece."""
        if self.server.closes_connections:
            self.close_connection = True
        status = response.status_code
        lines = [f"HTTP/1.1 {status} {reason_phrase(status)}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.connection.write(head + response.get_data()[:body_bytes])

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - Werkzeug's name
        """Tell of broken connections and requests that are not HTTP; services log the rest."""
        text = quote(message % args)  # it may quote the request line
        logger.debug("%s %s: %s", self.server.name, type, text)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent: the services log their requests themselves."""


class Server(ThreadedWSGIServer):
    """One service on one port; a thread for each connection.

    Attributes:
        name: The service's name.
    """

    def __init__(
        self,
        listener: socket.socket,
        service: Service,
        *,
        tls: Wrap | None,
        context: Context,
    ) -> None:
        """Take over a listening socket (a duplicate of it: the caller closes its own).

        Args:
            listener: Bound and listening.
            service: What answers.
            tls: Begins TLS on an accepted socket; ``None``: plain HTTP.
            context: What the services share.
        """
        host, port = listener.getsockname()[:2]
        super().__init__(host, port, service, Handler, fd=listener.fileno())
        self.socket.setblocking(False)  # a client may be gone again before it is accepted
        # Not through the base class, which shakes hands while accepting. Werkzeug asks no more
        # than whether it is None.
        self.ssl_context = tls  # type: ignore[assignment]
        self._tls = tls
        self.name = service.name
        self._context = context
        self._workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give an accepted connection to a thread of its own."""
        worker = threading.Thread(
            target=self._serve,
            args=(
                Connection(
                    request, self._context.recorder.connected(self.name), self._context.stopping
                ),
                client_address,
            ),
            name=f"emulator-{self.name}",
            daemon=True,
        )
        self._workers.add(worker)
        worker.start()

    @property
    def closes_connections(self) -> bool:
        """Whether a connection ends with its first answer."""
        return self._context.closing.is_set()

    def join(self, until: float) -> None:
        """Wait for the threads of all connections, until a moment of the monotonic clock."""
        for worker in list(self._workers):
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                logger.warning("%s: a connection did not end in time", self.name)

    def _serve(self, connection: Connection, client_address: Any) -> None:
        with connection:
            try:
                if self._tls is not None:
                    connection.secure(self._tls)
                self.RequestHandlerClass(connection, client_address, self)  # type: ignore[arg-type]  # a Connection is all that Handler needs
            except HandshakeFailed as failed:
                logger.warning("%s: TLS handshake failed: %s", self.name, failed.__cause__)
                connection.linger()
            except ConnectionDropped as drop:
                connection.abort(reset=drop.reset)
            except Exception:  # the thread's last line of defence; the client sees a break
                logger.exception("%s: a request could not be answered", self.name)


class ServerGroup:
    """Several servers behind one loop that accepts, started and stopped together."""

    def __init__(self, servers: Sequence[Server], stopping: threading.Event) -> None:
        self._servers = servers
        self._stopping = stopping
        self._waker, self._wake = socket.socketpair()
        self._loop = threading.Thread(target=self._accept, name="emulator-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._loop.start()

    def stop(self) -> None:
        """Close the ports, and end every connection and thread."""
        self._stopping.set()
        self._wake.send(b"x")
        self._loop.join()
        for server in self._servers:
            server.server_close()
        until = time.monotonic() + _STOP_TIMEOUT
        for server in self._servers:
            server.join(until)
        self._wake.close()
        self._waker.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._waker, selectors.EVENT_READ)
            for server in self._servers:
                selector.register(server, selectors.EVENT_READ, server)
            while not self._stopping.is_set():
                for key, _ in selector.select():
                    if key.data is not None:
                        key.data.handle_request()
