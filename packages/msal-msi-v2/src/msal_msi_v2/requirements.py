"""What must hold before anything is sent; every refusal here costs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msal.managed_identity as msal_mi

from .errors import AttestationError, MsiV2ClientError
from .strength import MtlsBindingStrength

if TYPE_CHECKING:
    from .platforms import Attestor, BindingKey, Platform

ENVIRONMENTS = {
    msal_mi.SERVICE_FABRIC: ("service_fabric", "Service Fabric"),
    msal_mi.APP_SERVICE: ("app_service", "App Service"),
    msal_mi.MACHINE_LEARNING: ("machine_learning", "Azure Machine Learning"),
    msal_mi.CLOUD_SHELL: ("cloud_shell", "Cloud Shell"),
    msal_mi.AZURE_ARC: ("azure_arc", "Azure Arc"),
}
"""The environments that are no plain VM: how programs call them, and how people do."""


def check_environment() -> None:
    """Refuse the environments whose managed identity endpoint issues bearer tokens only.

    Raises:
        MsiV2ClientError: ``mtls_pop_not_supported_for_environment``.
    """
    environment = ENVIRONMENTS.get(msal_mi.get_managed_identity_source())
    if environment is not None:
        raise MsiV2ClientError(
            "mtls_pop_not_supported_for_environment",
            f"This process runs in {environment[1]}, which issues bearer tokens only. Bound tokens "
            "need an Azure VM or scale set.",
        )


def require_attestor(platform: Platform) -> Attestor:
    """Return the platform's attestor.

    Raises:
        MsiV2ClientError: ``attestation_package_missing``, ``attestation_package_broken`` or
            ``attestation_not_supported``, as the platform has it.
    """
    if platform.attestor is not None:
        return platform.attestor
    reason = getattr(platform, "attestation_unavailable", None)
    if not isinstance(reason, MsiV2ClientError):
        raise MsiV2ClientError(
            "attestation_not_supported", "The platform that was passed in has no attestor."
        )
    # A new exception: the platform's own is raised to many callers, on many threads.
    raise MsiV2ClientError(reason.error, reason.error_description) from (reason.__cause__ or reason)


def check_strength(key: BindingKey, floor: MtlsBindingStrength | None, *, attested: bool) -> None:
    """Refuse a key that is weaker than the caller accepts.

    Raises:
        MsiV2ClientError: ``mtls_pop_requires_keyguard`` or ``min_strength_not_met``.
    """
    if key.strength >= MtlsBindingStrength.KEYGUARD:
        return
    reasons = " ".join(key.unavailable) or "The platform gives no reason."
    if attested:
        raise MsiV2ClientError(
            "mtls_pop_requires_keyguard",
            f"Only a KeyGuard key can be attested, and the strongest key of this host is "
            f"{key.strength.name}. {reasons}",
        )
    if floor is None:
        raise MsiV2ClientError(
            "mtls_pop_requires_keyguard",
            f"A bound token needs a KeyGuard key, and the strongest key of this host is "
            f"{key.strength.name}. {reasons} To accept a software key all the same, pass "
            "min_strength=MtlsBindingStrength.SOFTWARE (on the command line: --min-strength "
            "software).",
        )
    if key.strength < floor:
        raise MsiV2ClientError(
            "min_strength_not_met",
            f"min_strength is {floor.name}, and the strongest key of this host is "
            f"{key.strength.name}. {reasons}",
        )


def check_evidence(evidence: object) -> str:
    """Refuse an attestor that returned nothing; an unattested request is never sent instead.

    Raises:
        AttestationError: ``attestation_failed``.
    """
    if not isinstance(evidence, str) or not evidence.strip():
        raise AttestationError(
            "attestation_failed", "The attestor returned no attestation token, and no error."
        )
    return evidence
