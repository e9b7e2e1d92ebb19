from __future__ import annotations

from datetime import datetime, timezone

import pytest

from msal_msi_v2.protocol.retry import (
    IMDS,
    IMDS_PROBE,
    TIMEOUT,
    TOKEN,
    RetryPolicy,
    throttle_seconds,
)

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=timezone.utc)


def delays(policy: RetryPolicy, *statuses: int, retry_after: bool = False) -> list[float]:
    """Return the delays between tries that fail so; the last status lasts for ever."""
    waited: list[float] = []
    failures: list[int] = []
    while True:
        failures.append(statuses[min(len(failures), len(statuses) - 1)])
        delay = policy.delay(failures, retry_after=retry_after)
        if delay is None:
            return waited
        waited.append(delay)


@pytest.mark.parametrize(
    ("policy", "statuses", "expected"),
    [
        *((IMDS, [status], [1, 2, 4]) for status in (404, 408, 429, 500, 503, 599, TIMEOUT)),
        *((IMDS, [status], []) for status in (200, 400, 401, 403, 409, 600)),
        (IMDS, [410], [10] * 7),
        (IMDS, [410, 500], [10, 2, 4, 4, 4, 4, 4]),
        (IMDS, [500, 410], [1, 10, 10]),
        (IMDS, [500, 400], [1]),
        (IMDS_PROBE, [404], []),
        (IMDS_PROBE, [503], [1, 2, 4]),
        (IMDS_PROBE, [410], [10] * 7),
        *((TOKEN, [status], [1]) for status in (500, 503, 599, TIMEOUT)),
        *((TOKEN, [status], []) for status in (400, 401, 404, 408, 410, 429)),
    ],
)
def test_delays(policy: RetryPolicy, statuses: list[int], expected: list[float]) -> None:
    assert delays(policy, *statuses) == expected


def test_retry_after_is_ignored_by_imds_and_heeded_by_the_token_leg() -> None:
    assert delays(IMDS, 503, retry_after=True) == [1, 2, 4]
    assert delays(TOKEN, 503, retry_after=True) == []


@pytest.mark.parametrize(
    ("status", "retry_after", "expected"),
    [
        (429, None, 60),
        (500, None, 60),
        (599, None, 60),
        (429, "5", 5),
        (503, "99999", 3600),
        (503, "-5", 0),
        (503, "9" * 400, 60),
        (429, "nonsense", 60),
        (429, "Mon, 01 Jun 2026 12:00:30 GMT", 30),
        (429, "Mon, 01 Jun 2026 12:00:30", 60),
        (429, "Mon, 01 Jun 2025 12:00:30 GMT", 0),
        (400, "5", 0),
        (401, None, 0),
        (None, None, 0),
    ],
)
def test_throttle(status: int | None, retry_after: str | None, expected: float) -> None:
    assert throttle_seconds(status, retry_after, NOW) == expected
