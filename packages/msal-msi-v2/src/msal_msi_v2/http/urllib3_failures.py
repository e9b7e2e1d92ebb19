"""What urllib3 and ssl raise, as errors of ours."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from http.client import InvalidURL
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from urllib3 import exceptions

from msal_msi_v2.errors import MsiV2ClientError, TransportError, TransportFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

_Exception = TypeVar("_Exception", bound=BaseException)
_NO_URL = (exceptions.LocationValueError, InvalidURL)
_BROKEN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_FAILURES: tuple[tuple[type[BaseException], TransportFailure, str], ...] = (
    (
        exceptions.NewConnectionError,  # a ConnectTimeoutError too, so it comes first
        TransportFailure.CONNECT,
        "no connection could be made. Check name resolution, firewall and proxy.",
    ),
    (
        exceptions.ConnectTimeoutError,
        TransportFailure.CONNECT_TIMEOUT,
        "no connection within the connect timeout.",
    ),
    (
        exceptions.ReadTimeoutError,
        TransportFailure.READ_TIMEOUT,
        "no answer within the read timeout.",
    ),
)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what urllib3 and ssl raise into errors of ours.

    Args:
        url: Where the request goes.

    Raises:
        MsiV2ClientError: ``invalid_request``: its host, or its proxy's, cannot be one.
        TransportError: No answer came back.
    """
    try:
        yield
    except (exceptions.HTTPError, OSError) as exc:
        chain = list(_inside(exc))
        if any(isinstance(inner, _NO_URL) for inner in chain):
            raise not_a_url() from None  # it quotes the URL
        host = urlsplit(url).hostname  # without what may be a password before it
        failure, text = _explain(chain)
        raise TransportError(failure, f"The request to {host} failed: {text}") from exc


def not_a_url() -> MsiV2ClientError:
    """Return the error for a URL whose host or port cannot be one; it does not quote it."""
    return MsiV2ClientError(
        "invalid_request",
        "The host or port of the request's URL, or of its proxy's, cannot be one. Correct it.",
    )


def _explain(chain: list[BaseException]) -> tuple[TransportFailure, str]:
    """Say where a request failed, from an exception and those inside it."""
    refused = _first(ssl.SSLCertVerificationError, chain)
    if refused is not None:
        return TransportFailure.SERVER_CERTIFICATE, (
            f"its TLS certificate was refused ({refused.verify_message}). Trust its CA with "
            "http_client.verify, REQUESTS_CA_BUNDLE or SSL_CERT_FILE, if that is right."
        )
    timed_out = any(type(inner) is exceptions.ConnectTimeoutError for inner in chain)
    if _first(exceptions.ProxyError, chain) is not None and not timed_out:
        return TransportFailure.PROXY, (
            "the proxy refused, or could not be reached. Check its URL, and what it lets through."
        )
    for kind, failure, text in _FAILURES:
        if _first(kind, chain) is not None:
            return failure, text
    error = _first(ssl.SSLError, chain)
    if error is None or isinstance(error, _BROKEN_TLS):  # at any time, the handshake's included
        return TransportFailure.BROKEN, f"the connection broke ({type(chain[-1]).__name__})."
    return TransportFailure.HANDSHAKE, (
        f"TLS failed ({error.reason or error}); the server may have refused the client certificate."
    )


def _first(kind: type[_Exception], chain: list[BaseException]) -> _Exception | None:
    return next((inner for inner in chain if isinstance(inner, kind)), None)


def _inside(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it wraps, outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [exc]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            # Not __context__: that may be an exception which the caller is handling.
            waiting += [*current.args, current.__cause__]
