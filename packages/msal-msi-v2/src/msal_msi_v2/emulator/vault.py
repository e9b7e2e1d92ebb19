"""A Key Vault that holds secrets, keys and certificates."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

from .access_tokens import AccessTokens, TokenRefused, authorization
from .exchange import Exchange, Refused, json_response
from .service import Context, Route, Service
from .vault_bundles import Bundles
from .vault_keys import InvalidSignature, KeyRing, KeyVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug import Request, Response

AUDIENCE = "https://vault.azure.net"
_ACTIONS = {
    "secrets/get": "secrets/getSecret/action",
    "certificates/get": "certificates/read",
    "keys/get": "keys/read",
    "keys/sign": "keys/sign/action",
}
"""What Azure's roles call what access policies permit."""
PERMISSIONS = frozenset(_ACTIONS)
"""What callers may do, in the terms of access policies."""
_LATEST = "2026-04-01"
_VERSIONS = {"2016-10-01", *(f"7.{minor}" for minor in range(7)), "2025-07-01", _LATEST}
_UNUSABLE = {"Disabled": "a disabled", "Expired": "an expired", "NotYetValid": "a not yet valid"}


class Vault(Service):
    """Serves those of its own tenant who have a token for Key Vault, bound or not.

    Attributes:
        permissions: What they may do; some of ``PERMISSIONS``.
    """

    name = "vault"

    def __init__(
        self,
        context: Context,
        tokens: AccessTokens,
        keys: KeyRing,
        *,
        url: str,
        secrets: Mapping[str, str],
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            tokens: Examines the tokens.
            keys: The keys and certificates.
            url: The vault's URL, no trailing slash.
            secrets: The values of its secrets, by name.
        """
        super().__init__(
            context,
            [
                Route("/secrets/<name>/", "vault", self._secret),
                Route("/secrets/<name>/<version>", "vault", self._secret),
                Route("/certificates/<name>/", "vault_certificate", self._certificate),
                Route("/certificates/<name>/<version>", "vault_certificate", self._certificate),
                Route("/keys/<name>/", "vault_key", self._key),
                Route("/keys/<name>/<version>", "vault_key", self._key),
                Route("/keys/<name>/sign", "vault_sign", self._sign),
                Route("/keys/<name>/<version>/sign", "vault_sign", self._sign),
            ],
        )
        self.permissions = PERMISSIONS
        self._keys = keys
        self._tokens = tokens
        self._bundles = Bundles(url, int(context.clock.now()))
        self._secrets = {name.lower(): (value, uuid.uuid4().hex) for name, value in secrets.items()}

    def wants_certificate(self, request: Request) -> bool:
        """Say whether the request carries a bound token."""
        return authorization(request.headers.get("Authorization"))[0] == "mtls_pop"

    @property
    def now(self) -> float:
        """The vault's time, in seconds since the epoch."""
        return self._context.clock.now()

    def bad_request(self, reason: str) -> Refused:
        """Return the refusal of a malformed request, by the code that Key Vault uses."""
        return Refused(400, "BadParameter", reason)

    def refusal(self, exchange: Exchange, refused: Refused) -> Response:  # noqa: ARG002 - the same for all requests
        """Return Key Vault's error object."""
        error: dict[str, Any] = {"code": refused.error, "message": refused.reason}
        if refused.inner:
            error["innererror"] = {"code": refused.inner}
        content = {"error": error}
        return json_response(content, refused.status)

    def _secret(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._admit(exchange, "secrets/get", "GET")
        value, newest = self._secrets.get(name.lower(), ("", ""))
        if newest and version in {"", newest}:
            return json_response(self._bundles.secret(name, newest, value))
        found = self._keys.find(name, version)
        if found is None or found.certificate is None:
            raise Refused(
                404,
                "SecretNotFound",
                f"A secret with (name/id) {name} was not found in this key vault.",
            )
        if not found.enabled:
            raise _unusable("get", "Secret", "Disabled")
        return json_response(self._bundles.certificate_secret(found, found.certificate))

    def _certificate(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._admit(exchange, "certificates/get", "GET")
        found = self._keys.find(name, version)
        if found is None or found.certificate is None:
            raise Refused(
                404, "CertificateNotFound", f"A certificate with (name/id) {name} was not found."
            )
        return json_response(self._bundles.certificate(found, found.certificate))

    def _key(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._admit(exchange, "keys/get", "GET")
        found = self._find_key(name, version)
        return json_response(self._bundles.key(self._keys.key_id(name, found), found))

    def _sign(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._admit(exchange, "keys/sign", "POST")
        found = self._find_key(name, version)
        if unusable := found.unusable(exchange.now):
            raise _unusable("sign", "Key", unusable)
        asked = exchange.json_object()
        if asked.keys() != {"alg", "value"} or not all(
            isinstance(one, str) for one in asked.values()
        ):
            raise self.bad_request("The body must have the members alg and value, both text.")
        try:
            value = asked["value"]
            digest = base64.b64decode(
                value + "=" * (-len(value) % 4), altchars=b"-_", validate=True
            )
            signature = found.sign(asked["alg"], digest)
        except (ValueError, InvalidSignature) as exc:
            raise self.bad_request(f"Property value or alg has invalid value: {exc}") from exc
        encoded = base64.urlsafe_b64encode(signature).rstrip(b"=").decode("ascii")
        return json_response({"kid": self._keys.key_id(name, found), "value": encoded})

    def _find_key(self, name: str, version: str) -> KeyVersion:
        found = self._keys.find(name, version)
        if found is None:
            raise Refused(
                404, "KeyNotFound", f"A key with (name/id) {name} was not found in this key vault."
            )
        return found

    def _admit(self, exchange: Exchange, permission: str, method: str) -> None:
        """Let a request pass that is authenticated, permitted and well-formed."""
        self._authenticate(exchange)
        if permission not in self.permissions:
            raise Refused(
                403,
                "Forbidden",
                "Caller is not authorized to perform action on resource. Action: "
                f"'Microsoft.KeyVault/vaults/{_ACTIONS[permission]}'.",
                inner="ForbiddenByRbac",
            )
        if exchange.request.method != method:
            raise Refused(
                405, "MethodNotAllowed", f"Only {method} will do.", headers={"Allow": method}
            )
        version = exchange.query({"api-version"}).get("api-version")
        if version is None:
            raise self.bad_request("The query parameter api-version is missing.")
        if version not in _VERSIONS:
            raise self.bad_request(
                f"The specified version ({version}) is not recognized. Consider using the latest "
                f"supported version ({_LATEST})."
            )

    def _authenticate(self, exchange: Exchange) -> None:
        """Accept a bound token on its own connection, or an unbound bearer token."""
        headers = exchange.request.headers
        scheme, token = authorization(headers.get("Authorization"))
        if scheme not in {"bearer", "mtls_pop"}:
            raise self._unauthorized("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            claims = self._tokens.examine(
                token,
                now=exchange.now,
                audience=lambda one: one.rstrip("/") == AUDIENCE,
                tenants=[self._tokens.profile.tenant_id],
            )
            if scheme == "mtls_pop":
                self._check_binding(exchange, claims)
            elif "cnf" in claims:
                raise TokenRefused("A bound token is not a bearer token.")  # noqa: TRY301 - one way out
        except TokenRefused as exc:
            raise self._unauthorized(f"AKV10032: {exc}", error="invalid_token") from exc

    def _check_binding(self, exchange: Exchange, claims: Mapping[str, Any]) -> None:
        if exchange.request.headers.get("x-ms-tokenboundauth") != "true":
            raise TokenRefused("A bound token needs the header x-ms-tokenboundauth: true.")
        self._tokens.examine_binding(claims, exchange.client_certificate, now=exchange.now)

    def _unauthorized(self, reason: str, error: str = "") -> Refused:
        tenant = self._tokens.profile.tenant_id
        challenge = (
            f'Bearer authorization="https://login.microsoftonline.com/{tenant}", '
            f'resource="{AUDIENCE}"'
        )
        if error:
            challenge += f', error="{error}", error_description="{reason}"'
        return Refused(401, "Unauthorized", reason, headers={"WWW-Authenticate": challenge})


def _unusable(operation: str, kind: str, why: str) -> Refused:
    """Return the refusal of an operation on a version that is out of use."""
    reason = f"Operation {operation} is not allowed on {_UNUSABLE[why]} {kind.lower()}."
    return Refused(403, "Forbidden", reason, inner=f"{kind}{why}")
