"""Client certificates asked for late, TLS 1.2: the server has the handshake done once more."""

from __future__ import annotations

import selectors
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer, WriteableBuffer

NO_SESSION_RESUMPTION_ON_RENEGOTIATION = 0x10000
"""OpenSSL's option, for which pyOpenSSL has no name: a resumed session asks for no certificate."""
_UNEXPECTED_EOF = -1

_Result = TypeVar("_Result")


class RenegotiatingSocket(socket.socket):
    """The server's side of a TLS 1.2 connection: ``ssl.SSLSocket``, as far as it is needed here.

    ``ssl`` cannot renegotiate, so this is pyOpenSSL. Like ``ssl.SSLSocket`` it takes over an
    accepted socket, heeds its timeout and raises ``OSError``.
    """

    def __init__(self, accepted: socket.socket, context: SSL.Context) -> None:
        timeout = accepted.gettimeout()
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.settimeout(timeout)
        self._tls = SSL.Connection(context, self)
        self._tls.set_accept_state()

    def do_handshake(self) -> None:
        """Do the first handshake, or go on with it."""
        self._wait(self._tls.do_handshake)

    def request_certificate(self) -> bool:
        """Prepare a second handshake, in which a certificate is asked for."""
        self._tls.set_verify(SSL.VERIFY_PEER)
        return self._tls.renegotiate()

    def await_certificate(self) -> None:
        """Ask the client to shake hands again, and do so; it may present no certificate.

        Raises:
            TimeoutError: There is no answer yet; to be called again.
            ssl.SSLError: The client refused, or its certificate was refused.
        """
        self._wait(self._tls.do_handshake)  # sends the request, and does not wait for an answer
        while self._tls.renegotiate_pending():
            self._wait(self._renegotiate)

    def getpeercert(self, binary_form: Literal[True]) -> bytes | None:  # noqa: ARG002 - as of ``ssl``
        """Return the certificate that the client has presented, DER."""
        certificate = self._tls.get_peer_certificate(as_cryptography=True)
        return None if certificate is None else certificate.public_bytes(Encoding.DER)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Read decrypted bytes; 0 at the end of the stream."""
        view = memoryview(buffer).cast("B")
        data = self._wait(partial(self._tls.recv, nbytes or len(view), flags), at_end=b"")
        view[: len(data)] = data
        return len(data)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Encrypt and send bytes, and say how many."""
        return self._wait(partial(self._tls.send, memoryview(data).cast("B"), flags))

    def unwrap(self) -> None:
        """Say goodbye, and do not wait for the client's."""
        self._wait(self._tls.shutdown)

    def _renegotiate(self) -> None:
        try:
            self._tls.recv(1, socket.MSG_PEEK)
        except SSL.WantReadError:
            if self._tls.renegotiate_pending():
                raise
        else:
            if self._tls.renegotiate_pending():
                raise ssl.SSLError("The client sent data where it was to shake hands again.")

    def _wait(self, operation: Callable[[], _Result], at_end: _Result | None = None) -> _Result:
        """Do an operation, waiting for the client where it must."""
        while True:
            try:
                return operation()
            except SSL.WantReadError:  # noqa: PERF203 - which the loop is there for
                self._wait_for(selectors.EVENT_READ)
            except SSL.WantWriteError:
                self._wait_for(selectors.EVENT_WRITE)
            except SSL.Error as exc:
                if at_end is not None and _is_end(exc):
                    return at_end
                raise _translated(exc) from exc

    def _wait_for(self, event: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self, event)
            if not selector.select(self.gettimeout()):
                raise TimeoutError


def _is_end(exc: SSL.Error) -> bool:
    """Say whether the client ended the stream, with or without a goodbye."""
    cut = isinstance(exc, SSL.SysCallError) and exc.args[0] == _UNEXPECTED_EOF
    return cut or isinstance(exc, SSL.ZeroReturnError)


def _translated(exc: SSL.Error) -> OSError:
    if isinstance(exc, SSL.SysCallError) and exc.args[0] != _UNEXPECTED_EOF:
        return OSError(*exc.args)
    return ssl.SSLError(ssl.SSL_ERROR_SSL, f"{exc}")
