"""A resource that takes tokens bound to the client certificate, and echoes what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .access_tokens import AccessTokens, TokenRefused, authorization, client_id_of
from .exchange import Exchange, Refused, json_response
from .service import Context, Route, Service

if TYPE_CHECKING:
    from collections.abc import Collection

    from werkzeug import Request, Response

_SCHEME = "mtls_pop"


class Resource(Service):
    """Any path, any method, over mutual TLS.

    It takes the tokens of all tenants, as a multi-tenant API does, and says whose each was.
    """

    name = "resource"

    def __init__(
        self, context: Context, tokens: AccessTokens, audiences: Collection[str] | None
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            tokens: Examines the tokens.
            audiences: The values of ``aud`` that are this resource's; ``None``: any ``https`` URL.
        """
        super().__init__(
            context,
            [Route("/", "resource", self._echo), Route("/<path:path>", "resource", self._echo)],
        )
        self._tokens = tokens
        self._audiences = audiences

    def wants_certificate(self, request: Request) -> bool:  # noqa: ARG002 - the same for all requests
        """Say yes."""
        return True

    def refusal(self, exchange: Exchange, refused: Refused) -> Response:  # noqa: ARG002 - the same for all requests
        """Return the error object of Azure's resource providers."""
        content = {"error": {"code": refused.error, "message": refused.reason}}
        return json_response(content, refused.status)

    def _echo(self, exchange: Exchange, path: str = "") -> Response:
        token = self._token(exchange)
        try:
            claims = self._tokens.examine(
                token,
                now=exchange.now,
                audience=self._is_audience,
                tenants=self._tokens.profile.tenants,
            )
            self._tokens.examine_binding(claims, exchange.client_certificate, now=exchange.now)
        except TokenRefused as exc:
            raise _unauthorized(str(exc), "invalid_token") from exc
        return json_response(
            {
                "method": exchange.request.method,
                "path": f"/{path}",
                "query": exchange.request.args.to_dict(),
                "body_length": len(exchange.request.get_data()),
                "audience": claims["aud"],
                "client_id": client_id_of(claims),
                "object_id": claims["oid"],
                "tenant_id": claims["tid"],
                "x5t#S256": claims["cnf"]["x5t#S256"],
            }
        )

    def _token(self, exchange: Exchange) -> str:
        scheme, token = authorization(exchange.request.headers.get("Authorization"))
        if not scheme:
            raise _unauthorized("The request is not authenticated.")
        if scheme != _SCHEME:
            raise _unauthorized(f"The scheme must be {_SCHEME}.", "invalid_request")
        return token

    def _is_audience(self, audience: str) -> bool:
        if self._audiences is None:
            return audience.startswith("https://")
        return audience in self._audiences


def _unauthorized(reason: str, error: str = "") -> Refused:
    """Return a 401; without an error code where no authentication was tried (RFC 6750 §3.1)."""
    challenge = f'{_SCHEME} error="{error}", error_description="{reason}"' if error else _SCHEME
    return Refused(401, error or "unauthorized", reason, headers={"WWW-Authenticate": challenge})
