"""``MsiV2Credential`` for the asynchronous clients of the Azure SDK (asyncio)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AsyncioRequestsTransport

from .handout import Handout
from .presenting import make_session
from .threads import Threads
from .transports import keep_tokens_here, note_redirect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import requests
    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
    from typing_extensions import Self

    from msal_msi_v2.client import ManagedIdentityClient
    from msal_msi_v2.strength import MtlsBindingStrength

__all__ = ["MsiV2Credential"]


class MsiV2Credential:
    """An ``AsyncTokenCredential`` (and ``AsyncSupportsTokenInfo``) of bound tokens.

    As ``msal_msi_v2.azure.MsiV2Credential``; tokens are acquired, and requests sent, in threads of
    the credential's and of each client's own, at most 64 at a time, so that neither the event loop
    nor its other threads are held up.
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
        self._threads = Threads()

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
        return await self._threads.run(partial(self._handout.acquire, scopes, options or {}))

    def client_options(self, *, allow_bearer: bool = False) -> dict[str, Any]:
        """Return keyword arguments for an asynchronous client of the Azure SDK.

        See ``msal_msi_v2.azure.MsiV2Credential.client_options``.
        """
        session = make_session(self._handout, allow_bearer=allow_bearer)
        return {"transport": _Transport(session)}

    async def close(self) -> None:
        """End the credential's threads; connections belong to the clients."""
        self._threads.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


class _Transport(AsyncioRequestsTransport):  # type: ignore[misc]  # which azure-core loads lazily
    """As ``BoundTransport``, in threads of its own.

    The SDK's transport has each request sent by what its argument ``loop`` makes of it, and hands
    that argument on to the session. A body that is streamed it reads in the event loop's threads.
    """

    def __init__(self, session: requests.Session) -> None:
        super().__init__(session=session)
        self._threads = Threads()

    async def send(self, request: Any, **kwargs: Any) -> Any:
        """Send a request; see ``AsyncioRequestsTransport.send``."""
        keep_tokens_here(request)
        response = await super().send(request, loop=self, **kwargs)
        note_redirect(request, response)
        return response

    def run_in_executor(self, _executor: None, work: Callable[[], Any]) -> Awaitable[Any]:
        """Have a thread of this transport's own do the work, in place of the event loop's."""
        return self._threads.run(work)

    def close(self) -> None:
        """Close the connections, and end the threads."""
        super().close()
        self._threads.close()
