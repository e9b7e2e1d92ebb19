"""The seven steps from nothing to a bound token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from . import requirements
from .binding import Binding, BindingCertificate
from .caches import BindingName, TokenName
from .errors import MsiV2ServiceError
from .http.exchange import exchange
from .protocol import credential, csr, metadata, retry, token
from .protocol.certificate import check_certificate
from .retrying import send_with_retries
from .steps import step
from .strength import MtlsBindingStrength

if TYPE_CHECKING:
    from .caches import Caches
    from .clock import Clock
    from .imds import ImdsClient
    from .platforms import Attestor, BindingKey, BindingTransport, Platform, Timeout
    from .protocol.identity import Identity
    from .protocol.messages import Request


@dataclass(frozen=True)
class TokenRequest:
    """What a caller asks for.

    Attributes:
        identity: Whose token.
        resource: The resource's URL or application id URI.
        attested: Whether the key must be attested.
        floor: The weakest binding that the caller accepts; ``None``: KeyGuard.
        capabilities: The client's capabilities.
        claims: JSON text to send along, where there are claims or capabilities.
        challenged: Whether a resource refused the token before, and the certificate with it.
        force_refresh: Whether no cached token will do.
        correlation_id: The GUID under which every service shall log the request.
    """

    identity: Identity
    resource: str
    attested: bool
    floor: MtlsBindingStrength | None
    capabilities: tuple[str, ...]
    claims: str | None
    challenged: bool
    force_refresh: bool
    correlation_id: str

    @property
    def least_strength(self) -> MtlsBindingStrength:
        """The floor as a strength."""
        return MtlsBindingStrength.KEYGUARD if self.floor is None else self.floor


@dataclass(frozen=True)
class Host:
    """What requests are carried out with.

    Attributes:
        platform: The keys, their attestation, and perhaps a TLS stack for them.
        caches: The platform's caches.
        clock: The platform's clock, or the machine's.
        imds: The client for IMDS.
        imds_base: Where IMDS is, no trailing slash.
        openssl: The TLS stack for platforms that bring none.
        token_timeout: How long to wait for the token service.
    """

    platform: Platform
    caches: Caches
    clock: Clock
    imds: ImdsClient
    imds_base: str
    openssl: BindingTransport
    token_timeout: Timeout

    def binding_name(self, request: TokenRequest) -> BindingName:
        """Return what bindings for a request are kept under."""
        return BindingName(self.imds_base, request.identity, request.attested)

    def token_name(self, request: TokenRequest) -> TokenName:
        """Return what tokens for a request are kept under."""
        scope = token.scope_of(request.resource)
        return TokenName(self.binding_name(request), scope, request.capabilities)


def choose_key(request: TokenRequest, host: Host) -> BindingKey:
    """Step 1, after all that can be refused without the network has been.

    Raises:
        MsiV2Error: The environment, the attestation package or the key does not allow it.
    """
    requirements.check_environment()
    if request.attested:
        requirements.require_attestor(host.platform)
    with step("binding key", request.correlation_id) as done:
        key = host.platform.key_store.get_key()
        requirements.check_strength(key, request.floor, attested=request.attested)
        done.outcome = f"RSA {key.private_key.key_size}, {key.strength.name}"
    return key


def issue_binding(
    request: TokenRequest, host: Host, key: BindingKey, *, afresh: bool, attest_afresh: bool
) -> Binding:
    """Steps 2 to 6: have a key attested and certified.

    Args:
        request: Whose certificate.
        host: What to do it with.
        key: The key.
        afresh: Have IMDS issue a new certificate, whatever it has cached.
        attest_afresh: Have the key attested anew, whatever the attestor has cached.

    Raises:
        MsiV2Error: The first step that failed; nothing after it was done.
    """
    guid = request.correlation_id
    with step("platform metadata", guid) as done:
        machine = _get_metadata(request, host)
        done.outcome = f"tenant {machine.tenant_id}, client {machine.client_id}"

    with step("certificate request", guid) as done:
        signing_request = csr.build_csr(key.private_key, machine)
        done.outcome = f"signed, for machine {csr.compute_unit_json(machine.compute_unit)}"

    with step("attestation", guid) as done:
        evidence = None
        done.outcome = "not asked for"
        if request.attested:
            attestor = requirements.require_attestor(host.platform)
            evidence = _attest(attestor, key, machine, fresh=attest_afresh)
            done.outcome = f"by {machine.attestation_endpoint}"

    with step("certificate", guid) as done:
        issued = _issue(request, host, signing_request, evidence, afresh=afresh)
        now = datetime.fromtimestamp(host.clock.now(), timezone.utc)
        der = check_certificate(issued.certificate, key.private_key.public_key(), now)
        done.outcome = f"{issued.identity_type}, from {host.imds_base}"

    with step("binding", guid) as done:
        certificate = BindingCertificate(
            der, key.private_key, key.strength, host.platform.transport
        )
        done.outcome = f"until {certificate.not_after}, x5t#S256 {certificate.x5t_s256}"
    return Binding(certificate, issued.endpoint, issued.tenant_id, issued.client_id)


def request_token(request: TokenRequest, host: Host, binding: Binding) -> token.TokenResponse:
    """Step 7: a token that is bound to the binding's certificate.

    Raises:
        MsiV2ServiceError: The token service refused, or answered what must not be used.
    """
    with step("token", request.correlation_id) as done:
        message = token.build_request(
            binding, request.resource, request.correlation_id, request.claims
        )
        answer = exchange_for_token(message, host, binding, token.TOKEN_TYPE)
        done.outcome = f"{answer.token_type}, {answer.expires_in} s, from {binding.endpoint}"
    return answer


def exchange_for_token(
    message: Request, host: Host, binding: Binding, token_type: str
) -> token.TokenResponse:
    """Send a token request over TLS with a binding's certificate, and check what comes back.

    Args:
        message: The request.
        host: What to send it with.
        binding: Whose certificate; a bound token must be bound to it.
        token_type: The type that the token must be of, in lower case.

    Raises:
        MsiV2ServiceError: The token service refused, or answered what must not be used.
    """
    certificate, timeout = binding.certificate, host.token_timeout
    transport = certificate.transport or host.openssl
    response = send_with_retries(
        lambda: exchange(message, transport, certificate, timeout), retry.TOKEN, host.clock
    )
    try:
        answer = token.parse_response(response, token_type)
    except MsiV2ServiceError as exc:
        now = datetime.fromtimestamp(host.clock.now(), timezone.utc)
        retry_after = response.headers.get("retry-after")
        exc.stands_for = retry.throttle_seconds(response.status, retry_after, now)
        raise
    if token_type == token.TOKEN_TYPE:
        token.check_cnf(answer.access_token, certificate.x5t_s256)
    return answer


def _get_metadata(request: TokenRequest, host: Host) -> metadata.PlatformMetadata:
    message = metadata.build_request(host.imds_base, request.identity, request.correlation_id)
    return metadata.parse_response(host.imds.send(message))


def _attest(
    attestor: Attestor, key: BindingKey, machine: metadata.PlatformMetadata, *, fresh: bool
) -> str:
    endpoint, client_id = machine.attestation_endpoint, machine.client_id
    evidence = attestor.attest(endpoint, key.private_key, client_id, fresh=fresh)
    return requirements.check_evidence(evidence)


def _issue(
    request: TokenRequest, host: Host, signing_request: str, evidence: str | None, *, afresh: bool
) -> credential.IssuedCredential:
    message = credential.build_request(
        host.imds_base,
        request.identity,
        request.correlation_id,
        csr=signing_request,
        attestation_token=evidence,
        bypass_cache=afresh,
    )
    return credential.parse_response(host.imds.send(message))
