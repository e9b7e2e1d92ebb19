"""The log of an acquisition: one line a step, for operators and for the demo."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import MsiV2Error

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("msal_msi_v2")

STEPS = (
    "binding key",
    "platform metadata",
    "certificate request",
    "attestation",
    "certificate",
    "binding",
    "token",
)


class Step:
    """One step under way.

    Attributes:
        outcome: What it yielded, for the log; never a secret.
    """

    def __init__(self) -> None:
        self.outcome = ""


@contextmanager
def step(name: str, correlation_id: str) -> Iterator[Step]:
    """Log a step when it ends: what it yielded, or the code of the error that it ended in.

    Each record also carries ``step`` (its name), ``outcome``, ``duration`` (seconds) and
    ``correlation_id`` as attributes, for handlers that do not want to parse text.

    Args:
        name: One of ``STEPS``.
        correlation_id: The GUID of the acquisition.
    """
    current = Step()
    started = time.perf_counter()
    try:
        yield current
    except MsiV2Error as exc:
        current.outcome = f"failed: {exc.error}"
        raise
    finally:
        duration = time.perf_counter() - started
        logger.debug("%s took %.0f ms [%s]", name, duration * 1000, correlation_id)
        logger.info(
            "step %d/%d, %s: %s [%s]",
            STEPS.index(name) + 1,
            len(STEPS),
            name,
            current.outcome or "failed",
            correlation_id,
            extra={
                "step": name,
                "outcome": current.outcome,
                "duration": duration,
                "correlation_id": correlation_id,
            },
        )
