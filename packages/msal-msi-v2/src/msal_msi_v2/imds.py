"""The one place that talks to IMDS."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from .errors import MsiV2ServiceError, TransportError, TransportFailure
from .fork import renew_after_fork
from .http.borrowed import renew_connections, retries_by_itself
from .http.failures import failure_of
from .protocol.messages import REQUEST_FAILED, Request, Response, read_body
from .protocol.retry import IMDS, RetryPolicy
from .retrying import send_with_retries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .clock import Clock
    from .platforms import Timeout

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_impatient: ContextVar[bool] = ContextVar("_impatient", default=False)


class ImdsUnreachable(TransportError):  # noqa: N818 - it is what happened
    """No HTTP answer came back from IMDS."""


@contextmanager
def impatience() -> Iterator[None]:
    """Try only once to connect to an IMDS that has never answered: most likely there is none."""
    token = _impatient.set(True)
    try:
        yield
    finally:
        _impatient.reset(token)


class ImdsClient:
    """Sends requests to IMDS: directly, and nowhere else.

    IMDS is a link-local service that trusts whoever reaches it, so that a proxy or a redirect
    would hand the machine's identity to a stranger: proxies are bypassed, whatever the
    environment or the session says, and redirects are refused.

    Attributes:
        has_answered: Whether anything has answered there so far.
    """

    def __init__(self, http_client: Any, timeout: Timeout, clock: Clock) -> None:
        """Keep what to send with.

        Args:
            http_client: A ``requests.Session``, or anything with its ``get`` and ``post``.
            timeout: How long to wait for IMDS.
            clock: Waits between tries.
        """
        self._http_client = http_client
        self._timeout = timeout
        self._clock = clock
        self.has_answered = False
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Drop the session's connections: over the parent's, answers would be swapped."""
        renew_connections(self._http_client)

    def send(self, request: Request, policy: RetryPolicy = IMDS) -> Response:
        """Send a request, again where that is worth it, and read its answer, whatever its status.

        An ``http_client`` that retries by itself is left to do so alone.

        Raises:
            MsiV2ServiceError: ``managed_identity_request_failed``: a redirect, or an answer that
                is too long.
            ImdsUnreachable: No answer came back.
        """
        if retries_by_itself(self._http_client, request.url):
            return self._send_once(request)
        return send_with_retries(lambda: self._send_once(request), policy, self._clock)

    def _send_once(self, request: Request) -> Response:
        try:
            response = self._exchange(request)
            try:
                return self._read(response)
            finally:
                _close(response)
        except requests.exceptions.HTTPError as exc:  # a session whose hook raises for status
            if exc.response is None:
                raise _unreachable(TransportFailure.BROKEN, request, exc) from exc
            return self._read(exc.response)
        except OSError as exc:  # which requests' own are, too
            raise _unreachable(self._failure_of(exc), request, exc) from exc

    def _read(self, response: Any) -> Response:
        self.has_answered = True
        return _read(response)

    def _failure_of(self, exc: OSError) -> TransportFailure:
        failure = failure_of(exc)
        if failure is TransportFailure.CONNECT_TIMEOUT and _impatient.get():
            # A timeout would be tried again.
            return failure if self.has_answered else TransportFailure.CONNECT
        return failure

    def _exchange(self, request: Request) -> Any:
        options: dict[str, Any] = {
            "params": dict(request.params),
            "headers": dict(request.headers),
            "timeout": (self._timeout.connect, self._timeout.read),
            "allow_redirects": False,
            "proxies": _no_proxies(request.url),
            "stream": True,
        }
        if request.method == "GET":
            return self._http_client.get(request.url, **options)
        return self._http_client.post(request.url, data=request.body, **options)


def _no_proxies(url: str) -> dict[str, Any]:
    """Name every key under which requests looks for a proxy, so that none is found.

    ``None`` takes a session's own proxy away and keeps the environment's from being filled in;
    ``{"http": None}`` alone would leave ``ALL_PROXY`` in force.
    """
    parts = urlsplit(url)
    schemes = (parts.scheme, "all")
    keys = (*schemes, *(f"{scheme}://{parts.hostname}" for scheme in schemes))
    return {**dict.fromkeys(keys), "no_proxy": parts.hostname}


def _read(response: Any) -> Response:
    status = int(response.status_code)
    if status in _REDIRECTS or getattr(response, "history", None):
        raise MsiV2ServiceError(
            REQUEST_FAILED,
            "IMDS answered with a redirect, which is refused: something between this process and "
            "IMDS intercepts the request.",
            status_code=status,
        )
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    return Response(status, headers, read_body(_chunks(response), "IMDS", status))


def _chunks(response: Any) -> Any:
    if hasattr(response, "iter_content"):
        return response.iter_content(65536)
    return [response.text.encode("utf-8")]


def _close(response: Any) -> None:
    close = getattr(response, "close", None)
    if close is not None:
        close()


def _unreachable(failure: TransportFailure, request: Request, exc: OSError) -> ImdsUnreachable:
    return ImdsUnreachable(
        failure,
        f"The instance metadata service (IMDS) at {request.url} did not answer "
        f"({type(exc).__name__}). It is there on Azure VMs and scale sets only; check that this "
        "is one, and that no firewall rule or container network hides 169.254.169.254.",
    )
