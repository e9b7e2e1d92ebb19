"""GUIDs, as requests and their answers are named by them."""

from __future__ import annotations

import uuid


def is_guid(text: str | None) -> bool:
    """Say whether a text is a GUID in its usual form, with hyphens."""
    try:
        return text is not None and str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def new_guid() -> str:
    """Return a random GUID."""
    return str(uuid.uuid4())
