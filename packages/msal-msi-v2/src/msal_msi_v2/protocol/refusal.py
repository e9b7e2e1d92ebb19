"""What a resource's 401 asks for, if anything could mend it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from .messages import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable

STALE_BINDING = b"MtlsCnfClaimRequestDataValidationFailed"
"""What a resource says when the connection's certificate is not the one that the token names."""

# A name begins where no letter goes before: else a long word is tried from each letter of it.
_PARAMETER = re.compile(r'(?<![A-Za-z_])([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


def challenged_claims(challenges: Iterable[str]) -> str | None:
    """Return the claims that a resource wants to see in a new token.

    Args:
        challenges: The values of ``WWW-Authenticate``. Their ``claims`` are base64 or base64url of
            a JSON object (Continuous Access Evaluation).

    Returns:
        JSON text; ``None`` where there is no such challenge, or none that can be read.
    """
    for name, value in _parameters(challenges):
        if name == "claims":
            return _decode(value)
    return None


def is_expired(challenges: Iterable[str]) -> bool:
    """Tell whether a resource has no use for the token any more (RFC 6750 §3.1)."""
    return ("error", "invalid_token") in _parameters(challenges)


def _parameters(challenges: Iterable[str]) -> list[tuple[str, str]]:
    return [
        (name.lower(), quoted or plain)
        for challenge in challenges
        for name, quoted, plain in _PARAMETER.findall(challenge)
    ]


def _decode(value: str) -> str | None:
    try:
        padded = value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4)
        text = base64.b64decode(padded, altchars=b"-_" if set("-_") & set(value) else None)
        claims = parse_json(text)
        return text.decode("utf-8") if isinstance(claims, dict) else None
    except (ValueError, binascii.Error):
        return None
