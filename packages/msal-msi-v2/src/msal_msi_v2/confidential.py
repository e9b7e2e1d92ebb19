"""``BoundConfidentialClient``: applications that sign in with a managed identity's bound token."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from . import flow
from .acquisition import Acquisition, acquire_token, ask_with_renewals, carry_out, renew_binding
from .client import ManagedIdentityClient
from .errors import MsiV2ClientError, MsiV2Error
from .protocol import federation, token
from .protocol.claims import merge_claims
from .recovery import renewals_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .binding import Binding
    from .caches import BoundToken, TokenName
    from .flow import Host, TokenRequest
    from .strength import MtlsBindingStrength

_BEARER = "bearer"


class AppTokenName(NamedTuple):
    """What an application's tokens are kept under, among those of the host's identities.

    Attributes:
        assertion: What the managed identity's token, with which it signs in, is kept under.
        endpoint: The token endpoint, which names the tenant.
        client_id: The application.
        scopes: What the token is for.
        token_type: ``mtls_pop`` or ``bearer``.
        capabilities: The client's capabilities.
    """

    assertion: TokenName
    endpoint: str
    client_id: str
    scopes: tuple[str, ...]
    token_type: str
    capabilities: tuple[str, ...]


class BoundConfidentialClient:
    """An application (a confidential client) whose only credential is a managed identity.

    The application trusts the identity through a federated identity credential. Where a plain
    assertion could be stolen and used anywhere, here the assertion itself is a token bound to a key
    of this machine: leg 1 acquires it, and leg 2 shows it over TLS with the same certificate. The
    token that comes of it is a bearer token, or bound to that certificate as well.

    Tokens are kept, renewed, and tried for anew as those of the managed identity client are, and
    shared with all clients of its platform. Safe to use from many threads.
    """

    def __init__(
        self,
        client_id: str,
        *,
        authority: str,
        managed_identity_client: ManagedIdentityClient,
        audience: str = "api://AzureADTokenExchange",
        azure_region: str | None = None,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
        client_capabilities: Sequence[str] | None = None,
    ) -> None:
        """Describe the application.

        Args:
            client_id: The application's client id, a GUID.
            authority: ``https://login.microsoftonline.com/{tenant}``, or a national cloud's.
            managed_identity_client: A client for the identity that the application trusts.
            audience: The federated credential's audience, as of the cloud.
            azure_region: A region whose token endpoint to use; ``None``: the global one.
            with_attestation_support: Have Azure attest the key behind the assertion.
            min_strength: The weakest binding to accept; ``None``: KeyGuard.
            client_capabilities: As in msal, e.g. ``["CP1"]``.

        Raises:
            MsiV2ClientError: ``invalid_request``: an argument is wrong; ``/common`` and
                ``/organizations`` are no authorities to sign in with.
        """
        self._client_id = _check_client_id(client_id)
        self._endpoint = federation.token_endpoint(authority, azure_region)
        self._identity = _check_client(managed_identity_client)
        self._capabilities = (
            _check_texts("client_capabilities", client_capabilities, "CP1")
            if client_capabilities
            else ()
        )
        self._assertion = managed_identity_client.make_request(
            resource=audience,
            with_attestation_support=with_attestation_support,
            min_strength=min_strength,
            correlation_id="",
        )

    def acquire_token_for_client(
        self,
        scopes: Sequence[str],
        *,
        mtls_proof_of_possession: bool = False,
        claims_challenge: str | None = None,
        force_refresh: bool = False,
    ) -> dict[str, Any]:
        """Acquire a token for the application itself.

        Args:
            scopes: What it is for, e.g. ``["https://graph.microsoft.com/.default"]``.
            mtls_proof_of_possession: Whether it, too, shall be bound to the certificate.
            claims_challenge: JSON text of the claims that a resource asked for.
            force_refresh: Do not answer from the cache.

        Returns:
            A dict as in msal: ``access_token``, ``token_type`` (``Bearer`` or ``mtls_pop``),
            ``expires_in`` (seconds), ``token_source`` (``identity_provider`` or ``cache``),
            ``refresh_on`` (Unix seconds, where known), ``correlation_id``, and for a bound token
            ``binding_certificate``.

        Raises:
            MsiV2Error: Either leg failed. A bound token is never answered with a bearer token.
        """
        name = AppTokenName(
            self._identity.host.token_name(self._assertion),
            self._endpoint,
            self._client_id,
            _check_texts("scopes", scopes, "https://graph.microsoft.com/.default"),
            token.TOKEN_TYPE if mtls_proof_of_possession else _BEARER,
            self._capabilities,
        )
        claims = merge_claims(claims_challenge, self._capabilities)
        assertion = replace(self._assertion, correlation_id=str(uuid.uuid4()))
        acquisition = Acquisition(
            name,
            assertion.least_strength,
            (assertion.floor, claims),
            bool(claims_challenge or force_refresh),
            partial(_make, name, claims, assertion, self._identity.host),
        )
        try:
            made, kept = carry_out(acquisition, self._identity.host)
        except MsiV2Error as exc:
            exc.correlation_id = exc.correlation_id or assertion.correlation_id
            raise
        return _result(made, kept, name.token_type, self._identity.host.clock.now())


def _make(
    name: AppTokenName, claims: str | None, assertion: TokenRequest, host: Host
) -> BoundToken:
    """Sign the application in."""
    host.caches.throttle.check(name, host.clock.now())

    def ask(leg1: BoundToken) -> tuple[token.TokenResponse, Binding]:
        message = federation.build_request(
            name.endpoint,
            name.client_id,
            name.scopes,
            leg1.token.access_token,
            assertion.correlation_id,
            bound=name.token_type == token.TOKEN_TYPE,
            claims=claims,
        )
        return flow.exchange_for_token(message, host, leg1.binding, name.token_type), leg1.binding

    def renew(leg1: BoundToken) -> BoundToken:
        renew_binding(assertion, host, leg1.binding, attest_afresh=True)
        return acquire_token(assertion, host)[0]

    return ask_with_renewals(
        name,
        host,
        assertion.correlation_id,
        acquire_token(assertion, host)[0],
        ask=ask,
        renew=renew,
        # That the application, or its trust in the identity, is not there, no certificate mends.
        allowed=partial(renewals_allowed, of_client=0),
    )


def _result(made: BoundToken, kept: bool, token_type: str, now: float) -> dict[str, Any]:
    bound = token_type == token.TOKEN_TYPE
    result: dict[str, Any] = {
        "access_token": made.token.access_token,
        "token_type": token.TOKEN_TYPE if bound else "Bearer",
        "expires_in": int(made.expires_at - now) if kept else made.token.expires_in,
        "token_source": "cache" if kept else "identity_provider",
        "correlation_id": made.correlation_id,
    }
    if made.refresh_at is not None:
        result["refresh_on"] = int(made.refresh_at)
    if bound:
        result["binding_certificate"] = made.binding.certificate
    return result


def _check_client_id(client_id: Any) -> str:
    if isinstance(client_id, str) and client_id.strip():
        return client_id
    raise MsiV2ClientError(
        "invalid_request", f"client_id is {client_id!r}; it must be the application's GUID."
    )


def _check_client(client: Any) -> ManagedIdentityClient:
    if isinstance(client, ManagedIdentityClient):
        return client
    raise MsiV2ClientError(
        "invalid_request",
        f"managed_identity_client is a {type(client).__name__}; only the ManagedIdentityClient of "
        "this package acquires bound tokens.",
    )


def _check_texts(name: str, given: Any, example: str) -> tuple[str, ...]:
    texts = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise MsiV2ClientError(
            "invalid_request", f"{name} is {given!r}; it must be a list, e.g. [{example!r}]."
        )
    return texts
