"""Probes: which version of IMDS a host has, and what kind of machine it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import imds
from .messages import Request, Response, parse_object

if TYPE_CHECKING:
    from .identity import Identity

_METADATA_PATH = "/metadata/identity/getplatformmetadata"
_TOKEN_PATH = "/metadata/identity/oauth2/token"  # noqa: S105 - a path
_COMPUTE_PATH = "/metadata/instance/compute"
_MISSING_HEADER = 400
_TRUSTED = {"trustedlaunch", "confidentialvm"}


def build_v2_probe(base: str, identity: Identity) -> Request:
    """Return a request that IMDS v2 refuses, for want of the ``Metadata`` header."""
    return Request("GET", base + _METADATA_PATH, headers={}, params=imds.query(identity))


def build_v1_probe(base: str, identity: Identity) -> Request:
    """Return a request that IMDS v1 refuses, for want of the ``Metadata`` header."""
    params = {"api-version": "2018-02-01", **identity.query}
    return Request("GET", base + _TOKEN_PATH, headers={}, params=params)


def is_there(response: Response) -> bool:
    """Tell whether the service that was probed is there: it says 400, and nothing else does."""
    return response.status == _MISSING_HEADER


def build_compute_request(base: str) -> Request:
    """Return the request for what kind of machine it is."""
    return Request(
        "GET",
        base + _COMPUTE_PATH,
        headers={"Metadata": "true"},
        params={"api-version": "2021-02-01"},
    )


def can_isolate_keys(response: Response) -> bool:
    """Tell whether the compute metadata describe a Windows VM with a virtual TPM.

    Raises:
        MsiV2ServiceError: ``managed_identity_request_failed``.
    """
    imds.check_success(response, "compute metadata request")
    payload = parse_object(response, "compute metadata", ())
    profile = payload.get("securityProfile")
    security_type = profile.get("securityType") if isinstance(profile, dict) else None
    windows = str(payload.get("osType")).lower() == "windows"
    return windows and str(security_type).lower() in _TRUSTED
