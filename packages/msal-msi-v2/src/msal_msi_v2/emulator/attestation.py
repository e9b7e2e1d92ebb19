"""Microsoft Azure Attestation (MAA): attests keys, and examines its own tokens."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from .evidence import BadEvidence, Evidence, parse_evidence
from .exchange import Exchange, Refused, json_response
from .jwts import InvalidToken, SigningKey, public_jwk, thumbprint
from .service import Context, Route, Service

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from werkzeug import Response

_API_VERSION = {"api-version": "2020-10-01"}


class AttestationService(Service):
    """Signs JWTs about keys that prove that they are there, or that it knows already."""

    name = "attestation"

    def __init__(
        self,
        context: Context,
        key: SigningKey,
        *,
        url: str,
        lifetime: float,
        trusted_keys_only: bool,
    ) -> None:
        """Set up the service.

        Args:
            context: What the services share.
            key: Signs the JWTs.
            url: The service's URL, no trailing slash: their ``iss``.
            lifetime: Of a JWT, in seconds.
            trusted_keys_only: Refuse the keys that were not made known with ``trust()``, even
                with a proof.
        """
        super().__init__(
            context,
            [
                Route("/attest/keyguard", "attestation", self._attest),
                Route("/certs", "", self._certs),
                Route("/.well-known/openid-configuration", "", self._configuration),
            ],
        )
        self._key = key
        self._url = url
        self._lifetime = lifetime
        self._trusted_keys_only = trusted_keys_only
        self._lock = threading.Lock()
        self._trusted: set[str] = set()

    def trust(self, key: rsa.RSAPublicKey) -> None:
        """Make a key known as one of KeyGuard's."""
        with self._lock:
            self._trusted.add(thumbprint(public_jwk(key)))

    def bad_request(self, reason: str) -> Refused:
        """Return the refusal of a malformed request, by the code that MAA uses."""
        return Refused(400, "InvalidParameter", reason)

    def refusal(self, exchange: Exchange, refused: Refused) -> Response:  # noqa: ARG002 - the same for all requests
        """Return MAA's error object."""
        content = {"error": {"code": refused.error, "message": refused.reason}}
        return json_response(content, refused.status)

    def find_fault(self, token: str, key: rsa.RSAPublicKey, now: float) -> str | None:
        """Say what is wrong with a JWT that is to attest a key; ``None``: nothing.

        Args:
            token: The JWT.
            key: The key.
            now: The services' time, in seconds since the epoch.
        """
        try:
            claims = self._key.verify(token, now=now)
        except InvalidToken as exc:
            return str(exc)
        attested = claims["x-ms-runtime"]["keys"][0]
        if thumbprint(attested) != thumbprint(public_jwk(key)):
            return "It attests another key than the CSR's."
        return None

    def _attest(self, exchange: Exchange) -> Response:
        if exchange.request.method != "POST":
            raise Refused(405, "MethodNotAllowed", "Use POST.", headers={"Allow": "POST"})
        if exchange.query(_API_VERSION) != _API_VERSION:
            raise self.bad_request("The query parameter api-version must be 2020-10-01.")
        try:
            evidence = parse_evidence(exchange.json_object())
        except BadEvidence as exc:
            raise self.bad_request(str(exc)) from exc
        self._check_trust(evidence)
        return json_response({"token": self._sign(evidence, exchange.now)})

    def _check_trust(self, evidence: Evidence) -> None:
        """Refuse what is proven wrong, and what is neither proven nor known."""
        if evidence.proof is not None and not evidence.is_proven_by(evidence.proof):
            raise Refused(401, "Unauthorized", "The proof is not a signature by the key.")
        with self._lock:
            trusted = thumbprint(public_jwk(evidence.key)) in self._trusted
        if not trusted and self._trusted_keys_only:
            raise Refused(401, "Unauthorized", "The key is not one of this host's KeyGuard.")
        if not trusted and evidence.proof is None:
            raise Refused(401, "Unauthorized", "The key is unknown, and there is no proof of it.")

    def _sign(self, evidence: Evidence, now: float) -> str:
        jwk = {**public_jwk(evidence.key), "kid": "KeyGuardKey", "key_ops": ["sign"]}
        claims = {
            "iss": self._url,
            "jti": secrets.token_hex(16),
            "x-ms-attestation-type": "azurevm",
            "x-ms-keyguard-key": True,
            "x-ms-runtime": {
                "keys": [jwk],
                "client-id": evidence.client_id,
                "client-payload": evidence.client_payload,
            },
            "x-ms-ver": "1.0",
        }
        return self._key.sign(claims, now=now, lifetime=self._lifetime, jku=f"{self._url}/certs")

    def _certs(self, exchange: Exchange) -> Response:  # noqa: ARG002 - the same for all requests
        return json_response({"keys": [self._key.jwk]})

    def _configuration(self, exchange: Exchange) -> Response:  # noqa: ARG002 - the same for all requests
        return json_response(
            {
                "issuer": self._url,
                "jwks_uri": f"{self._url}/certs",
                "response_types_supported": ["token"],
                "id_token_signing_alg_values_supported": [self._key.jwk["alg"]],
            }
        )
