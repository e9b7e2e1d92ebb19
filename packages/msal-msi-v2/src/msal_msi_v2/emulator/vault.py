"""A Key Vault that holds secrets, keys and certificates."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Any

from .access_tokens import AccessTokens, TokenRefused, authorization
from .exchange import Exchange, Refused, json_response
from .service import Context, Route, Service
from .vault_keys import InvalidSignature, KeyRing, KeyVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug import Request, Response

AUDIENCE = "https://vault.azure.net"
PERMISSIONS = frozenset({"secrets/get", "certificates/get", "keys/get", "keys/sign"})
"""What callers may do, in the terms of Azure's roles."""


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
        self._url = url
        self._secrets = {name.lower(): (value, uuid.uuid4().hex) for name, value in secrets.items()}
        self._created = int(context.clock.now())

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
        if not newest or version not in {"", newest}:
            raise Refused(
                404,
                "SecretNotFound",
                f"A secret with (name/id) {name} was not found in this key vault.",
            )
        attributes = self._attributes(enabled=True)
        secret_id = f"{self._url}/secrets/{name}/{newest}"
        return json_response({"value": value, "id": secret_id, "attributes": attributes})

    def _certificate(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._admit(exchange, "certificates/get", "GET")
        found = self._keys.find(name, version)
        if found is None or found.certificate is None:
            raise Refused(
                404, "CertificateNotFound", f"A certificate with (name/id) {name} was not found."
            )
        certificate = found.certificate
        sha1 = bytes.fromhex(certificate.thumbprint_sha1)
        properties = {"exportable": found.exportable, "kty": "RSA", "reuse_key": False}
        return json_response(
            {
                "id": certificate.id,
                "kid": certificate.key_id,
                "sid": certificate.id.replace("/certificates/", "/secrets/"),
                "x5t": base64.urlsafe_b64encode(sha1).rstrip(b"=").decode("ascii"),
                "cer": base64.b64encode(certificate.der).decode("ascii"),
                "attributes": self._attributes(enabled=found.enabled),
                "policy": {
                    "id": f"{self._url}/certificates/{name}/policy",
                    "key_props": properties,
                },
            }
        )

    def _key(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._admit(exchange, "keys/get", "GET")
        found = self._find_key(name, version)
        jwk = {"kid": self._keys.key_id(name, found), **found.jwk, "key_ops": ["sign", "verify"]}
        return json_response({"key": jwk, "attributes": self._attributes(enabled=found.enabled)})

    def _sign(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._admit(exchange, "keys/sign", "POST")
        found = self._find_key(name, version)
        if not found.enabled:
            raise Refused(
                403,
                "Forbidden",
                "Operation sign is not allowed on a disabled key.",
                inner="KeyDisabled",
            )
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

    def _attributes(self, *, enabled: bool) -> dict[str, Any]:
        return {
            "enabled": enabled,
            "created": self._created,
            "updated": self._created,
            "recoveryLevel": "Recoverable+Purgeable",
        }

    def _admit(self, exchange: Exchange, permission: str, method: str) -> None:
        """Let a request pass that is authenticated, permitted and well-formed."""
        self._authenticate(exchange)
        if permission not in self.permissions:
            raise Refused(
                403,
                "Forbidden",
                "Caller is not authorized to perform action on resource. Action: "
                f"'Microsoft.KeyVault/vaults/{permission}/action'.",
                inner="ForbiddenByRbac",
            )
        if exchange.request.method != method:
            raise Refused(
                405, "MethodNotAllowed", f"Only {method} will do.", headers={"Allow": method}
            )
        if "api-version" not in exchange.query({"api-version"}):
            raise self.bad_request("The query parameter api-version is missing.")

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
