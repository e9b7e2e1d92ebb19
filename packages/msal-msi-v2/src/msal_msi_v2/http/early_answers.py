"""Connections over which a server's last word is heard, though it took no whole request.

A server may answer before it has read a request, or refuse the client certificate (with TLS 1.3
the refusal follows the handshake), and close. Writing then fails, with the answer or the refusal
still to be read. urllib3 goes on to read where the pipe is broken, but takes TLS's word for it,
``SSLEOFError``, for the end.
"""

from __future__ import annotations

import ssl
from typing import Any

from urllib3.connection import HTTPSConnection


class EarlyAnswersConnection(HTTPSConnection):
    """Such a connection."""

    def send(self, data: Any) -> None:
        """Send some of a request.

        Raises:
            BrokenPipeError: The server has closed the connection.
        """
        try:
            super().send(data)
        except ssl.SSLEOFError as exc:
            raise BrokenPipeError(exc.errno, "the server closed the connection") from exc
