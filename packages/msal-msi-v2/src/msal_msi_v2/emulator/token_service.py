"""The token service, which asks for a client certificate in the TLS handshake."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509
from cryptography.x509.oid import NameOID

from .applications import JWT_POP
from .authority import CertificateState
from .entra_service import WRONG_TYPE, EntraService, resource_of
from .exchange import Exchange, Refused, json_response
from .faults import OpaqueToken, WrongCnf
from .guids import is_guid, new_guid
from .jwts import x5t_s256
from .profile import Identity
from .service import Context, Route

if TYPE_CHECKING:
    from werkzeug import Response

    from .access_tokens import AccessTokens
    from .applications import Applications

_REQUIRED = {"grant_type", "client_id", "scope", "token_type"}
_ASSERTED = {"grant_type", "client_id", "scope", "client_assertion_type", "client_assertion"}
_ALLOWED = {"claims", "token_type"}
_TOKEN_TYPE = "mtls_pop"  # noqa: S105 - the name of a kind of token
# AADSTS codes. 1000612 is among those after which a client asks IMDS for a new certificate.
_ONLY_POST, _UNKNOWN_CLIENT = 900561, 700016
_CERTIFICATE_CODES = {
    CertificateState.EXPIRED: 700027,
    CertificateState.NOT_YET_VALID: 700027,
    CertificateState.REVOKED: 1000612,
}


class TokenService(EntraService):
    """Entra's mutual-TLS token endpoint: managed identities of one host, and applications."""

    name = "token"

    def __init__(
        self,
        context: Context,
        tokens: AccessTokens,
        applications: Applications,
        refresh_in: int | None,
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            tokens: Issues the tokens.
            applications: Who may sign in with a bound assertion.
            refresh_in: The member ``refresh_in`` of answers, in seconds; ``None``: none.
        """
        routes = [Route("/<tenant>/oauth2/v2.0/token", "token", self._token)]
        super().__init__(context, routes, tokens, applications)
        self.refresh_in = refresh_in

    def dress(self, exchange: Exchange, response: Response) -> Response:
        """Add a request id, and the client's own where it wants it back."""
        headers = exchange.request.headers
        response.headers["x-ms-request-id"] = new_guid()
        response.headers["Cache-Control"] = "no-store, no-cache"
        if headers.get("return-client-request-id") == "true" and "client-request-id" in headers:
            response.headers["client-request-id"] = headers["client-request-id"]
        return super().dress(exchange, response)

    def _token(self, exchange: Exchange, tenant: str) -> Response:
        if exchange.request.method != "POST":
            raise self.bad_request("The endpoint only accepts POST requests.", _ONLY_POST)
        found = self.find_tenant(tenant)
        if not is_guid(exchange.request.headers.get("client-request-id")):
            raise self.bad_request("The header client-request-id must be a GUID.")
        certificate = self._certificate(exchange)
        form = self._form(exchange)
        asserted = "client_assertion" in form
        if not asserted and found != self._tokens.profile.tenant_id:
            raise self.unknown_tenant(tenant)  # managed identities live in one
        identity = (
            self._asserted(exchange, form)
            if asserted
            else self._identity(certificate, form["client_id"])
        )
        bound = not asserted or "token_type" in form
        return self._answer_token(exchange, identity, form, found, bound=bound)

    def _certificate(self, exchange: Exchange) -> x509.Certificate:
        """Return the certificate, which TLS has found to be issued by the right CA."""
        certificate = x509.load_der_x509_certificate(_presented(exchange))
        state = self._tokens.authority.state(certificate, exchange.now)
        if state is not CertificateState.VALID:
            raise Refused(
                401,
                "invalid_client",
                f"The client certificate {state.value}.",
                codes=[_CERTIFICATE_CODES[state]],
            )
        return certificate

    def _form(self, exchange: Exchange) -> dict[str, str]:
        asserted = b"client_assertion=" in exchange.request.get_data()
        form = self.read_form(exchange, _ASSERTED if asserted else _REQUIRED, _ALLOWED)
        if form.get("token_type", _TOKEN_TYPE) != _TOKEN_TYPE:
            raise self.bad_request(f"token_type must be {_TOKEN_TYPE}.")
        return form

    def _asserted(self, exchange: Exchange, form: dict[str, str]) -> Identity:
        """Return the application that signs in with a managed identity's bound token."""
        if form["client_assertion_type"] != JWT_POP:
            raise self.bad_request(f"client_assertion_type must be {JWT_POP}.", WRONG_TYPE)
        application = self._applications.find(form["client_id"])
        self._applications.check_bound(
            application, form["client_assertion"], _presented(exchange), now=exchange.now
        )
        return Identity(application.client_id, application.object_id)

    def _identity(self, certificate: x509.Certificate, client_id: str) -> Identity:
        """Return the identity, if the certificate was issued to it."""
        profile = self._tokens.profile
        subject = [(part.oid, part.value) for part in certificate.subject]
        expected = [(NameOID.DOMAIN_COMPONENT, profile.tenant_id), (NameOID.COMMON_NAME, client_id)]
        identity = profile.find_identity({"client_id": client_id})
        if subject != expected or identity is None:
            raise Refused(
                401,
                "invalid_client",
                "The certificate was issued to another client or tenant.",
                codes=[_UNKNOWN_CLIENT],
            )
        return identity

    def _answer_token(
        self,
        exchange: Exchange,
        identity: Identity,
        form: dict[str, str],
        tenant: str,
        *,
        bound: bool,
    ) -> Response:
        presented = b"another certificate" if isinstance(exchange.fault, WrongCnf) else None
        thumbprint = x5t_s256(presented or _presented(exchange))
        token = self._tokens.issue(
            identity,
            resource_of(form["scope"]),
            now=exchange.now,
            binding=thumbprint if bound else None,
            capabilities=self.read_capabilities(form),
            tenant=tenant,
        )
        if isinstance(exchange.fault, OpaqueToken):
            token = secrets.token_urlsafe(600)
        answer: dict[str, Any] = {
            "token_type": _TOKEN_TYPE if bound else "Bearer",
            "expires_in": int(self._tokens.lifetime),
            "ext_expires_in": int(self._tokens.lifetime),
            "access_token": token,
        }
        if self.refresh_in is not None:
            answer["refresh_in"] = self.refresh_in
        return json_response(answer)


def _presented(exchange: Exchange) -> bytes:
    return cast("bytes", exchange.client_certificate)  # TLS lets nobody in without one
