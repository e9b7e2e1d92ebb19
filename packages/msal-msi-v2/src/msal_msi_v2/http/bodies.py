"""Bodies between requests and a binding transport, both ways, without holding them in memory."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.util.request import body_to_chunks

from msal_msi_v2.errors import TransportError, TransportFailure

from .openssl import OpenSslResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msal_msi_v2.platforms import TransportResponse

_BLOCK = 65536


def request_body(body: Any) -> bytes | Iterable[bytes] | None:
    """Return a body as a transport takes it: bytes, or pieces of a file or an iterable.

    Args:
        body: What ``requests.PreparedRequest.body`` may be; text is sent as UTF-8.
    """
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode("utf-8")
    pieces: Iterable[Any] = body_to_chunks(body, "POST", _BLOCK).chunks or ()
    return (piece.encode("utf-8") if isinstance(piece, str) else piece for piece in pieces)


def raw_response(answer: TransportResponse, method: str) -> urllib3.BaseHTTPResponse:
    """Return an answer as urllib3 has it, which is what requests takes.

    Args:
        answer: The answer; closing the result closes it, and so does its end.
        method: The method of the request.
    """
    if isinstance(answer, OpenSslResponse):
        return answer.raw
    headers = urllib3.HTTPHeaderDict()
    for name, value in answer.headers:
        headers.add(name, value)
    body = _Body(answer)
    return urllib3.HTTPResponse(
        body=body,  # type: ignore[arg-type]  # all of a file that urllib3 uses
        headers=headers,
        status=answer.status,
        reason=answer.reason,
        version=11,
        preload_content=False,
        decode_content=False,
        original_response=_Original(body, answer),  # type: ignore[arg-type]  # what requests uses
        request_method=method,
    )


class _Body:
    """A file over an answer's body; what it raises is what urllib3 expects of a socket."""

    def __init__(self, answer: TransportResponse) -> None:
        self._answer = answer
        self._pieces = answer.iter_bytes(_BLOCK)
        self._left = memoryview(b"")
        self.closed = False

    def read(self, amount: int | None = None) -> bytes:
        """Return up to so many bytes, all that there are for ``None``, nothing at the end."""
        if amount is None:
            return b"".join(iter(lambda: self.read(_BLOCK), b""))
        if not self._left:
            self._left = memoryview(self._next())
        piece, self._left = self._left[:amount], self._left[amount:]
        return piece.tobytes()

    read1 = read

    def close(self) -> None:
        """Close the answer."""
        self.closed = True
        self._answer.close()

    def _next(self) -> bytes:
        if self.closed:
            return b""
        try:
            piece = next(self._pieces, b"")
        except TransportError as exc:
            self.close()
            if exc.failure is TransportFailure.READ_TIMEOUT:
                raise TimeoutError(str(exc)) from exc
            raise OSError(str(exc)) from exc
        if not piece:
            self.close()
        return piece


class _Original:
    """What requests reads of ``http.client``'s response: the cookies among its headers."""

    def __init__(self, body: _Body, answer: TransportResponse) -> None:
        self.msg = Message()
        for name, value in answer.headers:
            self.msg[name] = value
        self.close = body.close
        self.isclosed = lambda: body.closed
