r"""The friendly name under which a binding certificate lies in ``CurrentUser\My``.

``MSAL|alias={alias}|ep={endpoint}/{tenant}``: MSAL .NET writes and reads the same
(``MsiCertificateFriendlyNameEncoder``), so that both libraries share certificates.
"""

from __future__ import annotations

from typing import NamedTuple

_PREFIX = "MSAL|"
_ILLEGAL = frozenset("|\r\n\0")


class FriendlyName(NamedTuple):
    """What a friendly name says.

    Attributes:
        alias: Identity and kind, e.g. ``system_assigned_managed_identity#att=1``.
        endpoint: The token service's base URL for mutual TLS, no trailing slash.
        tenant_id: The tenant.
    """

    alias: str
    endpoint: str
    tenant_id: str


def encode(name: FriendlyName) -> str | None:
    """Return the friendly name, or ``None`` where a part is blank or would break the format."""
    parts = [part.strip() for part in name]
    if not all(parts) or any(_ILLEGAL.intersection(part) for part in parts):
        return None
    alias, endpoint, tenant_id = parts
    return f"{_PREFIX}alias={alias}|ep={endpoint.rstrip('/')}/{tenant_id}"


def decode(text: str) -> FriendlyName | None:
    """Return what a friendly name says, or ``None`` if it is not one of these.

    Fields of other names are passed over: later versions may add some.
    """
    if not text.startswith(_PREFIX):
        return None
    pairs = (field.partition("=") for field in text[len(_PREFIX) :].split("|"))
    fields = {name.strip(): value.strip() for name, equals, value in pairs if equals}
    endpoint, slash, tenant_id = fields.get("ep", "").rpartition("/")
    name = FriendlyName(fields.get("alias", ""), endpoint, tenant_id)
    return name if slash and all(name) else None
