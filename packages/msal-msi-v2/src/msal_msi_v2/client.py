"""The drop-in client, and the only place that speaks msal's dicts."""

from __future__ import annotations

import copy
import uuid
from typing import TYPE_CHECKING, Any

import msal
from msal.managed_identity import ManagedIdentity

from .acquisition import acquire_token
from .caches import caches_of
from .capabilities import ManagedIdentityCapabilities, find_capabilities
from .clock import SystemClock
from .discovery import default_platform
from .errors import MsiV2ClientError, MsiV2Error
from .flow import Host, TokenRequest
from .http.adapter import MtlsAdapter
from .http.openssl import OpenSslTransport
from .http.session import MtlsSession
from .imds import ImdsClient
from .protocol.claims import merge_claims
from .protocol.identity import Identity, Parameter
from .protocol.token import TOKEN_TYPE
from .settings import read_settings
from .strength import MtlsBindingStrength

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .caches import BoundToken, TokenName
    from .clock import Clock
    from .platforms import Platform

_MOST_ASKED = 1024
_PARAMETERS: dict[str, Parameter] = {
    ManagedIdentity.CLIENT_ID: "client_id",
    ManagedIdentity.OBJECT_ID: "object_id",
    ManagedIdentity.RESOURCE_ID: "mi_res_id",
}


