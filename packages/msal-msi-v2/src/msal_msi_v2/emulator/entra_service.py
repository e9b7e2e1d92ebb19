"""What Entra's endpoints have in common: how they refuse, and how they read a request."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from .entra import entra_error
from .exchange import Exchange, Refused, json_response
from .service import Service

if TYPE_CHECKING:
    from werkzeug import Response

MALFORMED, MISSING_FIELD, UNKNOWN_TENANT, UNSUPPORTED_GRANT = 9000410, 900144, 90002, 70003
WRONG_TYPE, BAD_SCOPE = 50027, 70011
"""AADSTS codes."""
_SCOPE_SUFFIX = "/.default"


class EntraService(Service, abc.ABC):
    """A service that answers as Entra's token service does."""

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
