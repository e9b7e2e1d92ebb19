"""``MtlsTransport`` and ``AsyncMtlsTransport``: httpx over TLS with a binding certificate."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx

from msal_msi_v2.errors import TransportError

from .httpx_calls import EXCEPTIONS, Caller, build_response, has_left
from .resource import ResourceTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    from typing_extensions import Self

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.client import ManagedIdentityClient
    from msal_msi_v2.platforms import TransportResponse
    from msal_msi_v2.strength import MtlsBindingStrength

    from .presenting import Presenter

_PIECE = 65536
_THREADS = 64
_Result = TypeVar("_Result")


class _Transport:
    """What both transports have in common.

    A key that can be exported goes over OpenSSL, any other over the TLS stack of its platform.
    Where a redirect leads to another origin, neither token nor certificate goes along. Plain
    ``http`` is refused.
    """

    def __init__(
        self,
        certificate: BindingCertificate | Presenter,
        *,
        verify: str | bool = True,
        proxy: str | None = None,
    ) -> None:
        """Choose what to present, whom to trust and how to get there.

        Args:
            certificate: The certificate; the caller sets ``Authorization``. Or whatever decides
                about both with each request, as ``for_resource`` does.
            verify: A PEM file, or an OpenSSL directory, of the CAs to trust; ``True``: what
                ``REQUESTS_CA_BUNDLE`` or ``SSL_CERT_FILE`` names, else certifi's.
            proxy: The URL of the proxy; ``None``: the environment's, where there is one.

        Raises:
            MsiV2ClientError: ``invalid_request``: ``verify`` is ``False``.
        """
        self._caller = Caller(certificate, verify=verify, proxy=proxy)

    @classmethod
    def for_resource(
        cls,
        client: ManagedIdentityClient,
        resource: str,
        *,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
        proxy: str | None = None,
    ) -> Self:
        """Return a transport that gets a token, and takes its certificate, for every request.

        A 401 that a new token, certificate or connection may mend is answered with one, once
        each, unless the request's body can be sent only once.

        Args:
            client: Acquires the tokens.
            resource: The resource's URL or application id URI.
            with_attestation_support: As for ``acquire_token_for_client``.
            min_strength: As for ``acquire_token_for_client``.
            proxy: The URL of the proxy; ``None``: the environment's, where there is one.
        """
        tokens = ResourceTokens(
            client,
            resource,
            with_attestation_support=with_attestation_support,
            min_strength=min_strength,
        )
        return cls(tokens, verify=client.ca_bundle or True, proxy=proxy)


class MtlsTransport(_Transport, httpx.BaseTransport):
    """Carries the requests of an ``httpx.Client`` over TLS with a binding certificate."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see ``httpx.BaseTransport.handle_request``.

        Raises:
            httpx.TransportError: No answer came back; its cause is a ``TransportError``.
            MsiV2Error: The request must not be sent so, or no token could be had for it.
        """
        if has_left(request):
            return self._plain.handle_request(request)
        stream: Any = request.stream
        body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else iter(stream)
        answer = self._caller.call(request, body)
        return build_response(answer, _Body(answer, request))

    def close(self) -> None:
        """Close the connections, but those of a platform's own stack, which others share."""
        self._caller.close()
        if "_plain" in vars(self):
            self._plain.close()

    @cached_property
    def _plain(self) -> httpx.HTTPTransport:
        return httpx.HTTPTransport(verify=self._caller.plain_context())


class AsyncMtlsTransport(_Transport, httpx.AsyncBaseTransport):
    """Carries the requests of an ``httpx.AsyncClient`` over TLS with a binding certificate.

    Neither TLS stack is asynchronous, so requests wait in threads: at most 64 at a time, of this
    transport's own, so that slow resources do not hold up other work of the program. The event
    loop, asyncio's or trio's, is never blocked; a cancelled request is left alone at once, and its
    connection closed as soon as its thread is through.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see ``httpx.AsyncBaseTransport.handle_async_request``.

        Raises:
            httpx.TransportError: No answer came back; its cause is a ``TransportError``.
            MsiV2Error: The request must not be sent so, or no token could be had for it.
        """
        if has_left(request):
            return await self._plain.handle_async_request(request)
        stream: Any = request.stream
        errand = _Errand()
        body: bytes | Iterable[bytes] = (
            b"".join(stream) if isinstance(stream, httpx.ByteStream) else errand.pieces(stream)
        )
        try:
            answer = await self._in_thread(lambda: errand.run(self._caller, request, body))
        except BaseException:
            errand.abandon()
            raise
        return build_response(answer, _AsyncBody(answer, request, self._in_thread))

    async def aclose(self) -> None:
        """Close the connections, but those of a platform's own stack, which others share."""
        self._caller.close()
        if "_plain" in vars(self):
            await self._plain.aclose()

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)

    @cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(_THREADS)

    @cached_property
    def _plain(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=self._caller.plain_context())


class _Errand:
    """A request that a thread sends, and that the one who waits for it may abandon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._abandoned = False
        self._answer: TransportResponse | None = None

    def run(
        self, caller: Caller, request: httpx.Request, body: bytes | Iterable[bytes]
    ) -> TransportResponse:
        answer = caller.call(request, body)
        with self._lock:
            if self._abandoned:
                answer.close()
            self._answer = answer
        return answer

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            if self._answer is not None:
                self._answer.close()

    def pieces(self, stream: AsyncIterable[bytes]) -> Iterator[bytes]:
        """Yield, in the thread, what the event loop produces."""
        pieces = aiter(stream)

        async def produce() -> bytes | None:
            return await anext(pieces, None)

        while not self._abandoned:
            piece = anyio.from_thread.run(produce)
            if piece is None:
                return
            yield piece
        raise OSError("the request was cancelled")


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: TransportResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer.iter_bytes(_PIECE)
        except TransportError as exc:
            raise EXCEPTIONS[exc.failure](str(exc), request=self._request) from exc

    def close(self) -> None:
        self._answer.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(
        self, answer: TransportResponse, request: httpx.Request, in_thread: Callable[..., Any]
    ) -> None:
        self._answer = answer
        self._pieces = iter(_Body(answer, request))
        self._in_thread = in_thread
        self._reading = threading.Lock()
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._in_thread(self._next):
            yield piece

    async def aclose(self) -> None:
        """Close the answer, or leave that to a thread which an abandoned read still keeps."""
        self._closed = True
        if self._reading.acquire(blocking=False):
            with suppress(RuntimeError), anyio.CancelScope(shield=True):
                await self._in_thread(self._answer.close)
            self._reading.release()

    def _next(self) -> bytes:
        with self._reading:
            try:
                return next(self._pieces, b"")
            finally:
                if self._closed:
                    self._answer.close()
