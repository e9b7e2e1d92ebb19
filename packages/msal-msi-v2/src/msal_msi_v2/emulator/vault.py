"""A Key Vault that holds secrets."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from .access_tokens import AccessTokens, TokenRefused, authorization
from .exchange import Exchange, Refused, json_response
from .service import Context, Route, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug import Request, Response

AUDIENCE = "https://vault.azure.net"


class Vault(Service):
    """Hands out secrets to bearers of a token for Key Vault, bound or not."""

    name = "vault"

    def __init__(
        self, context: Context, tokens: AccessTokens, *, url: str, secrets: Mapping[str, str]
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            tokens: Examines the tokens.
            url: The vault's URL, no trailing slash.
            secrets: The values of its secrets, by name.
        """
        super().__init__(
            context,
            [
                Route("/secrets/<name>/", "vault", self._secret),
                Route("/secrets/<name>/<version>", "vault", self._secret),
            ],
        )
        self._tokens = tokens
        self._url = url
        self._secrets = {name.lower(): (value, uuid.uuid4().hex) for name, value in secrets.items()}
        self._created = int(context.clock.now())

    def wants_certificate(self, request: Request) -> bool:
        """Say whether the request carries a bound token."""
        return authorization(request.headers.get("Authorization"))[0] == "mtls_pop"

    def bad_request(self, reason: str) -> Refused:
        """Return the refusal of a malformed request, by the code that Key Vault uses."""
        return Refused(400, "BadParameter", reason)

    def refusal(self, exchange: Exchange, refused: Refused) -> Response:  # noqa: ARG002 - the same for all requests
        """Return Key Vault's error object."""
        content = {"error": {"code": refused.error, "message": refused.reason}}
        return json_response(content, refused.status)

    def _secret(self, exchange: Exchange, name: str, version: str = "") -> Response:
        self._authenticate(exchange)
        if exchange.request.method != "GET":
            raise Refused(
                405, "MethodNotAllowed", "Secrets are read only.", headers={"Allow": "GET"}
            )
        if "api-version" not in exchange.query({"api-version"}):
            raise self.bad_request("The query parameter api-version is missing.")
        value, newest = self._secrets.get(name.lower(), ("", ""))
        if not newest or version not in {"", newest}:
            raise Refused(
                404,
                "SecretNotFound",
                f"A secret with (name/id) {name} was not found in this key vault.",
            )
        attributes = {
            "enabled": True,
            "created": self._created,
            "updated": self._created,
            "recoveryLevel": "Recoverable+Purgeable",
        }
        secret_id = f"{self._url}/secrets/{name}/{newest}"
        return json_response({"value": value, "id": secret_id, "attributes": attributes})

    def _authenticate(self, exchange: Exchange) -> None:
        """Accept a bound token on its own connection, or an unbound bearer token."""
        headers = exchange.request.headers
        scheme, token = authorization(headers.get("Authorization"))
        if scheme not in {"bearer", "mtls_pop"}:
            raise self._unauthorized("AKV10000: Request is missing a Bearer or PoP token.")
        try:
            claims = self._tokens.examine(
                token, now=exchange.now, audience=lambda one: one.rstrip("/") == AUDIENCE
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
