"""HTTP messages as values, and the reading of JSON that nobody has vouched for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from msal_msi_v2.errors import MsiV2ServiceError, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REQUEST_FAILED = "managed_identity_request_failed"

LONGEST_BODY = 1024 * 1024
"""Bytes of the longest answer that is read; what the services send is far shorter."""


@dataclass(frozen=True)
class Request:
    """A request to send.

    Attributes:
        method: ``GET`` or ``POST``.
        url: Absolute, without a query.
        params: The query, names and values not yet percent-encoded.
        headers: By name.
        body: The text to send, ASCII; it holds secrets, so ``repr`` leaves it out.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    body: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Response:
    """An answer received.

    Attributes:
        status: The HTTP status.
        headers: By lower-case name.
        body: As received; it holds secrets, so ``repr`` leaves it out.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON strictly (RFC 8259: no ``NaN``), without keeping the text in the exception.

    Raises:
        ValueError: It is not JSON. Neither the message nor the exception quotes the text,
            which may hold a token.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        reason = f"not JSON: {exc.msg} at position {exc.pos}"
    except (ValueError, RecursionError) as exc:  # not UTF-8, NaN, a number or a nesting too large
        reason = f"not JSON: {type(exc).__name__}"
    # Outside the handlers: those exceptions carry the whole text, and ours would carry them.
    raise ValueError(reason)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def parse_object(response: Response, what: str, required: tuple[str, ...]) -> dict[str, Any]:
    """Parse an answer's body as a JSON object whose required members are there.

    All that the services name so is ASCII by nature: GUIDs, URLs, base64, JWTs.

    Args:
        response: The answer.
        what: What it is, for the error message.
        required: Names of the members that must be there.

    Raises:
        MsiV2ServiceError: ``managed_identity_request_failed``.
    """
    try:
        payload = parse_json(response.body)
    except ValueError as exc:
        raise MsiV2ServiceError(
            REQUEST_FAILED, f"The {what} is {exc}.", status_code=response.status
        ) from exc
    if not isinstance(payload, dict):
        raise malformed(what, "is not a JSON object", response.status)
    for name in required:
        value = payload.get(name)
        if not isinstance(value, str) or not value.strip() or not value.isascii():
            raise malformed(what, f"lacks {name!r}, a non-empty ASCII string", response.status)
    return payload


def read_body(chunks: Iterable[bytes], who: str, status: int) -> bytes:
    """Gather a body, so that a flood is never held in memory.

    Args:
        chunks: The body as it arrives.
        who: Who sends it, for the error message.
        status: The answer's HTTP status.

    Raises:
        MsiV2ServiceError: ``managed_identity_request_failed``: longer than ``LONGEST_BODY``.
    """
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > LONGEST_BODY:
            raise MsiV2ServiceError(
                REQUEST_FAILED,
                f"{who} answered with more than {LONGEST_BODY} bytes, which is refused.",
                status_code=status,
            )
    return bytes(body)


def malformed(what: str, problem: str, status: int) -> MsiV2ServiceError:
    """Return the error for an answer that arrived but does not follow the protocol."""
    return MsiV2ServiceError(
        REQUEST_FAILED,
        f"The {what} {problem}. The service does not speak the protocol that this version knows.",
        status_code=status,
    )


def describe_failure(response: Response) -> str:
    """Return what an error answer says of itself, safe to show.

    IMDS answers ``{"error": "…", "error_description": "…"}`` or
    ``{"error": {"code": "…", "message": "…"}}``; anything else is quoted as it is.
    """
    try:
        payload = parse_json(response.body)
    except ValueError:
        return quote(response.body[:2000].decode("utf-8", "replace")) or "(no text)"
    if not isinstance(payload, dict):
        return quote(str(payload))
    error = payload.get("error", payload)
    if isinstance(error, dict):
        code, text = error.get("code"), error.get("message")
    else:
        code, text = error, payload.get("error_description")
    return quote(": ".join(str(part) for part in (code, text) if part)) or "(no text)"
