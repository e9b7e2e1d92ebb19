"""Client certificates asked for late, TLS 1.3: post-handshake authentication (RFC 8446 §4.6.2)."""

from __future__ import annotations

import selectors
import ssl

_NOT_OFFERED = "EXTENSION_NOT_RECEIVED"


class PostHandshakeSocket(ssl.SSLSocket):
    """The server's side of a TLS 1.3 connection that can ask for a certificate at any time."""

    def request_certificate(self) -> bool:
        """Prepare the request; False: the client has not offered to answer one."""
        try:
            self.verify_client_post_handshake()
        except ssl.SSLError as exc:
            if exc.reason == _NOT_OFFERED:
                return False
            raise
        return True

    def await_certificate(self) -> None:
        """Send the request, and read the answer, which may be that there is no certificate.

        Raises:
            TimeoutError: There is no answer yet; to be called again.
            ssl.SSLError: The certificate was refused.
        """
        self.do_handshake()  # does not wait for an answer, which only reading takes notice of
        while not self._answered():
            pass

    def _answered(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if not selector.select(self.gettimeout()):
                raise TimeoutError
        timeout = self.gettimeout()
        self.settimeout(0)  # the answer is not data: reading would wait on for some
        try:
            if self.recv(1):
                raise ssl.SSLError("The client sent data where it was to present a certificate.")
            raise ConnectionResetError("The client left when it was asked for a certificate.")
        except ssl.SSLWantReadError:
            return _is_settled(self)
        finally:
            self.settimeout(timeout)


def _is_settled(tls: ssl.SSLSocket) -> bool:
    """Say whether no handshake is under way."""
    try:
        tls.getpeercert()
    except ValueError:
        return False
    return True
