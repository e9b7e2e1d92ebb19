"""Sends again what is worth it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .errors import TransportError, TransportFailure
from .protocol.retry import TIMEOUT, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Clock
    from .protocol.messages import Response

logger = logging.getLogger("msal_msi_v2")

_TIMEOUTS = {TransportFailure.CONNECT_TIMEOUT, TransportFailure.READ_TIMEOUT}


def send_with_retries(send: Callable[[], Response], policy: RetryPolicy, clock: Clock) -> Response:
    """Send, and send again as the policy says.

    Args:
        send: Sends one request, the same at every call.
        policy: When to send again.
        clock: Waits.

    Returns:
        The first answer that is not to be retried, or the last one.

    Raises:
        TransportError: The last try brought no answer, or one whose kind is not retried.
    """
    failures: list[int] = []
    while True:
        try:
            response = send()
        except TransportError as exc:
            if exc.failure not in _TIMEOUTS:
                raise
            failures.append(TIMEOUT)
            delay = policy.delay(failures)
            if delay is None:
                raise
        else:
            if not policy.covers(response.status):
                return response
            failures.append(response.status)
            delay = policy.delay(failures, retry_after="retry-after" in response.headers)
            if delay is None:
                return response
        logger.info("%s; trying again in %g s", _describe(failures[-1]), delay)
        clock.sleep(delay)


def _describe(failure: int) -> str:
    return "timeout" if failure == TIMEOUT else f"HTTP {failure}"
