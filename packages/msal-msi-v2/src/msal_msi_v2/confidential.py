"""``BoundConfidentialClient``: applications that sign in with a managed identity's bound token."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .caches import TOKEN_MARGIN
from .errors import MsiV2ClientError, MsiV2Error, MsiV2ServiceError
from .flight import SingleFlight
from .http.exchange import exchange
from .protocol import federation, retry, token
from .protocol.claims import merge_claims
from .recovery import renewals_allowed
from .retrying import send_with_retries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .binding import BindingCertificate
    from .client import ManagedIdentityClient
    from .strength import MtlsBindingStrength

_BEARER = "bearer"


@dataclass(frozen=True)
class _Token:
    """A token, what it came with, and what it is bound to."""

    response: token.TokenResponse
    certificate: BindingCertificate
    expires_at: float
    correlation_id: str


class BoundConfidentialClient:
    """An application (a confidential client) whose only credential is a managed identity.

    The application trusts the identity through a federated identity credential. Where a plain
    assertion could be stolen and used anywhere, here the assertion itself is a token bound to a key
    of this machine: leg 1 acquires it, and leg 2 shows it over TLS with the same certificate. The
    token that comes of it is a bearer token, or bound to that certificate as well.

    Safe to use from many threads.
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
        client_capabilities: Sequence[str] = (),
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
        if not str(client_id or "").strip():
            raise MsiV2ClientError(
                "invalid_request", f"client_id is {client_id!r}; it must be the application's GUID."
            )
        self._client_id = client_id
        self._endpoint = federation.token_endpoint(authority, azure_region)
        self._identity = managed_identity_client
        self._options: dict[str, Any] = {
            "resource": audience,
            "mtls_proof_of_possession": True,
            "with_attestation_support": with_attestation_support,
            "min_strength": min_strength,
        }
        self._capabilities = tuple(client_capabilities)
        self._tokens: dict[tuple[Any, ...], _Token] = {}
        self._flights: SingleFlight[_Token] = SingleFlight()

    def acquire_token_for_client(
        self,
        scopes: Sequence[str],
        *,
        mtls_proof_of_possession: bool = False,
        claims_challenge: str | None = None,
    ) -> dict[str, Any]:
        """Acquire a token for the application itself.

        Args:
            scopes: What it is for, e.g. ``["https://graph.microsoft.com/.default"]``.
            mtls_proof_of_possession: Whether it, too, shall be bound to the certificate.
            claims_challenge: JSON text of the claims that a resource asked for.

        Returns:
            A dict as in msal: ``access_token``, ``token_type`` (``Bearer`` or ``mtls_pop``),
            ``expires_in`` (seconds), ``token_source`` (``identity_provider`` or ``cache``),
            ``correlation_id``, and for a bound token ``binding_certificate``.

        Raises:
            MsiV2Error: Either leg failed. A bound token is never answered with a bearer token.
        """
        wanted = (_check_scopes(scopes), bool(mtls_proof_of_possession))
        if not claims_challenge:
            kept = self._kept(wanted)
            if kept is not None:
                return self._result(kept, cached=True)
        claims = merge_claims(claims_challenge, self._capabilities)
        made = self._flights.run((wanted, claims), lambda: self._make(wanted, claims))
        self._tokens[wanted] = made
        return self._result(made, cached=False)

    def _kept(self, wanted: tuple[Any, ...]) -> _Token | None:
        kept = self._tokens.get(wanted)
        now = self._identity.host.clock.now()
        if kept is None or not TOKEN_MARGIN < kept.expires_at - now <= kept.response.expires_in:
            return None
        if wanted[1] and kept.certificate.expires_at <= now:
            return None
        return kept

    def _make(self, wanted: tuple[Any, ...], claims: str | None) -> _Token:
        guid = str(uuid.uuid4())
        leg1 = self._identity.acquire_token_for_client(**self._options)
        try:
            return self._exchange(leg1, wanted, claims, guid)
        except MsiV2ServiceError as exc:
            if not renewals_allowed(exc):
                raise _named(exc, guid)  # noqa: B904 - the same error
        leg1 = self._identity.acquire_token_for_client(**self._options, force_refresh=True)
        try:
            return self._exchange(leg1, wanted, claims, guid)
        except MsiV2Error as exc:
            raise _named(exc, guid)  # noqa: B904 - the same error

    def _exchange(
        self, leg1: dict[str, Any], wanted: tuple[Any, ...], claims: str | None, guid: str
    ) -> _Token:
        """Show the assertion over TLS with the certificate that it is bound to."""
        scopes, bound = wanted
        certificate: BindingCertificate = leg1["binding_certificate"]
        host = self._identity.host
        message = federation.build_request(
            self._endpoint,
            self._client_id,
            scopes,
            leg1["access_token"],
            guid,
            bound=bound,
            claims=claims,
        )
        transport = certificate.transport or host.openssl
        asked_at = host.clock.now()
        answer = send_with_retries(
            lambda: exchange(message, transport, certificate, host.token_timeout),
            retry.TOKEN,
            host.clock,
        )
        response = self._read(answer, bound=bound)
        if bound:
            token.check_cnf(response.access_token, certificate.x5t_s256)
        return _Token(response, certificate, asked_at + response.expires_in, guid)

    def _read(self, answer: Any, *, bound: bool) -> token.TokenResponse:
        try:
            return token.parse_response(answer, token.TOKEN_TYPE if bound else _BEARER)
        except MsiV2ServiceError as exc:
            now = datetime.fromtimestamp(self._identity.host.clock.now(), timezone.utc)
            retry_after = answer.headers.get("retry-after")
            exc.stands_for = retry.throttle_seconds(answer.status, retry_after, now)
            raise

    def _result(self, made: _Token, *, cached: bool) -> dict[str, Any]:
        bound = made.response.token_type.lower() == token.TOKEN_TYPE
        result: dict[str, Any] = {
            "access_token": made.response.access_token,
            "token_type": token.TOKEN_TYPE if bound else "Bearer",
            "expires_in": int(made.expires_at - self._identity.host.clock.now()),
            "token_source": "cache" if cached else "identity_provider",
            "correlation_id": made.correlation_id,
        }
        if bound:
            result["binding_certificate"] = made.certificate
        return result


def _check_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    if isinstance(scopes, str) or not scopes or not all(isinstance(one, str) for one in scopes):
        raise MsiV2ClientError(
            "invalid_request",
            f"scopes is {scopes!r}; it must be a list, e.g. "
            "['https://graph.microsoft.com/.default'].",
        )
    return tuple(scopes)


def _named(error: MsiV2Error, guid: str) -> MsiV2Error:
    error.correlation_id = error.correlation_id or guid
    return error
