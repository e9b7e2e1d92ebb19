"""Where below HTTP a request failed that was sent with ``requests``."""

from __future__ import annotations

import requests
from urllib3.exceptions import ReadTimeoutError

from msal_msi_v2.errors import TransportError, TransportFailure


def failure_of(exc: OSError) -> TransportFailure:
    """Return where a request failed.

    Args:
        exc: What ``requests`` raised, or another client of its shape.
    """
    inner = exc.args[0] if exc.args else None
    if isinstance(inner, TransportError):  # out of an adapter of ours, which knows better
        return inner.failure
    if isinstance(exc, requests.exceptions.SSLError):
        return TransportFailure.SERVER_CERTIFICATE
    if isinstance(exc, requests.exceptions.ConnectTimeout):
        return TransportFailure.CONNECT_TIMEOUT
    if isinstance(exc, requests.exceptions.Timeout | TimeoutError):
        return TransportFailure.READ_TIMEOUT
    if isinstance(exc, requests.exceptions.ConnectionError):
        # requests calls a read timeout within the body a connection error
        late = any(_is_late(arg) for arg in exc.args)
        return TransportFailure.READ_TIMEOUT if late else TransportFailure.CONNECT
    if isinstance(exc, requests.exceptions.RequestException):
        return TransportFailure.BROKEN
    return TransportFailure.CONNECT


def _is_late(inner: object) -> bool:
    """Tell whether what requests wrapped is a read timeout, perhaps after urllib3's own retries."""
    reason = getattr(inner, "reason", None)
    return isinstance(inner, ReadTimeoutError) or isinstance(reason, ReadTimeoutError)