class ManagedIdentityClient(msal.ManagedIdentityClient):  # type: ignore[misc]  # msal is untyped
    """``msal.ManagedIdentityClient`` that can also acquire tokens bound to a key of this machine.

    Without ``mtls_proof_of_possession=True`` it is msal's client: same requests, same results,
    same errors.
    """

    def __init__(
        self,
        managed_identity: Mapping[str, Any],
        *,
        http_client: Any,
        token_cache: Any = None,
        http_cache: Any = None,
        client_capabilities: list[str] | None = None,
        platform: Platform | None = None,
        timeout: float | tuple[float, float] | None = None,
    ) -> None:
        """Create a client. Environment variables are read here, and not again.

        Args:
            managed_identity: ``msal.SystemAssignedManagedIdentity()``,
                ``msal.UserAssignedManagedIdentity(…)``, or msal's dict form of them.
            http_client: A ``requests.Session``, used for IMDS; its ``verify`` also names the CAs
                to trust in front of the token service and of resources.
            token_cache: As in msal, for bearer tokens; it never sees a bound token.
            http_cache: As in msal, for bearer tokens.
            client_capabilities: As in msal, e.g. ``["CP1"]``.
            platform: The keys, their attestation and a TLS stack for them, in place of what this
                machine offers (see ``msal_msi_v2.platforms``).
            timeout: Seconds, or a pair (connect, read), in place of the defaults: for IMDS 2 to
                connect and 10 to read, for the token service 30.

        Raises:
            msal.ManagedIdentityError: ``managed_identity`` is not one.
            MsiV2ClientError: ``invalid_request``: ``timeout`` is neither form.
        """
        super().__init__(
            managed_identity,
            http_client=http_client,
            token_cache=token_cache,
            http_cache=http_cache,
            client_capabilities=client_capabilities,
        )
        self._settings = read_settings(http_client, timeout)
        self._identity = _name_identity(managed_identity)
        self._given_http_client = http_client
        self._given_platform = platform
        self._capabilities = tuple(client_capabilities or ())
        self._asked: dict[tuple[Any, ...], tuple[TokenName, MtlsBindingStrength]] = {}

    def acquire_token_for_client(
        self,
        *,
        resource: str,
        claims_challenge: str | None = None,
        mtls_proof_of_possession: bool = False,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
        force_refresh: bool = False,
        correlation_id: str | None = None,
    ) -> dict[str, Any]:
        """Acquire a token: msal's bearer token, or one bound to a key of this machine.

        Args:
            resource: The resource's URL or application id URI, e.g. ``https://vault.azure.net``.
            claims_challenge: JSON text of the claims that a resource asked for.
            mtls_proof_of_possession: Ask for a bound token (``mtls_pop``). All that follows
                needs it.
            with_attestation_support: Have Azure attest the key; needs ``msal-key-attestation``.
            min_strength: The weakest binding to accept; ``None``: KeyGuard.
            force_refresh: Do not answer from the cache.
            correlation_id: The GUID under which the services log the request; ``None``: a new
                one.

        Returns:
            A dict as in msal: ``access_token``, ``token_type`` (``mtls_pop``), ``expires_in``
            (seconds), ``resource``, ``token_source``, ``refresh_on`` (Unix seconds, where known),
            ``correlation_id``, ``binding_certificate`` (a ``BindingCertificate``), ``cert_pem``,
            ``cert_der_b64`` and ``cert_thumbprint_sha256`` (base64url, unpadded).

        Raises:
            MsiV2Error: No bound token could be had; a bearer token is never returned instead.
            msal.ManagedIdentityError: An option of bound tokens without
                ``mtls_proof_of_possession=True``, or what msal itself raises for bearer tokens.
        """
        if not mtls_proof_of_possession:
            _refuse_pop_options(
                with_attestation_support=with_attestation_support,
                min_strength=min_strength is not None,
                force_refresh=force_refresh,
                correlation_id=correlation_id is not None,
            )
            result: dict[str, Any] = super().acquire_token_for_client(
                resource=resource, claims_challenge=claims_challenge
            )
            return result
        words = (resource, with_attestation_support, min_strength)
        if not (claims_challenge or force_refresh) and correlation_id is None:
            found = self._look_up(words)
            if found is not None:
                return found
        guid = str(uuid.uuid4())
        try:
            guid = guid if correlation_id is None else _check_guid(correlation_id)
            request = self.make_request(
                resource=resource,
                claims_challenge=claims_challenge,
                with_attestation_support=with_attestation_support,
                min_strength=min_strength,
                force_refresh=force_refresh,
                correlation_id=guid,
            )
            bound, cached = acquire_token(request, self.host)
            self._remember(words, request)
        except MsiV2Error as exc:
            exc.correlation_id = exc.correlation_id or guid
            raise
        given = None if correlation_id is None else guid
        return _result(bound, resource, cached, given, self.host.clock.now())

    def get_capabilities(self) -> ManagedIdentityCapabilities:
        """Find out what this host can do, without acquiring anything.

        The environment is looked at first, then IMDS is probed, and the strongest key is opened
        or made. The answer is kept for as long as the platform; a failed probe is not.

        Raises:
            MsiV2ClientError: ``invalid_request``: a setting of the client is wrong.
        """
        return find_capabilities(self.host, self._identity)

    def mtls_session(
        self,
        *,
        resource: str,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
    ) -> MtlsSession:
        """Return a ``requests.Session`` that calls a resource with bound tokens.

        Every request carries a token that is good for a while, over TLS with its certificate. A
        401 that a new token, certificate or connection may mend is answered with one, once each;
        a request whose body cannot be sent twice is left to its caller then. Where a redirect
        leads to another origin, neither token nor certificate goes along.

        Args:
            resource: The resource's URL or application id URI, e.g. ``https://vault.azure.net``.
            with_attestation_support: As for ``acquire_token_for_client``.
            min_strength: As for ``acquire_token_for_client``.

        Returns:
            The session. Its requests raise what those of requests raise, and ``MsiV2Error`` where
            no token could be had, or the request is one that must not carry it.

        Raises:
            MsiV2ClientError: ``invalid_request``: a setting of the client is wrong.
        """
        adapter = MtlsAdapter.for_resource(
            self,
            resource,
            with_attestation_support=with_attestation_support,
            min_strength=min_strength,
        )
        return MtlsSession(adapter, self.ca_bundle)

    def with_capabilities(self, *more: str) -> ManagedIdentityClient:
        """Return a client with more client capabilities, e.g. ``"CP1"``, that shares all else."""
        if set(more) <= set(self._capabilities):
            return self
        self.host  # noqa: B018 - made now, so that both have the same one
        twin = copy.copy(self)
        all_of_them = tuple(dict.fromkeys([*self._capabilities, *more]))
        msals_own = {"_client_capabilities": list(all_of_them)}  # for bearer tokens
        twin.__dict__.update(_capabilities=all_of_them, _asked={}, **msals_own)
        return twin

    @property
    def ca_bundle(self) -> str | None:
        """The path of the CAs that this client trusts over OpenSSL; ``None``: certifi's.

        Raises:
            MsiV2ClientError: ``invalid_request``: the caller turned verification off, or the
                path leads nowhere.
        """
        return self._settings.trusted_cas()

    def make_request(
        self,
        *,
        resource: str,
        claims_challenge: str | None = None,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
        force_refresh: bool = False,
        correlation_id: str,
    ) -> TokenRequest:
        """Return the request that ``acquire_token_for_client`` would carry out, checked.

        Raises:
            MsiV2ClientError: An argument is wrong.
        """
        return TokenRequest(
            identity=self._identity,
            resource=_check_resource(resource),
            attested=bool(with_attestation_support),
            floor=_check_strength(min_strength),
            capabilities=self._capabilities,
            claims=merge_claims(claims_challenge, self._capabilities),
            challenged=bool(claims_challenge),
            force_refresh=bool(force_refresh),
            correlation_id=correlation_id,
        )

    def _look_up(self, words: tuple[Any, ...]) -> dict[str, Any] | None:
        """Answer from the cache what was asked in the same words before, and so was checked then.

        This is what most calls come to, so it does no more than it must.

        Args:
            words: Resource, attested or not, floor: as the caller gave them.

        Returns:
            The result; ``None``: the long way must be gone.
        """
        try:
            asked = self._asked.get(words)
        except TypeError:  # what has no hash is no valid argument, as the long way will say
            return None
        if asked is None or isinstance(words[-1], bool):  # which equals a floor, and is none
            return None
        host = self.host
        now = host.clock.now()
        bound = host.caches.tokens.get(*asked, now)
        if bound is None or (bound.refresh_at is not None and bound.refresh_at <= now):
            return None
        return _result(bound, words[0], True, None, now)

    def _remember(self, words: tuple[Any, ...], request: TokenRequest) -> None:
        if len(self._asked) >= _MOST_ASKED:
            self._asked.clear()
        self._asked[words] = self.host.token_name(request), request.least_strength

    @property
    def host(self) -> Host:
        """What this client's requests are carried out with."""
        # Not a cached_property: up to Python 3.11 that holds a lock, which a fork may leave held.
        made: Host | None = self.__dict__.get("_host")
        return made or self.__dict__.setdefault("_host", self._make_host())

    def _make_host(self) -> Host:
        platform = self._given_platform or default_platform()
        clock: Clock = getattr(platform, "clock", None) or SystemClock()
        return Host(
            platform=platform,
            caches=caches_of(platform),
            clock=clock,
            imds=ImdsClient(self._given_http_client, self._settings.imds_timeout, clock),
            imds_base=self._settings.imds_base,
            openssl=OpenSslTransport(self.ca_bundle),
            token_timeout=self._settings.token_timeout,
        )


