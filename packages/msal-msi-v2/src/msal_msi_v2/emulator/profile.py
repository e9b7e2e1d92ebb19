"""What the emulated host is: its identities, and what IMDS says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TENANT_ID = "6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b"
OTHER_TENANT_ID = "8c2e4f6a-1b3d-4d5f-9a7c-0e1b2d3c4f5a"
"""A tenant in which multi-tenant applications are known, too."""
VM_ID = "b5a9d8c7-6e5f-4a3b-9c2d-1e0f1a2b3c4d"

# A query parameter that names an identity, and the attribute of Identity that it is about.
_SELECTORS = {
    "client_id": "client_id",
    "object_id": "object_id",
    "mi_res_id": "resource_id",
    "msi_res_id": "resource_id",
}


@dataclass(frozen=True)
class Identity:
    """A managed identity of the host.

    Attributes:
        client_id: The application's client id, a GUID.
        object_id: The service principal's object id, a GUID.
        resource_id: The Azure resource id of a user-assigned identity; ``None``: the identity
            is system-assigned.
    """

    client_id: str
    object_id: str
    resource_id: str | None = None

    @property
    def kind(self) -> str:
        """``"SystemAssigned"`` or ``"UserAssigned"``, as IMDS writes it."""
        return "SystemAssigned" if self.resource_id is None else "UserAssigned"


DEFAULT_IDENTITIES = (
    Identity("3c6e0b8a-9c15-4f2a-8d7e-5b4a39281706", "d1b2c3a4-5e6f-4708-9a1b-2c3d4e5f6071"),
    Identity(
        "a7f4e2d1-0b9c-4d8e-8f70-61524334251a",
        "0e1d2c3b-4a5f-4e6d-9c7b-8a9f0e1d2c3b",
        "/subscriptions/5e4d3c2b-1a09-4f8e-8d7c-6b5a49382716/resourceGroups/emulated"
        "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/emulated-identity",
    ),
)


@dataclass
class HostProfile:
    """The host that IMDS speaks for.

    Attributes:
        imds_version: 2, or 1 for a host whose IMDS has no v2 endpoints.
        tenant_id: The tenant of all its identities, a GUID.
        identities: Its managed identities.
        vm_id: The virtual machine's id; ``None``: metadata does not name one.
        vmss_id: The scale set's id; ``None``: not part of one.
        security_type: ``TrustedLaunch``, ``ConfidentialVM`` or empty.
        os_type: ``Windows`` or ``Linux``.
        attestation_endpoint: The attestation URL that platform metadata names.
    """

    imds_version: int
    tenant_id: str
    identities: Sequence[Identity]
    vm_id: str | None
    vmss_id: str | None
    security_type: str
    os_type: str
    attestation_endpoint: str = ""

    @property
    def tenants(self) -> tuple[str, ...]:
        """Where applications sign in: the host's own tenant, and another."""
        return (self.tenant_id, OTHER_TENANT_ID)

    @property
    def cu_id(self) -> dict[str, str]:
        """The compute-unit id as metadata tells it; members in the order of the CSR attribute."""
        members = {"vmId": self.vm_id, "vmssId": self.vmss_id}
        return {name: value for name, value in members.items() if value is not None}

    def find_identity(self, selector: Mapping[str, str]) -> Identity | None:
        """Return the identity that a query names, or ``None`` if the host has no such identity.

        Args:
            selector: At most one identity parameter and its value; none: the system-assigned one.
        """
        if not selector:
            return next((one for one in self.identities if one.resource_id is None), None)
        ((parameter, value),) = selector.items()
        attribute = _SELECTORS[parameter]
        return next(
            (
                one
                for one in self.identities
                if (getattr(one, attribute) or "").lower() == value.lower()
            ),
            None,
        )
