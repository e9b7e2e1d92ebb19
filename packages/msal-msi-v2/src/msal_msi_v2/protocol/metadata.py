"""``getplatformmetadata``: who this machine is, and where its keys are attested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msal_msi_v2.errors import MsiV2ClientError, MsiV2ServiceError

from . import imds
from .messages import REQUEST_FAILED, Request, Response, malformed, parse_object

if TYPE_CHECKING:
    from .identity import Identity

_PATH = "/metadata/identity/getplatformmetadata"
_WHAT = "platform metadata"
_NOT_FOUND = 404


@dataclass(frozen=True)
class ComputeUnit:
    """The machine that a certificate is issued for; at least one id is there.

    Attributes:
        vm_id: The VM's id, a GUID.
        vmss_id: The scale set's id, a GUID.
    """

    vm_id: str | None = None
    vmss_id: str | None = None


@dataclass(frozen=True)
class PlatformMetadata:
    """What IMDS says of this machine and the identity asked for.

    Attributes:
        client_id: The identity's client id, a GUID.
        tenant_id: Its tenant, a GUID.
        compute_unit: The machine.
        attestation_endpoint: The URL of the attestation service to use.
    """

    client_id: str
    tenant_id: str
    compute_unit: ComputeUnit
    attestation_endpoint: str


def build_request(base: str, identity: Identity, correlation_id: str) -> Request:
    """Return the request for an identity's platform metadata."""
    return Request(
        "GET", base + _PATH, headers=imds.headers(correlation_id), params=imds.query(identity)
    )


def parse_response(response: Response) -> PlatformMetadata:
    """Read the answer.

    Raises:
        MsiV2ClientError: ``mtls_pop_token_not_supported_in_imds_v1``: the host has no IMDS v2.
        MsiV2ServiceError: ``managed_identity_request_failed``.
    """
    if response.status == _NOT_FOUND:
        raise MsiV2ClientError(
            "mtls_pop_token_not_supported_in_imds_v1",
            "This host's instance metadata service (IMDS) is version 1: it has no "
            "getplatformmetadata, and issues bearer tokens only. Bound tokens need a VM with "
            "IMDS v2; nothing is downgraded to a bearer token unasked.",
            status_code=response.status,
        )
    imds.check_success(response, _WHAT)
    server = response.headers.get("server", "")
    if "imds" not in server.lower():
        raise MsiV2ServiceError(
            REQUEST_FAILED,
            "The platform metadata did not come from IMDS: the answer's Server header does not "
            "say so. A proxy may sit in between; IMDS must be reached directly.",
            status_code=response.status,
        )
    payload = parse_object(response, _WHAT, ("clientId", "tenantId", "attestationEndpoint"))
    return PlatformMetadata(
        client_id=payload["clientId"],
        tenant_id=payload["tenantId"],
        compute_unit=_parse_compute_unit(payload.get("cuId"), response.status),
        attestation_endpoint=payload["attestationEndpoint"],
    )


def _parse_compute_unit(cu_id: Any, status: int) -> ComputeUnit:
    if not isinstance(cu_id, dict):
        raise malformed(_WHAT, "lacks 'cuId', an object", status)
    members = {name: cu_id.get(name) or None for name in ("vmId", "vmssId")}
    if not all(isinstance(value, str | None) for value in members.values()):
        raise malformed(_WHAT, "has a 'cuId' whose members are not strings", status)
    if not any(members.values()):
        raise malformed(_WHAT, "has a 'cuId' with neither 'vmId' nor 'vmssId'", status)
    return ComputeUnit(vm_id=members["vmId"], vmss_id=members["vmssId"])
