"""An answer whose body has been looked into, and can still be read from its beginning."""

from __future__ import annotations

import zlib
from itertools import chain
from typing import TYPE_CHECKING

from msal_msi_v2.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msal_msi_v2.platforms import TransportResponse

LONGEST_REFUSAL = 65536
"""Bytes of a refusal's body that are looked into."""

_ENCODING = "content-encoding"
_FORMATS = {
    "gzip": (16 + zlib.MAX_WBITS,),
    "x-gzip": (16 + zlib.MAX_WBITS,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),  # with its header, or as some send it, without
}
"""The codings that are looked into, as zlib has them."""


class PeekedResponse:
    """A ``TransportResponse`` over another one.

    Attributes:
        beginning: The first bytes of the body, decompressed. It is empty where that takes more
            than zlib: for other codings than gzip and deflate, and for one on top of another.
    """

    def __init__(self, answer: TransportResponse, most: int) -> None:
        """Read the beginning of a body.

        Args:
            answer: Whose body; it is this object's to close.
            most: How many bytes are enough, as received and decompressed.
        """
        self._answer = answer
        self.status: int = answer.status
        self.reason: str = answer.reason
        self.headers: Sequence[tuple[str, str]] = answer.headers
        self._rest = answer.iter_bytes()
        self._failure: TransportError | None = None
        self._read = self._read_beginning(most)
        self.beginning = _decompressed(self._read, self.headers, most)

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


def _decompressed(data: bytes, headers: Sequence[tuple[str, str]], most: int) -> bytes:
    codings = [value.strip().lower() for name, value in headers if name.lower() == _ENCODING]
    if codings in ([], ["identity"]):
        return data[:most]
    windows = _FORMATS.get(", ".join(codings), ())
    return next(filter(None, (_inflated(data, window, most) for window in windows)), b"")


def _inflated(data: bytes, window: int, most: int) -> bytes:
    try:
        return zlib.decompressobj(window).decompress(data, most)  # it may stand for gigabytes
    except zlib.error:
        return b""
