"""An answer whose body has been looked into, and can still be read from its beginning."""

from __future__ import annotations

import io
from itertools import chain
from typing import TYPE_CHECKING

import urllib3

from msal_msi_v2.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msal_msi_v2.platforms import TransportResponse

LONGEST_REFUSAL = 65536
"""Bytes of a refusal's body that are looked into."""


class PeekedResponse:
    """A ``TransportResponse`` over another one.

    Attributes:
        beginning: The first bytes of the body, decompressed; what cannot be is left out.
    """

    def __init__(self, answer: TransportResponse, most: int) -> None:
        """Read the beginning of a body.

        Args:
            answer: Whose body; it is this object's to close.
            most: How many bytes are enough.
        """
        self._answer = answer
        self.status: int = answer.status
        self.reason: str = answer.reason
        self.headers: Sequence[tuple[str, str]] = answer.headers
        self._rest = answer.iter_bytes()
        self._failure: TransportError | None = None
        self._read = self._read_beginning(most)
        self.beginning = _decompressed(self._read, self.headers)

    @property
    def challenges(self) -> list[str]:
        """The values of ``WWW-Authenticate``."""
        return [value for name, value in self.headers if name.lower() == "www-authenticate"]

    def iter_bytes(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """Yield the whole body; see ``TransportResponse.iter_bytes``."""
        for piece in chain([self._read], self._rest):
            for start in range(0, len(piece), chunk_size):
                yield piece[start : start + chunk_size]
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Close the answer."""
        self._answer.close()

    def _read_beginning(self, most: int) -> bytes:
        read = bytearray()
        try:
            for piece in self._rest:
                read += piece
                if len(read) >= most:
                    break
        except TransportError as exc:  # the reader's to see, once he has read as far
            self._failure = exc
        return bytes(read)


def _decompressed(data: bytes, headers: Sequence[tuple[str, str]]) -> bytes:
    encoding = {name: value for name, value in headers if name.lower() == "content-encoding"}
    if not encoding:
        return data
    response = urllib3.HTTPResponse(io.BytesIO(data), encoding, preload_content=False)
    try:
        return response.read(decode_content=True)
    except urllib3.exceptions.HTTPError:
        return b""
