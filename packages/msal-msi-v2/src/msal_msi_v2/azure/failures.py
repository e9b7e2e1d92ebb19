"""Our errors as the Azure SDK's own, so that credential chains and retry policies know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.core.exceptions import ClientAuthenticationError

from msal_msi_v2.errors import MsiV2ClientError, MsiV2Error, TransportError

if TYPE_CHECKING:
    from msal_msi_v2.client import ManagedIdentityClient

_CALLERS_FAULT = {"invalid_request", "invalid_json_claims_format"}


def as_azure_error(error: MsiV2Error, client: ManagedIdentityClient) -> ClientAuthenticationError:
    """Return what to raise from an error.

    Where this host cannot serve bound tokens at all, that is azure-identity's
    ``CredentialUnavailableError``, upon which a ``ChainedTokenCredential`` tries the next one.
    """
    message = f"MsiV2Credential: {error}"
    if _is_unavailable(error, client):
        return _unavailable()(message=message)
    return ClientAuthenticationError(message=message)


def _is_unavailable(error: MsiV2Error, client: ManagedIdentityClient) -> bool:
    if isinstance(error, MsiV2ClientError):
        return error.error not in _CALLERS_FAULT
    if isinstance(error, TransportError):  # is it this once, or is there no IMDS here?
        return not client.get_capabilities().is_mtls_pop_supported_by_host
    return False


def _unavailable() -> type[ClientAuthenticationError]:
    try:
        from azure.identity import CredentialUnavailableError  # noqa: PLC0415 - if it is there
    except ImportError:
        return ClientAuthenticationError  # its base; without azure-identity there is no chain
    return CredentialUnavailableError
