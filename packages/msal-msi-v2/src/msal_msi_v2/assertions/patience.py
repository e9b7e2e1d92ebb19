"""How often a vault is asked again, after what, and for how long in all."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from msal_msi_v2.errors import TransportError
from msal_msi_v2.protocol.retry import parse_retry_after

from .refusals import SERVER_ERRORS, THROTTLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2.clock import Clock
    from msal_msi_v2.protocol.messages import Response

logger = logging.getLogger("msal_msi_v2")

RETRIES = 3
LONGEST_WAIT = 30.0
"""Seconds that one call waits in all; a vault that asks for more is left to the caller."""


class Patience:
    """Asks a vault again, within what is left of one call's ``LONGEST_WAIT``."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock that waits."""
        self._clock = clock
        self._left = LONGEST_WAIT

    def send(self, send: Callable[[], Response | TransportError], retries: int) -> Response:
        """Send, and send again where that is worth it: reading and signing may be repeated.

        Args:
            send: Sends the request, and returns why no answer came, if none did: so what a
                credential raises, which was retried where that is worth it, passes.
            retries: How often to send again.

        Returns:
            The first answer that is not to be retried, or the last one.

        Raises:
            TransportError: The last try brought no answer.
        """
        for failures in range(retries + 1):
            answer = send()
            delay = self._delay(answer, failures)
            if delay is None or failures == retries or delay > self._left:
                break
            logger.info("Key Vault: %s; trying again in %g s", _describe(answer), delay)
            self._left -= delay
            self._clock.sleep(delay)
        if isinstance(answer, TransportError):
            raise answer
        return answer

    def _delay(self, answer: Response | TransportError, failures: int) -> float | None:
        """Return how many seconds to wait before the next try; ``None``: there is none."""
        if isinstance(answer, TransportError):
            return 2.0**failures if answer.is_retryable else None
        if answer.status != THROTTLED and answer.status not in SERVER_ERRORS:
            return None
        asked = answer.headers.get("retry-after")
        if asked is None:
            return 2.0**failures
        now = datetime.fromtimestamp(self._clock.now(), timezone.utc)
        return max(parse_retry_after(asked, now), 0.0)


def _describe(answer: Response | TransportError) -> str:
    return answer.error if isinstance(answer, TransportError) else f"HTTP {answer.status}"
