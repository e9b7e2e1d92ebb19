"""One accepted TCP connection, with or without TLS."""

from __future__ import annotations

import io
import socket
import ssl
import struct
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from .post_handshake import PostHandshakeSocket
from .renegotiation import RenegotiatingSocket

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from _typeshed import ReadableBuffer, WriteableBuffer

    from .tls import SecureSocket, Wrap

_SLICE = 0.1
_HANDSHAKE_TIMEOUT = 10.0
_IDLE_TIMEOUT = 120.0
_WRITE_TIMEOUT = 30.0
_LINGER = 1.0
# struct linger: on, for no time at all. Its members are shorts on Windows.
_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)

_Result = TypeVar("_Result")


class HandshakeFailed(Exception):  # noqa: N818 - the connection's end, not an error
    """A TLS handshake failed, the first or a later one; the cause says why."""


class Connection(io.RawIOBase):
    """A socket whose every wait ends when the emulator stops, on every operating system.

    It waits in short slices of time and looks at the ``stopping`` event in between: no way to
    wake a thread that waits on a socket works on all systems.

    Attributes:
        number: The connection's id.
        client_certificate: What the peer has presented so far, DER.
    """

    def __init__(self, accepted: socket.socket, number: int, stopping: threading.Event) -> None:
        accepted.settimeout(_SLICE)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = accepted
        self._stopping = stopping
        self.number = number
        self.client_certificate: bytes | None = None

    def secure(self, wrap: Wrap) -> None:
        """Do the server's side of the TLS handshake.

        Raises:
            HandshakeFailed: It failed, or was not done in 10 s.
        """
        secured = self._socket = wrap(self._socket)
        self._shake_hands(secured, secured.do_handshake)

    def ask_for_certificate(self) -> None:
        """Have the client present its certificate, if the handshake has left that for later.

        Raises:
            HandshakeFailed: It failed, or was not done in 10 s.
        """
        late = self._socket
        if (
            self.client_certificate is None
            and isinstance(late, (PostHandshakeSocket, RenegotiatingSocket))
            and late.request_certificate()
        ):
            self._shake_hands(late, late.await_certificate)

    def readable(self) -> bool:
        """Say yes: a buffered reader asks."""
        return True

    def writable(self) -> bool:
        """Say yes: answers are written here."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what is there, or wait for it; 0 at the end of the stream."""
        return self._patiently(partial(self._socket.recv_into, buffer), _IDLE_TIMEOUT)

    def write(self, data: ReadableBuffer) -> int:
        """Write all of the data."""
        rest = view = memoryview(data).cast("B")
        while rest:
            rest = rest[self._patiently(partial(self._socket.send, rest), _WRITE_TIMEOUT) :]
        return len(view)

    def linger(self) -> None:
        """End our side, then read for at most a second until the peer ends its own.

        Closing a socket that holds unread bytes resets the connection, and a reset overtakes
        what was sent before: the peer would never see the TLS alert that tells it why.
        """
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
            until = time.monotonic() + _LINGER
            while time.monotonic() < until and not self._stopping.is_set():
                with suppress(TimeoutError):
                    if not socket.socket.recv(self._socket, 65536):
                        return

    def abort(self, *, reset: bool) -> None:
        """Close at once: no TLS goodbye, and with ``reset`` a TCP RST in place of a FIN."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()
        super().close()

    def close(self) -> None:
        """Close the connection, saying goodbye first if it is a TLS connection."""
        super().close()
        with suppress(OSError, ValueError):  # there was no handshake, or this is the second time
            if isinstance(self._socket, (ssl.SSLSocket, RenegotiatingSocket)):
                self._socket.settimeout(0)  # send close_notify, do not wait for the peer's
                self._socket.unwrap()
        self._socket.close()

    def _shake_hands(self, secured: SecureSocket, handshake: Callable[[], None]) -> None:
        try:
            self._patiently(handshake, _HANDSHAKE_TIMEOUT)
        except OSError as exc:
            raise HandshakeFailed from exc
        self.client_certificate = secured.getpeercert(binary_form=True)

    def _patiently(self, operation: Callable[[], _Result], timeout: float) -> _Result:
        until = time.monotonic() + timeout
        while time.monotonic() < until and not self._stopping.is_set():
            with suppress(TimeoutError):
                return operation()
        raise TimeoutError("The peer was silent for too long, or the emulator has stopped.")
