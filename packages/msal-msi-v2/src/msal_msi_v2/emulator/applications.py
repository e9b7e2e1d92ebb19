"""The tenant's applications, and whether an assertion is one that Entra would take from them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import jwt

from .access_tokens import EXCHANGE_AUDIENCE, AccessTokens, TokenRefused, client_id_of
from .app_certificates import by_thumbprint, find_named
from .exchange import Refused
from .guids import is_guid, new_guid
from .jwts import x5t_s256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_POP = "urn:ietf:params:oauth:client-assertion-type:jwt-pop"
PUBLIC_LOGIN = "https://login.microsoftonline.com"
_LONGEST_LIFETIME = 600 + 5  # Entra takes longer ones, too; nobody should need them
_SKEW = 300
_ALGORITHMS = ("PS256", "RS256")
# AADSTS codes.
_MALFORMED, _BAD_SIGNATURE, _BAD_TIME, _NO_FEDERATION = 50027, 700027, 700024, 700213
_UNKNOWN_APPLICATION, _BAD_AUDIENCE, _BAD_ISSUER = 700016, 700023, 700021
_NO_MANAGED_IDENTITY = 700222


@dataclass(frozen=True)
class FederatedCredential:
    """A token of somebody else's that an application may sign in with.

    Attributes:
        issuer: Its ``iss``.
        subject: Its ``sub``: of a managed identity, the object id.
        audience: Its ``aud``.
    """

    issuer: str
    subject: str
    audience: str = EXCHANGE_AUDIENCE


@dataclass(frozen=True)
class Application:
    """A multi-tenant application.

    Attributes:
        client_id: A GUID.
        object_id: Of its service principal, a GUID.
        federated: Its federated credentials.
    """

    client_id: str
    object_id: str
    federated: tuple[FederatedCredential, ...] = ()
    certificates: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Registered certificates, DER, by ``x5t#S256``."""


class Applications:
    """The registrations. Safe to use from many threads."""

    def __init__(self, tokens: AccessTokens) -> None:
        """Start empty.

        Args:
            tokens: Examines the managed identities' tokens.
        """
        self._tokens = tokens
        self._lock = threading.Lock()
        self._registered: dict[str, Application] = {}

    def register(
        self, certificates: Iterable[bytes | str], federated: Iterable[FederatedCredential]
    ) -> Application:
        """Register a new application.

        Raises:
            ValueError: A certificate cannot be read, or is not over an RSA key.
        """
        made = Application(new_guid(), new_guid(), tuple(federated), by_thumbprint(certificates))
        with self._lock:
            self._registered[made.client_id] = made
        return made

    def find(self, client_id: str) -> Application:
        """Return an application.

        Raises:
            Refused: There is none.
        """
        found = self._registered.get(client_id.lower())
        if found is None:
            # Not invalid_client, after which a client would have its certificate renewed.
            reason = f"Application with identifier '{client_id}' was not found in the directory."
            raise Refused(400, "unauthorized_client", reason, codes=[_UNKNOWN_APPLICATION])
        return found

    def add_certificate(self, client_id: str, certificate: bytes | str) -> None:
        """Register one more certificate of an application.

        Raises:
            KeyError: There is no such application.
            ValueError: The certificate cannot be read, or is not over an RSA key.
        """
        self._registered[client_id].certificates.update(by_thumbprint([certificate]))

    def remove_certificate(self, client_id: str, thumbprint: str) -> None:
        """Forget a certificate of an application, by its ``x5t#S256``.

        Raises:
            KeyError: There is no such application, or it has no such certificate.
        """
        del self._registered[client_id].certificates[thumbprint]

    def check_bearer(
        self, application: Application, assertion: str, *, audiences: Sequence[str], now: float
    ) -> None:
        """Check an assertion of the type ``jwt-bearer``.

        Args:
            application: Who signs in.
            assertion: A JWT that the application signed, or one of a federated issuer.
            audiences: The URLs of this token endpoint.
            now: The services' time, in seconds since the epoch.

        Raises:
            Refused: Entra would not take it.
        """
        claims = _unverified(assertion)
        if claims.get("iss") != application.client_id:
            federated = self._check_federated(application, assertion, now=now)
            if "cnf" in federated:
                raise _refused("A bound token is no jwt-bearer assertion.", _NO_FEDERATION)
            return
        header = jwt.get_unverified_header(assertion)
        certificate = find_named(application.certificates, header)
        if certificate is None:
            raise _refused("The assertion names no certificate of the application.", _BAD_SIGNATURE)
        _check_signature(assertion, header, certificate)
        _check_claims(claims, application, audiences, now)
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not start.timestamp() <= now < end.timestamp():
            raise _refused("The certificate of the assertion is not valid now.", _BAD_SIGNATURE)

    def check_bound(
        self, application: Application, assertion: str, certificate: bytes, *, now: float
    ) -> None:
        """Check an assertion of the type ``jwt-pop``.

        Args:
            application: Who signs in.
            assertion: A managed identity's token, bound to a certificate.
            certificate: The TLS client certificate, DER.
            now: The services' time, in seconds since the epoch.

        Raises:
            Refused: Entra would not take it.
        """
        claims = self._check_federated(application, assertion, now=now)
        bound_to = (claims.get("cnf") or {}).get("x5t#S256")
        if bound_to != x5t_s256(certificate):
            raise _refused("The assertion is not bound to the TLS certificate.", _BAD_SIGNATURE)

    def _check_federated(
        self, application: Application, assertion: str, *, now: float
    ) -> Mapping[str, Any]:
        try:
            claims = self._tokens.read(assertion, now=now)
        except TokenRefused as exc:
            raise _refused(str(exc), _BAD_SIGNATURE) from exc
        presented = FederatedCredential(*(str(claims.get(name)) for name in ("iss", "sub", "aud")))
        if presented not in application.federated:
            raise _refused(
                "No matching federated identity record found for the presented assertion's "
                "issuer, subject and audience.",
                _NO_FEDERATION,
            )
        identities = {one.client_id for one in self._tokens.profile.identities}
        if client_id_of(claims) not in identities:
            raise _refused(
                "AAD-issued tokens may not be used for federated identity flows, "
                "but for those of managed identities.",
                _NO_MANAGED_IDENTITY,
            )
        return claims


