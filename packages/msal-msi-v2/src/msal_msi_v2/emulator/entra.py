"""Errors as Entra's token service words them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .clock import utc
from .guids import is_guid, new_guid

if TYPE_CHECKING:
    from collections.abc import Sequence


def entra_error(
    error: str,
    description: str,
    *,
    codes: Sequence[int],
    correlation_id: str | None,
    now: float,
) -> dict[str, Any]:
    """Return the body of an error answer.

    Args:
        error: The OAuth error code.
        description: What happened, without the codes and ids that this function adds.
        codes: AADSTS codes; none: the description names none, and ``error_codes`` is absent.
        correlation_id: What the client sent as ``client-request-id``; not a GUID: one is made.
        now: The services' time, in seconds since the epoch.
    """
    trace_id = new_guid()
    correlation_id = correlation_id if is_guid(correlation_id) else new_guid()
    timestamp = f"{utc(now):%Y-%m-%d %H:%M:%S}Z"
    prefix = f"AADSTS{codes[0]}: " if codes else ""
    content: dict[str, Any] = {
        "error": error,
        "error_description": f"{prefix}{description} Trace ID: {trace_id} "
        f"Correlation ID: {correlation_id} Timestamp: {timestamp}",
        "timestamp": timestamp,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
    }
    if codes:
        content["error_codes"] = list(codes)
        content["error_uri"] = f"https://login.microsoftonline.com/error?code={codes[0]}"
    return content