def _name_identity(managed_identity: Mapping[str, Any]) -> Identity:
    parameter = _PARAMETERS.get(managed_identity[ManagedIdentity.ID_TYPE])
    if parameter is None:
        return Identity()
    return Identity(parameter, str(managed_identity[ManagedIdentity.ID]))


def _refuse_pop_options(**given: bool) -> None:
    """Refuse what would otherwise be ignored, and yield a weaker token than its caller thinks."""
    if given["with_attestation_support"]:
        raise msal.ManagedIdentityError(
            "attestation_requires_pop: with_attestation_support=True needs "
            "mtls_proof_of_possession=True; a bearer token cannot be attested."
        )
    names = [name for name, present in given.items() if present]
    if names:
        raise msal.ManagedIdentityError(
            f"{', '.join(names)} needs mtls_proof_of_possession=True: it has no meaning for a "
            "bearer token."
        )


def _check_resource(resource: object) -> str:
    if isinstance(resource, str) and resource.strip():
        return resource
    raise MsiV2ClientError(
        "invalid_request",
        f"resource is {resource!r}; it must be the URL or application id URI of what the token "
        "is for, e.g. 'https://vault.azure.net'.",
    )


def _check_strength(floor: Any) -> MtlsBindingStrength | None:
    try:
        return None if floor is None else MtlsBindingStrength(_not_bool(floor))
    except ValueError as exc:
        raise MsiV2ClientError(
            "invalid_request", f"min_strength is {floor!r}; it must be an MtlsBindingStrength."
        ) from exc


def _not_bool(floor: Any) -> Any:
    if isinstance(floor, bool):
        raise ValueError(floor)  # noqa: TRY004 - what the enum itself raises
    return floor


def _check_guid(guid: str) -> str:
    try:
        return str(uuid.UUID(guid))
    except (ValueError, AttributeError, TypeError) as exc:
        raise MsiV2ClientError(
            "invalid_request", f"correlation_id is {guid!r}; it must be a GUID."
        ) from exc


def _result(
    bound: BoundToken, resource: str, cached: bool, correlation_id: str | None, now: float
) -> dict[str, Any]:
    certificate = bound.binding.certificate
    result = {
        "access_token": bound.token.access_token,
        "token_type": TOKEN_TYPE,
        "expires_in": int(bound.expires_at - now) if cached else bound.token.expires_in,
        "resource": resource,
        "token_source": "cache" if cached else "identity_provider",
        "correlation_id": correlation_id or bound.correlation_id,
        "binding_certificate": certificate,
        "cert_pem": certificate.pem,
        "cert_der_b64": certificate.der_b64,
        "cert_thumbprint_sha256": certificate.x5t_s256,
    }
    if bound.refresh_at is not None:
        result["refresh_on"] = int(bound.refresh_at)
    return result
