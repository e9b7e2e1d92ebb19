"""The access tokens of the emulated tenant: what is in them, and what makes one acceptable."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509

from .authority import CertificateState, IssuingAuthority
from .jwts import InvalidToken, SigningKey, x5t_s256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .profile import HostProfile, Identity

CNF_MISMATCH = "MtlsCnfClaimRequestDataValidationFailed"
"""What a resource says when a token is bound to another certificate than the one presented."""


class TokenRefused(Exception):  # noqa: N818 - a verdict; each resource words its own error
    """A token is not acceptable; the message says why, and quotes nothing of it."""


@dataclass(frozen=True)
class AccessTokens:
    """Issues and examines access tokens.

    Attributes:
        key: Signs them.
        profile: The host whose identities they are for.
        authority: Knows the certificates that they are bound to.
        lifetime: Of a token, in seconds.
    """

    key: SigningKey
    profile: HostProfile
    authority: IssuingAuthority
    lifetime: float

    def issue(
        self,
        identity: Identity,
        resource: str,
        *,
        now: float,
        binding: str | None = None,
        capabilities: object = None,
        tenant: str | None = None,
    ) -> str:
        """Return a token.

        Args:
            identity: Whom it is for.
            resource: The ``aud``.
            now: The services' time, in seconds since the epoch.
            binding: The ``x5t#S256`` that it is bound to; ``None``: a bearer token.
            capabilities: The ``xms_cc`` that the client asked for, if it did.
            tenant: The ``tid``; ``None``: the host's own.
        """
        claims: dict[str, Any] = {
            "aud": resource,
            "appid": identity.client_id,
            "azp": identity.client_id,
            "idtyp": "app",
            "oid": identity.object_id,
            "sub": identity.object_id,
            "tid": tenant or self.profile.tenant_id,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
        }
        if identity.resource_id is not None:
            claims["xms_mirid"] = identity.resource_id
        if binding is not None:
            claims["cnf"] = {"x5t#S256": binding}
            claims["xms_tbflags"] = 2
        if capabilities is not None:
            claims["xms_cc"] = capabilities
        return self.key.sign(claims, now=now, lifetime=self.lifetime)

    def examine(self, token: str, *, now: float, audience: Callable[[str], bool]) -> dict[str, Any]:
        """Return the claims of a token that is valid now and meant for a resource.

        Args:
            token: The token.
            now: The services' time, in seconds since the epoch.
            audience: Says whether an ``aud`` is the resource's.

        Raises:
            TokenRefused: It is not acceptable.
        """
        try:
            claims = self.key.verify(token, now=now)
        except InvalidToken as exc:
            raise TokenRefused(str(exc)) from exc
        if not audience(str(claims.get("aud"))):
            raise TokenRefused("The token is for another audience.")
        return claims

    def examine_binding(
        self, claims: Mapping[str, Any], certificate: bytes | None, *, now: float
    ) -> None:
        """Check that a token is bound to the certificate presented, and that this one counts.

        Args:
            claims: The token's claims.
            certificate: The TLS client certificate, DER; ``None``: none was presented.
            now: The services' time, in seconds since the epoch.

        Raises:
            TokenRefused: It is not.
        """
        if certificate is None:
            raise TokenRefused("No client certificate was presented.")
        state = self.authority.state(x509.load_der_x509_certificate(certificate), now)
        if state is not CertificateState.VALID:
            raise TokenRefused(f"The client certificate {state.value}.")
        bound_to = (claims.get("cnf") or {}).get("x5t#S256")
        if bound_to != x5t_s256(certificate):
            raise TokenRefused(
                f"{CNF_MISMATCH}: the token is bound to another certificate than the one presented."
            )


def authorization(header: str | None) -> tuple[str, str]:
    """Split an ``Authorization`` header into scheme, in lower case, and token; empty if absent."""
    scheme, _, token = (header or "").strip().partition(" ")
    return scheme.lower(), token.strip()
