"""Puts the services of one emulator together."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .access_tokens import AccessTokens
from .applications import Applications
from .attestation import AttestationService
from .credentials import CredentialIssuer
from .imds import Imds, ImdsBackend
from .jwts import SigningKey
from .login import Login
from .resource import Resource
from .token_service import TokenService
from .vault import Vault
from .vault_keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .authority import IssuingAuthority
    from .profile import HostProfile
    from .service import Context, Service
    from .tls import ClientCertificates, ServerCertificates, Timing, Wrap

PORTS = ("imds", "attestation", "attestation_plain", "token", "login", "resource", "vault")
"""What listens, each on a port of its own."""

_LONGEST_LIFETIME = 50 * 365 * 86400


@dataclass(frozen=True)
class Options:
    """What ``MsiV2Emulator`` was told beyond the host's profile; see there."""

    host: str
    token_lifetime: float
    refresh_in: int | None
    certificate_lifetime: float
    attestation_lifetime: float
    require_attestation: bool
    trusted_keys_only: bool
    audiences: Collection[str] | None
    secrets: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse lifetimes that no token and no certificate can have.

        Raises:
            ValueError: There is one.
        """
        for name in ("token_lifetime", "certificate_lifetime", "attestation_lifetime"):
            if not 0 < getattr(self, name) <= _LONGEST_LIFETIME:  # NaN is not
                raise ValueError(f"{name} is in seconds: more than 0, and at most 50 years.")

    def url(self, name: str, port: int) -> str:
        """Return the base URL of what listens on a port."""
        if name in {"imds", "attestation_plain"}:
            return f"http://{self.host}:{port}"
        return f"https://{'localhost' if self.host == '127.0.0.1' else self.host}:{port}"


@dataclass(frozen=True)
class Services:
    """The services of an emulator.

    Attributes:
        by_port: What answers on each port; both attestation ports have the same service.
        attestation: The attestation service.
        token: The token service.
        vault: The Key Vault.
        keys: Its keys and certificates.
        applications: The tenant's applications.
    """

    by_port: Mapping[str, Service]
    attestation: AttestationService
    token: TokenService
    vault: Vault
    keys: KeyRing
    applications: Applications


def make_services(
    context: Context,
    profile: HostProfile,
    options: Options,
    authority: IssuingAuthority,
    urls: Mapping[str, str],
) -> Services:
    """Return the services.

    Args:
        context: What they share.
        profile: The host.
        options: Lifetimes and rules.
        authority: Issues binding certificates.
        urls: The base URL of each port.
    """
    tokens = AccessTokens(SigningKey(), profile, authority, options.token_lifetime)
    attestation = AttestationService(
        context,
        SigningKey(),
        url=urls["attestation"],
        lifetime=options.attestation_lifetime,
        trusted_keys_only=options.trusted_keys_only,
    )
    backend = ImdsBackend(
        profile=profile,
        credentials=CredentialIssuer(authority, context.clock, options.certificate_lifetime),
        tokens=tokens,
        attestation=attestation,
        token_endpoint=urls["token"],
        require_attestation=options.require_attestation,
    )
    applications = Applications(tokens)
    token = TokenService(context, tokens, applications, options.refresh_in)
    keys = KeyRing(urls["vault"])
    vault = Vault(context, tokens, keys, url=urls["vault"], secrets=options.secrets)
    by_port = {
        "imds": Imds(context, backend),
        "attestation": attestation,
        "attestation_plain": attestation,
        "token": token,
        "login": Login(context, tokens, applications, url=urls["login"]),
        "resource": Resource(context, tokens, options.audiences),
        "vault": vault,
    }
    return Services(by_port, attestation, token, vault, keys, applications)


def make_tls(
    certificates: ServerCertificates, authority: IssuingAuthority, timing: Timing
) -> dict[str, Wrap]:
    """Return what begins TLS on each port that speaks it."""
    mutual = certificates.wrapper(client_ca=authority.pem, verify=ssl.CERT_REQUIRED)
    optional = certificates.wrapper(client_ca=authority.pem, verify=ssl.CERT_OPTIONAL)
    late: dict[ClientCertificates, Wrap] = {
        "renegotiation": certificates.renegotiating(authority.certificate),
        "post_handshake": certificates.post_handshake(authority.pem),
    }
    return {
        "attestation": certificates.wrapper(),
        "login": certificates.wrapper(),
        "token": mutual,
        "resource": timing.wrapper({"handshake": mutual, **late}),
        "vault": timing.wrapper({"handshake": optional, **late}),
    }
