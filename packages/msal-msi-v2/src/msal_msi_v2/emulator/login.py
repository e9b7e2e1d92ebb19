"""The ordinary login endpoint, where applications sign in without a client certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .applications import JWT_BEARER, PUBLIC_LOGIN, Applications
from .entra_service import WRONG_TYPE, EntraService, resource_of
from .exchange import Exchange, json_response
from .profile import Identity
from .service import Context, Route

if TYPE_CHECKING:
    from werkzeug import Response

    from .access_tokens import AccessTokens

_REQUIRED = {"grant_type", "client_id", "scope", "client_assertion_type", "client_assertion"}
_ALLOWED = {"claims", "client_info"}  # msal sends the latter with every request


class Login(EntraService):
    """Entra's login service for some tenants: discovery, and client credentials."""

    name = "login"

    def __init__(
        self,
        context: Context,
        tokens: AccessTokens,
        applications: Applications,
        *,
        url: str,
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            tokens: Issues the tokens.
            applications: Who may sign in.
            url: The service's URL, no trailing slash.
        """
        routes = [
            Route("/<tenant>/v2.0/.well-known/openid-configuration", "openid", self._openid),
            Route("/<tenant>/discovery/v2.0/keys", "openid", self._keys),
            Route("/<tenant>/oauth2/v2.0/token", "login_token", self._token),
        ]
        super().__init__(context, routes, tokens, applications)
        self._url = url

    def _openid(self, exchange: Exchange, tenant: str) -> Response:  # noqa: ARG002 - the same for all
        base = f"{self._url}/{self.find_tenant(tenant)}"
        return json_response(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
            }
        )

    def _keys(self, exchange: Exchange, tenant: str) -> Response:  # noqa: ARG002 - the same for all
        self.find_tenant(tenant)
        return json_response({"keys": [self._tokens.key.jwk]})

    def _token(self, exchange: Exchange, tenant: str) -> Response:
        found = self.find_tenant(tenant)
        form = self.read_form(exchange, _REQUIRED, _ALLOWED)
        if form["client_assertion_type"] != JWT_BEARER:
            raise self.bad_request(f"client_assertion_type must be {JWT_BEARER}.", WRONG_TYPE)
        application = self._applications.find(form["client_id"])
        audiences = [
            f"{base}/{name}/oauth2/v2.0/token"
            for base in (self._url, PUBLIC_LOGIN)
            for name in (tenant, found)
        ]
        assertion = form["client_assertion"]
        self._applications.check_bearer(
            application, assertion, audiences=audiences, now=exchange.now
        )
        token = self._tokens.issue(
            Identity(application.client_id, application.object_id),
            resource_of(form["scope"]),
            now=exchange.now,
            capabilities=self.read_capabilities(form),
            tenant=found,
        )
        return json_response(
            {
                "token_type": "Bearer",
                "expires_in": int(self._tokens.lifetime),
                "ext_expires_in": int(self._tokens.lifetime),
                "access_token": token,
            }
        )
