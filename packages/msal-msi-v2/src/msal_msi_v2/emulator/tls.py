"""The emulator's server certificates, and the TLS settings of its services."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which ``ssl`` has no name."""


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

    def context(
        self, *, client_ca: str | None = None, verify: ssl.VerifyMode = ssl.CERT_NONE
    ) -> ssl.SSLContext:
        """Return a server's TLS settings.

        Args:
            client_ca: The CA of client certificates, in PEM armour.
            verify: Whether the handshake asks for a client certificate, and insists on it.
        """
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
