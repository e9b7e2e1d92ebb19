"""The seven steps from nothing to a bound token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from . import requirements
from .binding import Binding, BindingCertificate
from .http.exchange import exchange
from .protocol import credential, csr, metadata, token
from .protocol.certificate import check_certificate
from .steps import step

if TYPE_CHECKING:
    from .imds import ImdsClient
    from .platforms import Attestor, BindingKey, BindingTransport, Platform, Timeout
    from .protocol.identity import Identity
    from .strength import MtlsBindingStrength


@dataclass(frozen=True)
class TokenRequest:
    """What a caller asks for.

    Attributes:
        identity: Whose token.
        resource: The resource's URL or application id URI.
        attested: Whether the key must be attested.
        floor: The weakest binding that the caller accepts; ``None``: KeyGuard.
        claims: JSON text to send along, where there are claims or capabilities.
        correlation_id: The GUID under which every service shall log the request.
    """

    identity: Identity
    resource: str
    attested: bool
    floor: MtlsBindingStrength | None
    claims: str | None
    correlation_id: str


@dataclass(frozen=True)
class Host:
    """What requests are carried out with.

    Attributes:
        platform: The keys, their attestation, and perhaps a TLS stack for them.
        imds: The client for IMDS.
        imds_base: Where IMDS is, no trailing slash.
        openssl: The TLS stack for platforms that bring none.
        token_timeout: How long to wait for the token service.
    """

    platform: Platform
    imds: ImdsClient
    imds_base: str
    openssl: BindingTransport
    token_timeout: Timeout


def acquire_token(request: TokenRequest, host: Host) -> tuple[token.TokenResponse, Binding]:
    """Walk the seven steps.

    Returns:
        The token, and what it is bound to.

    Raises:
        MsiV2Error: The first step that failed; nothing after it was done.
    """
    guid = request.correlation_id
    requirements.check_environment()
    attestor = requirements.require_attestor(host.platform) if request.attested else None

    with step("binding key", guid) as done:
        key = host.platform.key_store.get_key()
        requirements.check_strength(key, request.floor, attested=request.attested)
        done.outcome = f"RSA {key.private_key.key_size}, {key.strength.name}"

    with step("platform metadata", guid) as done:
        machine = _get_metadata(request, host)
        done.outcome = f"tenant {machine.tenant_id}, client {machine.client_id}"

    with step("certificate request", guid) as done:
        signing_request = csr.build_csr(key.private_key, machine)
        done.outcome = f"signed, for machine {csr.compute_unit_json(machine.compute_unit)}"

    with step("attestation", guid) as done:
        evidence = None if attestor is None else _attest(attestor, key, machine)
        done.outcome = f"by {machine.attestation_endpoint}" if attestor else "not asked for"

    with step("certificate", guid) as done:
        issued = _issue(request, host, signing_request, evidence)
        der = check_certificate(
            issued.certificate, key.private_key.public_key(), datetime.now(timezone.utc)
        )
        done.outcome = f"{issued.identity_type}, from {host.imds_base}"

    with step("binding", guid) as done:
        certificate = BindingCertificate(der, key.private_key, key.strength)
        binding = Binding(certificate, issued.endpoint, issued.tenant_id, issued.client_id)
        done.outcome = f"until {certificate.not_after}, x5t#S256 {certificate.x5t_s256}"

    with step("token", guid) as done:
        answer = _request_token(request, host, binding)
        done.outcome = f"{answer.token_type}, {answer.expires_in} s, from {binding.endpoint}"
    return answer, binding


def _get_metadata(request: TokenRequest, host: Host) -> metadata.PlatformMetadata:
    message = metadata.build_request(host.imds_base, request.identity, request.correlation_id)
    return metadata.parse_response(host.imds.send(message))


def _attest(attestor: Attestor, key: BindingKey, machine: metadata.PlatformMetadata) -> str:
    evidence = attestor.attest(machine.attestation_endpoint, key.private_key, machine.client_id)
    return requirements.check_evidence(evidence)


def _issue(
    request: TokenRequest, host: Host, signing_request: str, evidence: str | None
) -> credential.IssuedCredential:
    message = credential.build_request(
        host.imds_base,
        request.identity,
        request.correlation_id,
        csr=signing_request,
        attestation_token=evidence,
    )
    return credential.parse_response(host.imds.send(message))


def _request_token(request: TokenRequest, host: Host, binding: Binding) -> token.TokenResponse:
    message = token.build_request(binding, request.resource, request.correlation_id, request.claims)
    transport = host.platform.transport or host.openssl
    answer = token.parse_response(
        exchange(message, transport, binding.certificate, host.token_timeout)
    )
    token.check_cnf(answer.access_token, binding.certificate.x5t_s256)
    return answer
