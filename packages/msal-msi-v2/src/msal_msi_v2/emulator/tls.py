"""The emulator's server certificates, and the TLS settings of its services."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import trustme
from OpenSSL import SSL, crypto

from .post_handshake import PostHandshakeSocket
from .renegotiation import NO_SESSION_RESUMPTION_ON_RENEGOTIATION, RenegotiatingSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from cryptography import x509

    SecureSocket: TypeAlias = ssl.SSLSocket | RenegotiatingSocket
    Wrap: TypeAlias = Callable[[socket.socket], SecureSocket]

ClientCertificates = Literal["handshake", "renegotiation", "post_handshake"]
"""When a service asks for client certificates."""
_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which ``ssl`` has no name."""


class Timing:
    """When the services that leave it open ask for client certificates; settable at any time."""

    def __init__(self) -> None:
        self._mode: ClientCertificates = "handshake"

    @property
    def mode(self) -> ClientCertificates:
        """When.

        Raises:
            ValueError: It is set to something else.
        """
        return self._mode

    @mode.setter
    def mode(self, mode: ClientCertificates) -> None:
        if mode not in get_args(ClientCertificates):
            raise ValueError(f"client_certificates is one of {get_args(ClientCertificates)}.")
        self._mode = mode

    def wrapper(self, wrappers: Mapping[ClientCertificates, Wrap]) -> Wrap:
        """Return what begins TLS in the way of the moment."""

        def wrap(accepted: socket.socket) -> SecureSocket:
            return wrappers[self._mode](accepted)  # of the moment of the connection

        return wrap


class ServerCertificates:
    """A CA, and one certificate for all servers of an emulator."""

    def __init__(self, host: str) -> None:
        """Issue the certificate.

        Args:
            host: The address that the servers listen on, besides those of the loopback.
        """
        self._ca = trustme.CA()
        names = dict.fromkeys(["localhost", "127.0.0.1", "::1", host])
        self._certificate = self._ca.issue_cert(*names)

    def write_bundle(self, path: Path) -> None:
        """Write the CA's certificate to a PEM file."""
        self._ca.cert_pem.write_to_path(str(path))

    def wrapper(
        self, *, client_ca: str | None = None, verify: ssl.VerifyMode = ssl.CERT_NONE
    ) -> Wrap:
        """Return what begins TLS on an accepted socket.

        Args:
            client_ca: The CA of client certificates, in PEM armour.
            verify: Whether the handshake asks for a client certificate, and insists on it.
        """
        return _wrapper(self._context(client_ca, verify))

    def post_handshake(self, client_ca: str) -> Wrap:
        """Return the same for TLS 1.3 with certificates asked for later.

        Args:
            client_ca: The CA of client certificates, in PEM armour.
        """
        context = self._context(client_ca, ssl.CERT_OPTIONAL)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.post_handshake_auth = True
        context.sslsocket_class = PostHandshakeSocket
        return _wrapper(context)

    def renegotiating(self, client_ca: x509.Certificate) -> Wrap:
        """Return the same for TLS 1.2 with certificates asked for later.

        Args:
            client_ca: The CA of client certificates.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_TICKET | NO_SESSION_RESUMPTION_ON_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_session_id(b"msal_msi_v2")  # OpenSSL asks no client without one
        self._certificate.configure_cert(context)
        if (store := context.get_cert_store()) is not None:  # as it always is
            store.add_cert(crypto.X509.from_cryptography(client_ca))
            store.set_flags(_NO_CHECK_TIME)
        return partial(RenegotiatingSocket, context=context)

    def _context(self, client_ca: str | None, verify: ssl.VerifyMode) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # No resumption: on every connection the client shows which certificate it uses now.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        self._certificate.configure_cert(context)
        context.verify_mode = verify
        if client_ca is not None:
            context.load_verify_locations(cadata=client_ca)
            # The services judge validity by their own clock, and say so in an answer.
            context.verify_flags |= _NO_CHECK_TIME
        return context


def _wrapper(context: ssl.SSLContext) -> Wrap:
    return partial(context.wrap_socket, server_side=True, do_handshake_on_connect=False)
