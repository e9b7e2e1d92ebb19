"""The ``claims`` parameter: a claims challenge and the client's capabilities, as one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from msal_msi_v2.errors import MsiV2ClientError

from .messages import parse_json

if TYPE_CHECKING:
    from collections.abc import Sequence


def merge_claims(challenge: str | None, capabilities: Sequence[str] | None) -> str | None:
    """Merge capabilities, as ``{"access_token": {"xms_cc": {"values": […]}}}``, into claims.

    Args:
        challenge: The caller's claims, JSON text of an object.
        capabilities: The client's capabilities, e.g. ``["CP1"]``.

    Returns:
        JSON text to send; ``None`` where there is nothing to send.

    Raises:
        MsiV2ClientError: ``invalid_json_claims_format``.
    """
    if not challenge and not capabilities:
        return None
    claims = _parse(challenge) if challenge else {}
    if not capabilities:
        return challenge
    values = {"access_token": {"xms_cc": {"values": list(capabilities)}}}
    return json.dumps(_merge(claims, values), separators=(",", ":"))


def _parse(challenge: str) -> dict[str, Any]:
    try:
        challenge.encode("utf-8")  # half a surrogate pair could not be sent
        claims = parse_json(challenge)
    except (ValueError, TypeError, AttributeError) as exc:
        raise _invalid(str(exc)) from exc
    if not isinstance(claims, dict):
        raise _invalid("not a JSON object")
    return claims


def _merge(base: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in extra.items():
        present = merged.get(name)
        if not isinstance(value, dict) or present is None:
            merged[name] = value
        elif isinstance(present, dict):
            merged[name] = _merge(present, value)
        else:
            raise _invalid(f"its member {name!r} is not an object")
    return merged


def _invalid(problem: str) -> MsiV2ClientError:
    return MsiV2ClientError(
        "invalid_json_claims_format",
        f"claims_challenge must be the JSON text of an object: {problem}. Pass the challenge "
        "as the resource sent it, base64-decoded.",
    )
