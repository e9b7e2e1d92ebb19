"""What httpx's requests and answers are to a binding transport, without regard to event loops."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

import certifi
import httpx

from msal_msi_v2.errors import MsiV2ClientError, TransportError, TransportFailure
from msal_msi_v2.platforms import Route, Timeout
from msal_msi_v2.settings import environment_ca_bundle

from .openssl import trusting_context
from .presenting import presenter_of
from .proxies import environment_proxy, parse_proxy
from .stacks import StackTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import TransportResponse

    from .presenting import Presenter
    from .proxies import Proxy

EXCEPTIONS: dict[TransportFailure, type[httpx.TransportError]] = {
    TransportFailure.CONNECT: httpx.ConnectError,
    TransportFailure.PROXY: httpx.ProxyError,
    TransportFailure.CONNECT_TIMEOUT: httpx.ConnectTimeout,
    TransportFailure.READ_TIMEOUT: httpx.ReadTimeout,
    TransportFailure.SERVER_CERTIFICATE: httpx.ConnectError,
    TransportFailure.HANDSHAKE: httpx.ConnectError,
    TransportFailure.BROKEN: httpx.ReadError,
}
"""httpx's exception for each way that a request can fail."""
_ORIGIN = "msal_msi_v2.origin"
_ONCE = httpx.Limits(max_keepalive_connections=0)


class Caller:
    """Sends httpx's requests with the right certificates."""

    def __init__(
        self,
        certificate: BindingCertificate | Presenter,
        *,
        verify: str | bool,
        proxy: str | None,
    ) -> None:
        """Choose; see ``MtlsTransport``."""
        if not verify:
            raise MsiV2ClientError(
                "invalid_request",
                "verify is False, and a bound token is not shown over a connection that nobody "
                "verifies. Set it to the path of your CA bundle.",
            )
        self._presenter = presenter_of(certificate)
        self._ca_bundle = None if verify is True else str(verify)
        self._trusted = self._ca_bundle or environment_ca_bundle()
        self._proxy = proxy
        self._transport = StackTransport(self._trusted)

    def call(
        self,
        request: httpx.Request,
        body: bytes | Iterable[bytes],
        sending: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> TransportResponse:
        """Send a request.

        Args:
            request: The request.
            body: Its body; pieces can be sent only once.
            sending: Entered whenever the request is sent, and not while a token is acquired,
                for which others may be waiting, too.

        Raises:
            httpx.TransportError: No answer came back; its cause is a ``TransportError``.
            MsiV2Error: No token could be had.
        """
        route = Route(self._ca_bundle, self._proxy_for(request))
        return self._presenter.send(_Outgoing(request, body, self._transport, route, sending))

    def plain_settings(self, request: httpx.Request) -> dict[str, Any]:
        """Return how a transport of httpx's own sends a request.

        It trusts the same CAs, goes through the same proxy, and presents no certificate. It keeps
        no connection, and so need not be closed, and belongs to no event loop.

        Raises:
            MsiV2ClientError: ``invalid_request``: the CAs cannot be read, or the proxy not be used.
        """
        context, proxy = self._plain_context, self._proxy_for(request)
        through = None if proxy is None else _through(parse_proxy(proxy), context)
        return {"verify": context, "proxy": through, "limits": _ONCE}

    def close(self) -> None:
        """Close the connections, but those of a platform's own stack, which others share."""
        self._transport.close()

    def _proxy_for(self, request: httpx.Request) -> str | None:
        return self._proxy or environment_proxy(str(request.url))

    @cached_property
    def _plain_context(self) -> ssl.SSLContext:
        return trusting_context(self._trusted or certifi.where())


def has_left(request: httpx.Request) -> bool:
    """Tell whether redirects have led a request away from the origin that it was made for.

    httpx hands a request's extensions on to the one that a redirect makes of it.

    Raises:
        MsiV2ClientError: ``invalid_request``: its URL is not ``https``.
    """
    url = request.url
    if url.scheme != "https":
        raise MsiV2ClientError(
            "invalid_request",
            "A bound token goes over https only, and this URL is another. Use its https form.",
        )
    marks: Any = request.extensions
    origin = (url.scheme, url.host, url.port)
    if marks.setdefault(_ORIGIN, origin) != origin:
        marks[_ORIGIN] = None  # for good, wherever the next redirect leads
    return marks[_ORIGIN] is None


@contextmanager
def translated(request: httpx.Request) -> Iterator[None]:
    """Turn a ``TransportError`` into what httpx raises for it."""
    try:
        yield
    except TransportError as exc:
        raise EXCEPTIONS[exc.failure](str(exc), request=request) from exc


def build_response(answer: TransportResponse, stream: Any) -> httpx.Response:
    """Return an answer as httpx has it, with a stream for its body."""
    return httpx.Response(
        answer.status,
        headers=[(name.encode(), value.encode("latin-1")) for name, value in answer.headers],
        stream=stream,
        extensions={
            "http_version": b"HTTP/1.1",
            "reason_phrase": answer.reason.encode("latin-1", "replace"),
        },
    )


class _Outgoing:
    """An ``Outgoing`` over a request of httpx."""

    def __init__(
        self,
        request: httpx.Request,
        body: bytes | Iterable[bytes],
        transport: StackTransport,
        route: Route,
        sending: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._request = request
        self._body = body
        self._transport = transport
        self._route = route
        self._sending = sending

    def header(self, name: str) -> str | None:
        value: str | None = self._request.headers.get(name)
        return value

    def send(
        self, certificate: BindingCertificate, headers: Mapping[str, str]
    ) -> TransportResponse:
        request = self._request
        merged = httpx.Headers(request.headers)
        merged.update(headers)
        merged.pop("Transfer-Encoding", None)  # the transport's business
        with translated(request), self._sending():
            return self._transport.request(
                request.method,
                str(request.url),
                certificate=certificate,
                headers=[(name.decode(), value.decode("latin-1")) for name, value in merged.raw],
                body=self._body or None,
                timeout=_timeout(request),
                route=self._route,
            )

    def drop(self, certificate: BindingCertificate) -> None:
        self._transport.drop(certificate)

    def rewind(self) -> bool:
        return isinstance(self._body, bytes)


def _through(proxy: Proxy, context: ssl.SSLContext) -> httpx.Proxy:
    """Return a proxy as httpx has it."""
    user, _, password = proxy.login.partition(":")
    return httpx.Proxy(
        f"{proxy.scheme}://{proxy.host}:{proxy.port}",
        ssl_context=context if proxy.scheme == "https" else None,
        auth=(user, password) if proxy.login else None,
    )


def _timeout(request: httpx.Request) -> Timeout:
    """Return httpx's timeout, where ``None`` waits for ever, as ours."""
    given = request.extensions.get("timeout", {})
    connect, read = given.get("connect"), given.get("read")
    return Timeout(*(float("inf") if one is None else float(one) for one in (connect, read)))
