"""The ordinary login endpoint, where applications sign in without a client certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .applications import JWT_BEARER, PUBLIC_LOGIN, Applications
from .entra import entra_error
from .exchange import Exchange, Refused, json_response
from .profile import Identity
from .service import Context, Route, Service

if TYPE_CHECKING:
    from collections.abc import Collection

    from werkzeug import Response

    from .access_tokens import AccessTokens

_REQUIRED = ("grant_type", "client_id", "scope", "client_assertion_type", "client_assertion")
_MALFORMED, _MISSING_FIELD, _UNKNOWN_TENANT, _UNSUPPORTED_GRANT = 9000410, 900144, 90002, 70003
_WRONG_TYPE, _BAD_SCOPE = 50027, 70011
_SUFFIX = "/.default"


class Login(Service):
    """Entra's login service for some tenants: discovery, and client credentials."""

    name = "login"

    def __init__(
        self,
        context: Context,
        tokens: AccessTokens,
        applications: Applications,
        *,
        url: str,
        tenants: Collection[str],
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            tokens: Issues the tokens.
            applications: Who may sign in.
            url: The service's URL, no trailing slash.
            tenants: The tenants that it knows.
        """
        super().__init__(
            context,
            [
                Route("/<tenant>/v2.0/.well-known/openid-configuration", "openid", self._openid),
                Route("/<tenant>/oauth2/v2.0/token", "login_token", self._token),
            ],
        )
        self._tokens = tokens
        self._applications = applications
        self._url = url
        self._tenants = frozenset(tenants)

    def bad_request(self, reason: str, code: int = _MALFORMED) -> Refused:
        """Return the refusal of a malformed request."""
        return Refused(400, "invalid_request", reason, codes=[code])

    def refusal(self, exchange: Exchange, refused: Refused) -> Response:
        """Return Entra's error members."""
        content = entra_error(
            refused.error,
            refused.reason,
            codes=refused.codes,
            correlation_id=exchange.request.headers.get("client-request-id"),
            now=exchange.now,
        )
        return json_response(content, refused.status)

    def _openid(self, exchange: Exchange, tenant: str) -> Response:  # noqa: ARG002 - the same for all
        self._check_tenant(tenant)
        base = f"{self._url}/{tenant}"
        return json_response(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
            }
        )

    def _token(self, exchange: Exchange, tenant: str) -> Response:
        self._check_tenant(tenant)
        form = read_form(exchange, self)
        for name in _REQUIRED:
            if not form.get(name):
                raise self.bad_request(
                    f"The request body must contain the parameter '{name}'.", _MISSING_FIELD
                )
        if form["grant_type"] != "client_credentials":
            raise Refused(
                400,
                "unsupported_grant_type",
                "The grant must be client_credentials.",
                codes=[_UNSUPPORTED_GRANT],
            )
        if form["client_assertion_type"] != JWT_BEARER:
            raise self.bad_request(f"client_assertion_type must be {JWT_BEARER}.", _WRONG_TYPE)
        application = self._applications.find(form["client_id"])
        audiences = {f"{base}/{tenant}/oauth2/v2.0/token" for base in (self._url, PUBLIC_LOGIN)}
        assertion = form["client_assertion"]
        self._applications.check_bearer(
            application, assertion, audiences=audiences, now=exchange.now
        )
        token = self._tokens.issue(
            Identity(application.client_id, application.object_id),
            resource_of(form["scope"]),
            now=exchange.now,
            tenant=tenant,
        )
        return json_response(
            {
                "token_type": "Bearer",
                "expires_in": int(self._tokens.lifetime),
                "ext_expires_in": int(self._tokens.lifetime),
                "access_token": token,
            }
        )

    def _check_tenant(self, tenant: str) -> None:
        if tenant not in self._tenants:
            raise self.bad_request(f"Tenant '{tenant}' not found.", _UNKNOWN_TENANT)


def read_form(exchange: Exchange, service: Service) -> dict[str, Any]:
    """Return the fields of a form.

    Raises:
        Refused: The body is no form, or repeats a field.
    """
    if exchange.request.mimetype != "application/x-www-form-urlencoded":
        raise service.bad_request("The content type must be application/x-www-form-urlencoded.")
    try:
        text = exchange.request.get_data().decode("utf-8")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as exc:
        raise service.bad_request("The body is not a form.") from exc
    form = dict(pairs)
    if len(form) != len(pairs):
        raise service.bad_request("The form repeats a field, or has one that is not known.")
    return form


def resource_of(scope: str) -> str:
    """Return the resource of a scope.

    Raises:
        Refused: It is not one resource and ``/.default``.
    """
    resource = scope.removesuffix(_SUFFIX)
    if resource == scope or resource.endswith("/") or not resource or " " in scope:
        raise Refused(
            400,
            "invalid_scope",
            "The scope must be one resource, without a trailing slash, and /.default.",
            codes=[_BAD_SCOPE],
        )
    return resource
