"""JSON web tokens: keys that sign them, and their verification at the services' time."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from jwt.types import Options

ALGORITHM = "RS256"
_NO_CLOCK: Options = {
    # The services' time is not the system's: times are checked here, not by PyJWT.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "require": ["exp", "nbf", "iat", "iss"],
}


class InvalidToken(Exception):  # noqa: N818 - a verdict; each service words its own error
    """A token was not signed by the key, is not valid now, or is not a JWT."""


class SigningKey:
    """An RSA key that signs tokens.

    Attributes:
        kid: The key's id, its JWK thumbprint (RFC 7638).
        jwk: The public key as a JWK.
    """

    def __init__(self) -> None:
        self._private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = public_jwk(self._private_key.public_key())
        self.kid = thumbprint(public)
        self.jwk = {**public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}

    def sign(self, claims: dict[str, Any], *, now: float, lifetime: float, **header: str) -> str:
        """Return a JWT that is valid from now on.

        Args:
            claims: All claims but ``iat``, ``nbf`` and ``exp``.
            now: The services' time, in seconds since the epoch.
            lifetime: Seconds until it expires.
            header: More members of the header.
        """
        times = {"iat": int(now), "nbf": int(now), "exp": int(now + lifetime)}
        return jwt.encode(
            {**times, **claims},
            self._private_key,
            algorithm=ALGORITHM,
            headers={"kid": self.kid, **header},
        )

    def verify(self, token: str, *, now: float) -> dict[str, Any]:
        """Return the claims of a token of this key that is valid now.

        Raises:
            InvalidToken: It is not one. The message says why, and quotes nothing of the token.
        """
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._private_key.public_key(),
                algorithms=[ALGORITHM],
                options=_NO_CLOCK,
            )
        except (jwt.InvalidTokenError, RecursionError) as exc:  # of old PyJWT, the latter
            raise InvalidToken(f"The token is not a valid JWT ({type(exc).__name__}).") from exc
        if now >= claims["exp"]:
            raise InvalidToken("The token has expired.")
        if now < claims["nbf"] - 1:  # claims are whole seconds, rounded down at issue
            raise InvalidToken("The token is not valid yet.")
        return claims


def public_jwk(key: rsa.RSAPublicKey) -> dict[str, str]:
    """Return the three members that make an RSA public key (RFC 7518 §6.3.1)."""
    jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {"kty": "RSA", "n": jwk["n"], "e": jwk["e"]}


def thumbprint(jwk: dict[str, str]) -> str:
    """Return an RSA key's JWK thumbprint (RFC 7638), base64url, unpadded."""
    canonical = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    return x5t_s256(canonical.encode("ascii"))


def x5t_s256(data: bytes) -> str:
    """Return the SHA-256 of some bytes, base64url, unpadded; of a certificate: ``x5t#S256``."""
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