def _unverified(assertion: str) -> dict[str, Any]:
    try:
        return jwt.decode(assertion, options={"verify_signature": False})
    except (jwt.InvalidTokenError, RecursionError) as exc:  # of old PyJWT, the latter
        raise _refused("The assertion is not a JWT.", _MALFORMED) from exc


def _check_signature(
    assertion: str, header: Mapping[str, Any], certificate: x509.Certificate
) -> None:
    if header.get("alg") not in _ALGORITHMS:
        raise _refused("The assertion's algorithm is not accepted.", _BAD_SIGNATURE)
    try:
        jwt.decode(
            assertion,
            cast("rsa.RSAPublicKey", certificate.public_key()),
            algorithms=list(_ALGORITHMS),
            options={
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
            },
        )
    except jwt.InvalidTokenError as exc:
        raise _refused("The signature of the assertion is wrong.", _BAD_SIGNATURE) from exc


def _check_claims(
    claims: Mapping[str, Any], application: Application, audiences: Sequence[str], now: float
) -> None:
    if claims.get("sub") != application.client_id:
        raise _refused("The assertion's subject is not the application.", _BAD_ISSUER)
    if claims.get("aud") not in audiences:
        raise _refused("The assertion is for another audience.", _BAD_AUDIENCE)
    if not is_guid(str(claims.get("jti"))):
        raise _refused("The assertion's jti is not a GUID.", _MALFORMED)
    times = [claims.get("nbf", claims.get("iat")), claims.get("exp")]  # msal sends no nbf
    if not all(isinstance(one, int | float) for one in times):
        raise _refused("The assertion's times are missing.", _BAD_TIME)
    start, end = cast("list[float]", times)
    if not start - _SKEW <= now < end or not start < end <= start + _LONGEST_LIFETIME:
        raise _refused("The assertion is not within its valid time range.", _BAD_TIME)


def _refused(reason: str, code: int) -> Refused:
    return Refused(401, "invalid_client", reason, codes=[code])
