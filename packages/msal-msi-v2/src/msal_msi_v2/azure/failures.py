"""Our errors as the Azure SDK's own, so that credential chains and retry policies know them."""

from __future__ import annotations

from azure.core.exceptions import ClientAuthenticationError

from msal_msi_v2.errors import MsiV2ClientError, MsiV2Error

_CALLERS_FAULT = {"invalid_request", "invalid_json_claims_format"}


def as_azure_error(error: MsiV2Error, *, no_imds: bool = False) -> ClientAuthenticationError:
    """Return what to raise from an error.

    Where this host cannot serve bound tokens at all, that is azure-identity's
    ``CredentialUnavailableError``, upon which a ``ChainedTokenCredential`` tries the next one.

    Args:
        error: The error.
        no_imds: Whether it came about for want of an IMDS.
    """
    cannot = isinstance(error, MsiV2ClientError) and error.error not in _CALLERS_FAULT
    kind = _unavailable() if no_imds or cannot else ClientAuthenticationError
    return kind(message=f"MsiV2Credential: {error}")


def _unavailable() -> type[ClientAuthenticationError]:
    try:
        from azure.identity import CredentialUnavailableError  # noqa: PLC0415 - if it is there
    except ImportError:
        return ClientAuthenticationError  # its base; without azure-identity there is no chain
    return CredentialUnavailableError
