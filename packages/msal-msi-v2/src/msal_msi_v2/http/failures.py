"""Where below HTTP a request failed that was sent with ``requests``."""

from __future__ import annotations

import requests
from urllib3.exceptions import ReadTimeoutError

from msal_msi_v2.errors import TransportError, TransportFailure

_FAILURES: tuple[tuple[type[OSError], TransportFailure], ...] = (
    (requests.exceptions.SSLError, TransportFailure.SERVER_CERTIFICATE),  # a ConnectionError too
    (requests.exceptions.ProxyError, TransportFailure.PROXY),  # likewise
    (requests.ConnectTimeout, TransportFailure.CONNECT_TIMEOUT),  # likewise
    (requests.Timeout, TransportFailure.READ_TIMEOUT),
    (requests.ConnectionError, TransportFailure.CONNECT),
    (requests.RequestException, TransportFailure.BROKEN),
    (TimeoutError, TransportFailure.READ_TIMEOUT),  # of a client that is not requests'
)
_OTHER = TransportFailure.CONNECT


def failure_of(exc: OSError) -> TransportFailure:
    """Return where a request failed.

    Args:
        exc: What ``requests`` raised, or another client of its shape.
    """
    if isinstance(exc.__cause__, TransportError):  # out of an adapter of ours, which knows better
        return exc.__cause__.failure
    # requests calls a read timeout within the body a connection error
    if isinstance(exc, requests.ConnectionError) and any(_is_late(arg) for arg in exc.args):
        return TransportFailure.READ_TIMEOUT
    return next((found for kind, found in _FAILURES if isinstance(exc, kind)), _OTHER)


def _is_late(inner: object) -> bool:
    """Tell whether what requests wrapped is a read timeout, perhaps after urllib3's own retries."""
    reason = getattr(inner, "reason", None)
    return isinstance(inner, ReadTimeoutError) or isinstance(reason, ReadTimeoutError)
