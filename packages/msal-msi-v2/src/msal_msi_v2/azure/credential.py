"""``MsiV2Credential``: bound tokens for the clients of the Azure SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken

from .handout import Handout
from .presenting import make_session
from .transports import BoundTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions
    from typing_extensions import Self

    from msal_msi_v2.client import ManagedIdentityClient
    from msal_msi_v2.strength import MtlsBindingStrength


class MsiV2Credential:
    """A ``TokenCredential`` (and ``SupportsTokenInfo``) of tokens bound to a key of this machine.

    A bound token is of use only over TLS with its certificate, which the SDK's own transport
    cannot present. So build clients with ``client_options()``, too::

        credential = MsiV2Credential(with_attestation_support=True)
        client = SecretClient(vault_url, credential, **credential.client_options())
    """

    def __init__(
        self,
        managed_identity: Mapping[str, Any] | None = None,
        *,
        client: ManagedIdentityClient | None = None,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
    ) -> None:
        """Choose the identity.

        Args:
            managed_identity: ``msal.UserAssignedManagedIdentity(…)``; ``None``: the
                system-assigned one.
            client: A client to acquire with, in place of one made here.
            with_attestation_support: Have Azure attest the key; needs ``msal-key-attestation``.
            min_strength: The weakest binding to accept; ``None``: KeyGuard.

        Raises:
            MsiV2ClientError: ``invalid_request``: both an identity and a client are given.
        """
        self._handout = Handout(
            managed_identity,
            client,
            with_attestation_support=with_attestation_support,
            min_strength=min_strength,
        )

    def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,  # noqa: ARG002 - a managed identity has one, as in azure-identity
        enable_cae: bool = False,
        **_kwargs: Any,
    ) -> AccessToken:
        """Return a bound token; see ``azure.core.credentials.TokenCredential``.

        Args:
            scopes: One scope, e.g. ``https://vault.azure.net/.default``.
            claims: JSON text of the claims that a resource asked for.
            tenant_id: Without effect: a managed identity has one tenant.
            enable_cae: Whether the caller can answer claims challenges.

        Raises:
            azure.identity.CredentialUnavailableError: This host has no bound tokens.
            azure.core.exceptions.ClientAuthenticationError: None could be had. Both have an
                ``MsiV2Error`` as their cause.
        """
        options: TokenRequestOptions = {"enable_cae": enable_cae}
        if claims:
            options["claims"] = claims
        info = self._handout.acquire(scopes, options)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(
        self, *scopes: str, options: TokenRequestOptions | None = None
    ) -> AccessTokenInfo:
        """Return a bound token whose ``token_type`` is ``mtls_pop``; otherwise as ``get_token``."""
        return self._handout.acquire(scopes, options or {})

    def client_options(self, *, allow_bearer: bool = False) -> dict[str, Any]:
        """Return keyword arguments for a client of the Azure SDK: the transport that it needs.

        The transport sends each request over TLS with the certificate that its token is bound to,
        as ``mtls_pop`` and with ``x-ms-tokenboundauth: true``. A request without a token, as Key
        Vault wants the first one, goes without a certificate. Call this for each client: a client
        closes its transport.

        Args:
            allow_bearer: Whether tokens of other credentials, as in a ``ChainedTokenCredential``,
                may go out as bearer tokens, without a certificate; otherwise they are refused.
        """
        session = make_session(self._handout, allow_bearer=allow_bearer)
        return {"transport": BoundTransport(session=session)}

    def close(self) -> None:
        """Do nothing: connections belong to the clients, the rest to the process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
