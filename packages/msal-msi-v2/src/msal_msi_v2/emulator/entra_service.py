"""What Entra's endpoints have in common: how they refuse, and how they read a request."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from .entra import entra_error
from .exchange import Exchange, Refused, json_response, parse_object
from .service import Context, Route, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from werkzeug import Response

    from .access_tokens import AccessTokens
    from .applications import Applications

MALFORMED, MISSING_FIELD, UNKNOWN_TENANT, UNSUPPORTED_GRANT = 9000410, 900144, 90002, 70003
WRONG_TYPE, BAD_SCOPE, _BAD_CLAIMS = 50027, 70011, 50099
"""AADSTS codes."""
_SCOPE_SUFFIX = "/.default"


class EntraService(Service, abc.ABC):
    """A service that answers as Entra's token service does."""

    def __init__(
        self,
        context: Context,
        routes: Sequence[Route],
        tokens: AccessTokens,
        applications: Applications,
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            routes: What it answers.
            tokens: Issues the tokens.
            applications: Who may sign in.
        """
        super().__init__(context, routes)
        self._tokens = tokens
        self._applications = applications

    def bad_request(self, reason: str, code: int = MALFORMED) -> Refused:
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

    def find_tenant(self, name: str) -> str:
        """Return the tenant that a path names, in whatever case.

        Raises:
            Refused: There is none.
        """
        for tenant in self._tokens.profile.tenants:
            if tenant.lower() == name.lower():
                return tenant
        raise self.unknown_tenant(name)

    def unknown_tenant(self, name: str) -> Refused:
        """Return the refusal of a tenant that is none here."""
        return self.bad_request(f"Tenant '{name}' not found.", UNKNOWN_TENANT)

    def read_capabilities(self, form: Mapping[str, str]) -> object:
        """Return what ``claims`` ask to be put in ``xms_cc``, if they do.

        Raises:
            Refused: They are no JSON object.
        """
        if "claims" not in form:
            return None
        claims = parse_object(form["claims"])
        if claims is None:
            raise self.bad_request("claims must be a JSON object.", _BAD_CLAIMS)
        access_token = claims.get("access_token")
        asked = access_token.get("xms_cc") if isinstance(access_token, dict) else None
        return asked.get("values") if isinstance(asked, dict) else None

    def read_form(
        self, exchange: Exchange, required: set[str], allowed: set[str]
    ) -> dict[str, str]:
        """Return the fields of a client credentials request.

        Args:
            exchange: The request.
            required: Fields that must be there, and not empty.
            allowed: Fields that may be there besides.

        Raises:
            Refused: The body is no such form.
        """
        if exchange.request.mimetype != "application/x-www-form-urlencoded":
            raise self.bad_request("The content type must be application/x-www-form-urlencoded.")
        try:
            text = exchange.request.get_data().decode("utf-8")
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError as exc:
            raise self.bad_request("The body is not a form.") from exc
        form = dict(pairs)
        if len(form) != len(pairs) or not form.keys() <= required | allowed:
            raise self.bad_request("The form repeats a field, or has one that is not known.")
        for name in sorted(required):
            if not form.get(name):
                raise self.bad_request(
                    f"The request body must contain the parameter '{name}'.", MISSING_FIELD
                )
        if form["grant_type"] != "client_credentials":
            raise Refused(
                400,
                "unsupported_grant_type",
                "The grant must be client_credentials.",
                codes=[UNSUPPORTED_GRANT],
            )
        return form


def resource_of(scope: str) -> str:
    """Return the resource of a scope.

    Raises:
        Refused: It is not one resource and ``/.default``.
    """
    resource = scope.removesuffix(_SCOPE_SUFFIX)
    if resource == scope or resource.endswith("/") or not resource or " " in scope:
        raise Refused(
            400,
            "invalid_scope",
            "The scope must be one resource, without a trailing slash, and /.default.",
            codes=[BAD_SCOPE],
        )
    return resource
