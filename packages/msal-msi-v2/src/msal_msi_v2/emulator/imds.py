"""IMDS: v1 tokens and compute metadata, v2 platform metadata and credentials."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from .exchange import Exchange, Refused, json_response
from .faults import IssuedCertificate
from .guids import is_guid
from .service import Context, Route, Service
from .signing_request import BadSigningRequest, examine

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from werkzeug import Response

    from .access_tokens import AccessTokens
    from .attestation import AttestationService
    from .credentials import CredentialIssuer
    from .profile import HostProfile, Identity

_V2 = {"cred-api-version": "2.0"}
_V1_TOKEN = {"api-version": "2018-02-01"}
_COMPUTE = {"api-version": "2021-02-01"}
_V2_SELECTORS = {"client_id", "object_id", "mi_res_id"}
_V1_SELECTORS = {"client_id", "object_id", "msi_res_id"}


@dataclass(frozen=True)
class ImdsBackend:
    """What IMDS asks for what it answers.

    Attributes:
        profile: The host.
        credentials: Issues certificates.
        tokens: Issues v1 bearer tokens.
        attestation: Examines attestation tokens.
        token_endpoint: The token service's base URL for mutual TLS.
        require_attestation: Whether no certificate is issued without an attestation token.
    """

    profile: HostProfile
    credentials: CredentialIssuer
    tokens: AccessTokens
    attestation: AttestationService
    token_endpoint: str
    require_attestation: bool


class Imds(Service):
    """The instance metadata service of one host."""

    name = "imds"
    headers = {"Server": "IMDS/150.870.65.1854"}  # noqa: RUF012 - nobody writes to it

    def __init__(self, context: Context, backend: ImdsBackend) -> None:
        identity = "/metadata/identity"
        super().__init__(
            context,
            [
                Route(f"{identity}/getplatformmetadata", "metadata", self._metadata),
                Route(f"{identity}/issuecredential", "issuecredential", self._issue_credential),
                Route(f"{identity}/oauth2/token", "imds_token", self._token),
                Route("/metadata/instance/compute", "compute", self._compute),
            ],
        )
        self._backend = backend
        self._profile = backend.profile

    def refusal(self, exchange: Exchange, refused: Refused) -> Response:  # noqa: ARG002 - the same for all requests
        """Return the two members that IMDS answers."""
        content = {"error": refused.error, "error_description": refused.reason}
        return json_response(content, refused.status)

    def _metadata(self, exchange: Exchange) -> Response:
        query = self._admit_v2(exchange, "GET", {*_V2, *_V2_SELECTORS})
        identity = self._identity(query, _V2_SELECTORS)
        return json_response(
            {
                "clientId": identity.client_id,
                "tenantId": self._profile.tenant_id,
                "cuId": self._profile.cu_id,
                "attestationEndpoint": self._profile.attestation_endpoint,
            }
        )

    def _issue_credential(self, exchange: Exchange) -> Response:
        query = self._admit_v2(exchange, "POST", {*_V2, *_V2_SELECTORS, "bypass_cache"})
        identity = self._identity(query, _V2_SELECTORS)
        if query.get("bypass_cache", "true") != "true":
            raise self.bad_request("bypass_cache must be 'true' where it is given.")
        der = self._issue(exchange, identity, bypass_cache="bypass_cache" in query)
        return json_response(
            {
                "client_id": identity.client_id,
                "tenant_id": self._profile.tenant_id,
                "certificate": base64.b64encode(der).decode("ascii"),
                "identity_type": identity.kind,
                "mtls_authentication_endpoint": self._backend.token_endpoint,
            }
        )

    def _issue(self, exchange: Exchange, identity: Identity, *, bypass_cache: bool) -> bytes:
        content = exchange.json_object()
        if not {"csr"} <= content.keys() <= {"csr", "attestation_token"}:
            raise self.bad_request("The body's members are csr and, at most, attestation_token.")
        try:
            key, subject = examine(
                content["csr"],
                tenant_id=self._profile.tenant_id,
                client_id=identity.client_id,
                cu_id=self._profile.cu_id,
            )
        except BadSigningRequest as exc:
            raise self.bad_request(str(exc)) from exc
        attested = "attestation_token" in content
        if attested:
            self._check_attestation(content["attestation_token"], key, exchange.now)
        elif self._backend.require_attestation:
            raise self.bad_request("This host issues credentials to attested keys only.")
        credentials = self._backend.credentials
        if isinstance(exchange.fault, IssuedCertificate):
            certificate = credentials.issue_faulty(subject, key, exchange.fault)
        else:
            certificate = credentials.issue(
                subject, key, attested=attested, bypass_cache=bypass_cache
            )
        return certificate.public_bytes(Encoding.DER)

    def _check_attestation(self, token: object, key: rsa.RSAPublicKey, now: float) -> None:
        if not isinstance(token, str) or not token.strip():
            raise self.bad_request(
                "attestation_token must be a JWT; leave it out if there is none."
            )
        complaint = self._backend.attestation.find_fault(token, key, now)
        if complaint is not None:
            raise self.bad_request(f"The attestation token is refused: {complaint}")

    def _token(self, exchange: Exchange) -> Response:
        self._admit(exchange, "GET")
        query = exchange.query({*_V1_TOKEN, *_V1_SELECTORS, "resource"})
        self._check_version(query, _V1_TOKEN)
        if "resource" not in query:
            raise self.bad_request("Required query parameter 'resource' not specified")
        identity = self._identity(query, _V1_SELECTORS)
        tokens = self._backend.tokens
        lifetime = str(int(tokens.lifetime))
        return json_response(
            {
                "access_token": tokens.issue(identity, query["resource"], now=exchange.now),
                "client_id": identity.client_id,
                "expires_in": lifetime,
                "expires_on": str(int(exchange.now + tokens.lifetime)),
                "ext_expires_in": lifetime,
                "not_before": str(int(exchange.now)),
                "resource": query["resource"],
                "token_type": "Bearer",
            }
        )

    def _compute(self, exchange: Exchange) -> Response:
        self._admit(exchange, "GET")
        self._check_version(exchange.query(_COMPUTE), _COMPUTE)
        has_security_type = "true" if self._profile.security_type else "false"
        return json_response(
            {
                "azEnvironment": "AzurePublicCloud",
                "location": "westus2",
                "name": "emulated-vm",
                "osType": self._profile.os_type,
                "resourceGroupName": "emulated",
                "securityProfile": {
                    "secureBootEnabled": has_security_type,
                    "securityType": self._profile.security_type,
                    "virtualTpmEnabled": has_security_type,
                },
                "vmId": self._profile.vm_id or "",
                "vmScaleSetName": "",
            }
        )

    def _admit_v2(self, exchange: Exchange, method: str, allowed: set[str]) -> dict[str, str]:
        if self._profile.imds_version == 1:
            raise Refused(404, "not_found", "This host's IMDS has no v2 endpoints.")
        self._admit(exchange, method)
        query = exchange.query(allowed)
        self._check_version(query, _V2)
        if not is_guid(exchange.request.headers.get("x-ms-client-request-id")):
            raise self.bad_request("The header x-ms-client-request-id must be a GUID.")
        return query

    def _admit(self, exchange: Exchange, method: str) -> None:
        """Check what all endpoints demand; first the ``Metadata`` header, by which v2 is probed."""
        headers = exchange.request.headers
        if headers.get("Metadata") != "true":
            raise self.bad_request("Required metadata header not specified")
        if "X-Forwarded-For" in headers:
            raise self.bad_request("Requests that were forwarded (X-Forwarded-For) are refused.")
        if exchange.request.method != method:
            raise Refused(405, "method_not_allowed", f"Use {method}.", headers={"Allow": method})

    def _check_version(self, query: dict[str, str], expected: dict[str, str]) -> None:
        ((name, version),) = expected.items()
        if query.get(name) != version:
            raise self.bad_request(f"The query parameter {name} must be {version}.")

    def _identity(self, query: dict[str, str], parameters: set[str]) -> Identity:
        selector = {name: value for name, value in query.items() if name in parameters}
        if len(selector) > 1:
            raise self.bad_request("At most one of client_id, object_id and resource id, please.")
        identity = self._profile.find_identity(selector)
        if identity is None:
            raise self.bad_request("Identity not found")
        return identity
