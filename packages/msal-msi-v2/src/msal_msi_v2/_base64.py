"""Unpadded base64url (RFC 7515 §2), which the standard library only has padded."""

from __future__ import annotations

import base64
import binascii


def b64url_encode(data: bytes) -> str:
    """Encode bytes as base64url, unpadded."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str) -> bytes:
    """Decode base64url, unpadded.

    Raises:
        ValueError: The text holds anything but the alphabet, or has an impossible length.
    """
    standard = text.translate({ord("-"): "+", ord("_"): "/", ord("+"): "!", ord("/"): "!"})
    try:
        return base64.b64decode(standard + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc
