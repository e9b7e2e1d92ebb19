"""When a failed request is sent again, as data: nothing here waits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

TIMEOUT = 0
"""Stands for a timeout among the HTTP statuses."""

_GONE = 410
_SERVER_ERRORS = range(500, 600)
_GONE_DELAY = 10.0
_LONGEST_IMDS_DELAY = 4.0
DEFAULT_THROTTLE = 60.0
LONGEST_THROTTLE = 3600.0


@dataclass(frozen=True)
class RetryPolicy:
    """How one leg is retried.

    Attributes:
        statuses: What is retried besides 5xx and timeouts.
        retries: How often.
        retries_when_gone: How often, if the first failure is a 410.
        longest_delay: Seconds; delays double from one second up to this.
        heeds_retry_after: Whether an answer that names its own delay is left to the throttle.
    """

    statuses: frozenset[int]
    retries: int
    retries_when_gone: int
    longest_delay: float = _LONGEST_IMDS_DELAY
    heeds_retry_after: bool = False

    def delay(self, failures: Sequence[int], *, retry_after: bool = False) -> float | None:
        """Return how many seconds to wait before the next try; ``None``: give up.

        Args:
            failures: The statuses of all tries so far, each a failure; ``TIMEOUT`` for one.
            retry_after: Whether the last answer carries ``Retry-After``.
        """
        # The first failure fixes the count: IMDS says 410 while it is being updated (a minute).
        most = self.retries_when_gone if failures[0] == _GONE else self.retries
        if len(failures) > most or not self.covers(failures[-1]):
            return None
        if retry_after and self.heeds_retry_after:
            return None
        if failures[-1] == _GONE:
            return _GONE_DELAY
        return min(2.0 ** (len(failures) - 1), self.longest_delay)

    def covers(self, status: int) -> bool:
        """Tell whether a status is retried at all."""
        return status == TIMEOUT or status in self.statuses or status in _SERVER_ERRORS


IMDS = RetryPolicy(frozenset({404, 408, _GONE, 429}), retries=3, retries_when_gone=7)
IMDS_PROBE = RetryPolicy(frozenset({408, _GONE, 429}), retries=3, retries_when_gone=7)
TOKEN = RetryPolicy(frozenset(), retries=1, retries_when_gone=1, heeds_retry_after=True)


def throttle_seconds(status: int | None, retry_after: str | None, now: datetime) -> float:
    """Return for how many seconds a token endpoint's refusal stands; 0: not at all.

    Args:
        status: The HTTP status.
        retry_after: The ``Retry-After`` header, seconds or a date (RFC 9110 §10.2.3).
        now: The time, an aware datetime.
    """
    if status is None or (status != 429 and status not in _SERVER_ERRORS):  # noqa: PLR2004 - HTTP's own number
        return 0.0
    seconds = DEFAULT_THROTTLE if retry_after is None else parse_retry_after(retry_after, now)
    return min(max(seconds, 0.0), LONGEST_THROTTLE)


def parse_retry_after(text: str, now: datetime) -> float:
    """Return the seconds that a ``Retry-After`` header names (RFC 9110 §10.2.3).

    Args:
        text: Its value: seconds or a date; ``DEFAULT_THROTTLE`` stands for anything else.
        now: The time, an aware datetime.
    """
    if re.fullmatch(r"-?[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        return (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError):  # no date, or one without a zone
        return DEFAULT_THROTTLE
