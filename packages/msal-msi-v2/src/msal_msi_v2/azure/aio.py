"""``MsiV2Credential`` for the asynchronous clients of the Azure SDK (asyncio)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AsyncioRequestsTransport

from .handout import Handout
from .presenting import make_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
    from typing_extensions import Self

    from msal_msi_v2.client import ManagedIdentityClient
    from msal_msi_v2.strength import MtlsBindingStrength

__all__ = ["MsiV2Credential"]


class MsiV2Credential:
    """An ``AsyncTokenCredential`` (and ``AsyncSupportsTokenInfo``) of bound tokens.

    As ``msal_msi_v2.azure.MsiV2Credential``; tokens are acquired, and requests sent, in threads,
    so that the event loop is never blocked.
    """

    def __init__(
        self,
        managed_identity: Mapping[str, Any] | None = None,
        *,
        client: ManagedIdentityClient | None = None,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
    ) -> None:
        """Choose the identity; see ``msal_msi_v2.azure.MsiV2Credential``."""
        self._handout = Handout(
            managed_identity,
            client,
            with_attestation_support=with_attestation_support,
            min_strength=min_strength,
        )

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,  # noqa: ARG002 - a managed identity has one, as in azure-identity
        enable_cae: bool = False,
        **_kwargs: Any,
    ) -> AccessToken:
        """Return a bound token; see ``msal_msi_v2.azure.MsiV2Credential.get_token``."""
        options: TokenRequestOptions = {"enable_cae": enable_cae}
        if claims:
            options["claims"] = claims
        info = await self.get_token_info(*scopes, options=options)
        return AccessToken(info.token, info.expires_on)

    async def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a bound token whose ``token_type`` is ``mtls_pop``; otherwise as ``get_token``."""
        return await asyncio.to_thread(self._handout.acquire, scopes, options or {})

    def client_options(self, *, allow_bearer: bool = False) -> dict[str, Any]:
        """Return keyword arguments for an asynchronous client of the Azure SDK.

        See ``msal_msi_v2.azure.MsiV2Credential.client_options``.
        """
        session = make_session(self._handout, allow_bearer=allow_bearer)
        return {"transport": AsyncioRequestsTransport(session=session)}

    async def close(self) -> None:
        """Do nothing: connections belong to the clients, the rest to the process."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()
