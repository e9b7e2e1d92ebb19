"""``MtlsTransport`` and ``AsyncMtlsTransport``: httpx over TLS with a binding certificate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from .errands import Errand
from .httpx_calls import Caller, build_response, has_left, translated
from .resource import ResourceTokens
from .workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from typing_extensions import Self

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.client import ManagedIdentityClient
    from msal_msi_v2.platforms import TransportResponse
    from msal_msi_v2.strength import MtlsBindingStrength

    from .presenting import Presenter

_PIECE = 65536
_THREADS = 64


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
            plain = httpx.HTTPTransport(**self._caller.plain_settings(request))
            return plain.handle_request(request)
        stream: Any = request.stream
        body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else iter(stream)
        answer = self._caller.call(request, body)
        return build_response(answer, _Body(answer, request))

    def close(self) -> None:
        """Close the connections, but those of a platform's own stack, which others share."""
        self._caller.close()


class AsyncMtlsTransport(_Transport, httpx.AsyncBaseTransport):
    """Carries the requests of an ``httpx.AsyncClient`` over TLS with a binding certificate.

    Neither TLS stack is asynchronous, so requests wait in threads: at most 64 at a time, of this
    transport's own, so that slow resources do not hold up other work of the program. The event
    loop, asyncio's or trio's, is never blocked, and several of them may share a transport.

    A cancelled request is left alone at once, and not sent any more if it was not yet. Over
    OpenSSL its connection is closed, which frees the thread; a call of WinHTTP goes on until it is
    through, within the request's timeouts.
    """

    def __init__(
        self,
        certificate: BindingCertificate | Presenter,
        *,
        verify: str | bool = True,
        proxy: str | None = None,
    ) -> None:
        """Choose; see ``MtlsTransport``."""
        super().__init__(certificate, verify=verify, proxy=proxy)
        self._workers = Workers(_THREADS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see ``httpx.AsyncBaseTransport.handle_async_request``.

        Raises:
            httpx.TransportError: No answer came back; its cause is a ``TransportError``.
            MsiV2Error: The request must not be sent so, or no token could be had for it.
        """
        if has_left(request):
            plain = httpx.AsyncHTTPTransport(**self._caller.plain_settings(request))
            return await plain.handle_async_request(request)
        stream: Any = request.stream
        errand = Errand(self._workers)
        answer = await errand.send(
            partial(self._caller.call, request, sending=errand.watch.sending),
            b"".join(stream) if isinstance(stream, httpx.ByteStream) else stream,
        )
        return build_response(answer, _AsyncBody(errand, request))

    async def aclose(self) -> None:
        """Close the connections, but those of a platform's own stack, which others share."""
        self._caller.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: TransportResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with translated(self._request):
            yield from self._answer.iter_bytes(_PIECE)

    def close(self) -> None:
        self._answer.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, errand: Errand, request: httpx.Request) -> None:
        self._errand = errand
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with translated(self._request):
            while piece := await self._errand.read():
                yield piece

    async def aclose(self) -> None:
        self._errand.give_up()
