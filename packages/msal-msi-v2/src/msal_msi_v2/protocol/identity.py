"""Which managed identity a token is for."""

from __future__ import annotations

from typing import Literal, NamedTuple

Parameter = Literal["client_id", "object_id", "mi_res_id"]


class Identity(NamedTuple):
    """A managed identity as its owner named it.

    Attributes:
        parameter: The query parameter by which IMDS v2 knows a user-assigned identity;
            ``None``: the system-assigned one.
        value: Its value, as the caller gave it.
    """

    parameter: Parameter | None = None
    value: str = ""

    @property
    def alias(self) -> str:
        """The name under which certificates of this identity are kept, as in MSAL .NET."""
        return self.value if self.parameter else "system_assigned_managed_identity"

    @property
    def query(self) -> dict[str, str]:
        """The query parameter that names it, empty for the system-assigned identity."""
        return {self.parameter: self.value} if self.parameter else {}
