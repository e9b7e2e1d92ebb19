"""The access tokens of the emulated tenants: what is in them, and what makes one acceptable."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509

from .authority import CertificateState, IssuingAuthority
from .jwts import InvalidToken, SigningKey, x5t_s256

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from .profile import HostProfile, Identity

EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
"""The audience of tokens that stand for an application; national clouds append their names."""
_ISSUERS = {
    "1.0": "https://sts.windows.net/{tenant}/",
    "2.0": "https://login.microsoftonline.com/{tenant}/v2.0",
}
"""The ``iss`` of a tenant's tokens, by their version."""
_CLIENT_ID = {"1.0": "appid", "2.0": "azp"}
"""The claim that holds the client id, by the same."""
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
        """Return a token: of version 2 for the token exchange, which asks for those, else of 1.

        Args:
            identity: Whom it is for.
            resource: The ``aud``.
            now: The services' time, in seconds since the epoch.
            binding: The ``x5t#S256`` that it is bound to; ``None``: a bearer token.
            capabilities: The ``xms_cc`` that the client asked for, if it did.
            tenant: Whose it is; ``None``: the host's own.
        """
        tenant = tenant or self.profile.tenant_id
        version = "2.0" if resource.startswith(EXCHANGE_AUDIENCE) else "1.0"
        claims: dict[str, Any] = {
            "iss": _issuer(version, tenant),
            "aud": resource,
            _CLIENT_ID[version]: identity.client_id,
            "idtyp": "app",
            "oid": identity.object_id,
            "sub": identity.object_id,
            "tid": tenant,
            "uti": secrets.token_urlsafe(16),
            "ver": version,
        }
        if identity.resource_id is not None:
            claims["xms_mirid"] = identity.resource_id
        if binding is not None:
            claims["cnf"] = {"x5t#S256": binding}
            claims["xms_tbflags"] = 2
        if capabilities is not None:
            claims["xms_cc"] = capabilities
        return self.key.sign(claims, now=now, lifetime=self.lifetime)

    def read(self, token: str, *, now: float) -> dict[str, Any]:
        """Return the claims of a token that was issued here and is valid now.

        Args:
            token: The token.
            now: The services' time, in seconds since the epoch.

        Raises:
            TokenRefused: It is not one.
        """
        try:
            claims = self.key.verify(token, now=now)
        except InvalidToken as exc:
            raise TokenRefused(str(exc)) from exc
        if claims["iss"] != _issuer(claims["ver"], claims["tid"]):
            raise TokenRefused("The token's issuer is not that of its tenant and version.")
        return claims

    def examine(
        self,
        token: str,
        *,
        now: float,
        audience: Callable[[str], bool],
        tenants: Collection[str],
    ) -> dict[str, Any]:
        """Return the claims of a token that is valid now and meant for a resource.

        Args:
            token: The token.
            now: The services' time, in seconds since the epoch.
            audience: Says whether an ``aud`` is the resource's.
            tenants: Those whose tokens the resource takes.

        Raises:
            TokenRefused: It is not acceptable.
        """
        claims = self.read(token, now=now)
        if claims["tid"] not in tenants:
            expected = ", ".join(_issuer(claims["ver"], tenant) for tenant in tenants)
            raise TokenRefused(
                f"Invalid issuer. Expected one of {expected}, found {claims['iss']}."
            )
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


def client_id_of(claims: Mapping[str, Any]) -> str:
    """Return to whom a token was issued, by its client id."""
    return str(claims[_CLIENT_ID[claims["ver"]]])


def _issuer(version: str, tenant: str) -> str:
    return _ISSUERS[version].format(tenant=tenant)


def authorization(header: str | None) -> tuple[str, str]:
    """Split an ``Authorization`` header into scheme, in lower case, and token; empty if absent."""
    scheme, _, token = (header or "").strip().partition(" ")
    return scheme.lower(), token.strip()
