"""One request over WinHTTP, and its answer.

Every native call holds the exchange's lock and is bounded by a timeout, so ``close()``, from
whatever thread, takes effect as soon as the call in progress has ended. To close a handle while
WinHTTP works on it is undefined.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from msal_key_attestation._native.constants import WinHttpQuery
from msal_key_attestation._native.libs import CData, ffi, is_wine, winhttp
from msal_key_attestation._native.status import last_error
from msal_msi_v2.errors import TransportError, TransportFailure

from .failures import transport_error
from .target import content_length

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .request import Request

_WRITE_SIZE = 1 << 20
_UNKNOWN_TOTAL = 0  # WINHTTP_IGNORE_REQUEST_TOTAL_LENGTH
_UNKNOWN_TOTAL_FOR_WINE = 0xFFFFFFFF  # which reads the answer before it sends, if told 0
_BODILESS_STATUSES = {204, 304}
_PROXY_REFUSED = 407


class Exchange:
    """A ``TransportResponse`` over WinHTTP, and the request that it answers."""

    def __init__(self, request: Request) -> None:
        """Take ownership of a request that is ready to be sent."""
        self._request = request
        self._lock = threading.Lock()
        self._is_closing = False
        self.status = 0
        self.reason = ""
        self.headers: Sequence[tuple[str, str]] = ()

    def run(self, body: bytes | Iterable[bytes] | None) -> None:
        """Send the request, and wait for status and headers.

        Raises:
            TransportError: No answer came back.
        """
        if body is None or isinstance(body, bytes):
            self._send_bytes(body or b"")
        else:
            self._send_chunks(body)
        self._call("WinHttpReceiveResponse", ffi.NULL)
        self._read_headers()
        if self.status == _PROXY_REFUSED:  # which WinHTTP hands on as if the server had said so
            raise TransportError(
                TransportFailure.PROXY,
                f"The request to {self._request.target} failed: the proxy asks for a login, which "
                "WinHTTP is given by Windows alone.",
            )

    def iter_bytes(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """Yield the body; see ``TransportResponse.iter_bytes``."""
        buffer, available, read = ffi.new("BYTE[]", chunk_size), *_numbers(2)
        received = 0
        while True:
            # Without asking first, a read waits until it can fill the whole buffer. At the end a
            # byte is asked for all the same: the read that finds none gives the connection back.
            self._call("WinHttpQueryDataAvailable", available)
            size = min(available[0], chunk_size) or 1
            self._call("WinHttpReadData", buffer, size, read)
            if not read[0]:
                break
            received += read[0]
            yield bytes(ffi.buffer(buffer, read[0]))
        self._check_length(received)

    def close(self) -> None:
        """Give the connection back, or drop it if the body was not read to its end."""
        self._is_closing = True
        with self._lock:
            self._request.close()

    def __del__(self) -> None:
        """Be the net, never the plan."""
        if hasattr(self, "_lock"):
            self.close()

    def _call(self, api: str, *arguments: Any) -> None:
        """Call a function of WinHTTP on the request."""
        with self._lock:
            if self._is_closing:
                raise TransportError(
                    TransportFailure.BROKEN,
                    f"The request to {self._request.target} was closed before it was done.",
                )
            done = getattr(winhttp(), api)(self._request.handle, *arguments)
            code = 0 if done else last_error()
        if not done:
            raise transport_error(api, code, self._request.progress, self._request.target)

    def _send_bytes(self, body: bytes) -> None:
        self._send(len(body))
        view = memoryview(body)
        for start in range(0, len(body), _WRITE_SIZE):
            self._write(view[start : start + _WRITE_SIZE])

    def _send_chunks(self, body: Iterable[bytes]) -> None:
        length = self._request.length
        unknown = _UNKNOWN_TOTAL_FOR_WINE if is_wine() else _UNKNOWN_TOTAL
        self._send(unknown if length is None else length)
        for chunk in body:
            if not chunk:
                continue  # framed, it would end the body
            if length is None:
                self._write(memoryview(f"{len(chunk):x}\r\n".encode("ascii")))
            self._write(memoryview(chunk))
            if length is None:
                self._write(memoryview(b"\r\n"))
        if length is None:
            self._write(memoryview(b"0\r\n\r\n"))

    def _send(self, total: int) -> None:
        no_headers = (ffi.NULL, 0)
        no_data = (ffi.NULL, 0)
        token = self._request.progress.token
        self._call("WinHttpSendRequest", *no_headers, *no_data, total, token)
        self._request.wait_for_answer()

    def _write(self, data: memoryview) -> None:
        (written,) = _numbers(1)
        while data:
            self._call("WinHttpWriteData", ffi.from_buffer(data), len(data), written)
            data = data[written[0] :]

    def _read_headers(self) -> None:
        status_line, *lines = self._raw_headers().split("\r\n")
        _version, status, *reason = status_line.split(" ", 2)
        self.status = int(status)
        self.reason = reason[0] if reason else ""
        pairs = (line.partition(":") for line in lines if line)
        self.headers = tuple((name, value.strip()) for name, _colon, value in pairs)

    def _raw_headers(self) -> str:
        what, (size,) = WinHttpQuery.WINHTTP_QUERY_RAW_HEADERS_CRLF, _numbers(1)
        with contextlib.suppress(TransportError):  # it fails, having said how much there is
            self._call("WinHttpQueryHeaders", what, ffi.NULL, ffi.NULL, size, ffi.NULL)
        buffer = ffi.new("WCHAR[]", size[0] // ffi.sizeof("WCHAR") + 1)
        self._call("WinHttpQueryHeaders", what, ffi.NULL, buffer, size, ffi.NULL)
        text: str = ffi.string(buffer)
        return text

    def _check_length(self, received: int) -> None:
        """Refuse a body that ended early, which WinHTTP does not always tell."""
        expected = content_length(self.headers)
        if expected is None or self._request.is_head or self.status in _BODILESS_STATUSES:
            return
        if received < expected:
            raise TransportError(
                TransportFailure.BROKEN,
                f"The answer of {self._request.target} broke off after {received} of {expected} "
                "bytes.",
            )


def _numbers(count: int) -> list[CData]:
    return [ffi.new("DWORD *") for _ in range(count)]
