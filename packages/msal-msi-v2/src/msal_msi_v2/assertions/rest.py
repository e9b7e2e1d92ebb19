"""Requests to one vault: authorized, bounded, and sent again where that is worth it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests

from msal_msi_v2.errors import (
    KeyVaultError,
    MsiV2ClientError,
    MsiV2ServiceError,
    TransportError,
)
from msal_msi_v2.fork import renew_after_fork
from msal_msi_v2.http.borrowed import renew_connections, retries_by_itself
from msal_msi_v2.http.failures import failure_of
from msal_msi_v2.protocol.messages import Response, parse_object, read_body

from .challenge import check_resource, resource_of
from .credentials import Authorization, BoundCredential, vault_credential
from .patience import RETRIES, Patience
from .refusals import UNAUTHORIZED, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2.clock import Clock

    from .refusals import Operation

V = TypeVar("V")

API_VERSION = "7.4"
TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to wait for an answer."""
_SUCCESS = range(200, 300)
_FAILURES = range(400, 600)


class _Request(NamedTuple):
    """What is sent, at each try.

    Attributes:
        method: ``GET`` or ``POST``.
        url: Without its query.
        guid: The id under which Key Vault logs it.
        json: Its body; ``None``: it has none.
    """

    method: str
    url: str
    guid: str
    json: dict[str, str] | None


class VaultConnection:
    """Sends requests to one vault."""

    def __init__(
        self,
        vault_url: str,
        credential: Any,
        *,
        resource: str | None,
        http_client: requests.Session | None,
        clock: Clock,
    ) -> None:
        """Keep where to send, and what to open it with.

        Args:
            vault_url: An https URL, no path.
            credential: What gives tokens; see ``credentials``.
            resource: What tokens are for; ``None``: as the vault says.
            http_client: Sends what carries no bound token; ``None``: a new session.
            clock: Waits between tries.

        Raises:
            MsiV2ClientError: ``invalid_request``: an argument is wrong.
        """
        self.url = vault_url
        self._host = urlsplit(vault_url).hostname or ""
        self._credential = vault_credential(credential)
        self._http_client = http_client if http_client is not None else requests.Session()
        if self._http_client.verify is False:
            raise MsiV2ClientError(
                "invalid_request",
                "http_client.verify is False, and no token is sent over a connection that nobody "
                "verifies. Set it to the path of your CA bundle.",
            )
        self._resource = None if resource is None else check_resource(resource, self._host)
        self._bound: requests.Session | None = None
        self._clock = clock
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Drop the connections: over the parent's, answers would be swapped."""
        renew_connections(self._http_client)
        self._bound = None

    def call(
        self,
        operation: Operation,
        method: str,
        path: str,
        *,
        json: dict[str, str] | None = None,
        required: tuple[str, ...],
        read: Callable[[dict[str, Any]], V],
    ) -> V:
        """Ask the vault for something, and return what is made of its answer.

        Args:
            operation: What is asked for, as permissions name it.
            method: ``GET`` or ``POST``.
            path: From the vault's URL.
            json: What to send.
            required: The members that the answer must have, all of them text.
            read: Makes something of the answer, or raises a ``KeyVaultError``.

        Raises:
            KeyVaultError: The vault refuses, or answers what the protocol does not allow.
            TransportError: No answer came back.
            MsiV2Error: The credential gave no token.
        """
        request = _Request(method, self.url + path, str(uuid.uuid4()), json)
        patience = Patience(self._clock)
        try:
            if self._resource is None:
                self._resource = self._ask_for_resource(operation, request, patience)
            response = self._send(request, patience, self._resource)
            if response.status not in _SUCCESS:
                raise refusal(response, operation, request.url, request.guid)
            return read(_parse(response, operation, required))
        except MsiV2ServiceError as exc:
            exc.correlation_id = exc.correlation_id or request.guid
            raise

    def _ask_for_resource(self, operation: Operation, request: _Request, patience: Patience) -> str:
        """Send the request with no token, certificate or body: the vault names its resource."""
        bare = request._replace(json=None)
        response = self._persist(self._http_client, bare, patience, Authorization)
        if response.status in _FAILURES and response.status != UNAUTHORIZED:
            raise refusal(response, operation, request.url, request.guid)
        return resource_of(response.headers.get("www-authenticate"), self._host)

    def _send(self, request: _Request, patience: Patience, resource: str) -> Response:
        credential = self._credential
        if isinstance(credential, BoundCredential):
            session = self._bound = self._bound or credential.session(resource)
            return self._persist(session, request, patience, Authorization)
        return self._persist(
            self._http_client, request, patience, lambda: Authorization(credential.token(resource))
        )

    def _persist(
        self,
        session: requests.Session,
        request: _Request,
        patience: Patience,
        authorize: Callable[[], Authorization],
    ) -> Response:
        """Send a request, and again where that is worth it; some sessions do so by themselves."""
        retries = 0 if retries_by_itself(session, request.url) else RETRIES
        return patience.send(lambda: self._exchange(session, request, authorize()), retries)

    def _exchange(
        self, session: requests.Session, request: _Request, authorization: Authorization
    ) -> Response | TransportError:
        try:
            with _ask(session, request, authorization) as answer:
                return _read(answer)
        except OSError as exc:  # which requests' own are, too
            return _no_answer(exc, self._host)
        finally:
            authorization.withdraw()


def _ask(
    session: requests.Session, request: _Request, authorization: Authorization
) -> requests.Response:
    try:
        return session.request(
            request.method,
            request.url,
            params={"api-version": API_VERSION},
            headers={"Accept": "application/json", "x-ms-client-request-id": request.guid},
            json=request.json,
            auth=authorization,
            timeout=TIMEOUT,
            allow_redirects=False,
            stream=True,
        )
    except requests.HTTPError as exc:  # a session whose hook raises for status
        if exc.response is None:
            raise
        return exc.response


def _read(answer: requests.Response) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    try:
        body = read_body(answer.iter_content(65536), "Key Vault", answer.status_code)
    except MsiV2ServiceError as exc:
        raise malformed(exc.error_description) from exc
    return Response(answer.status_code, headers, body)


def _parse(response: Response, operation: Operation, required: tuple[str, ...]) -> dict[str, Any]:
    try:
        return parse_object(response, f"answer of Key Vault to {operation.permission}", required)
    except MsiV2ServiceError as exc:
        raise malformed(exc.error_description) from exc


def malformed(description: str) -> KeyVaultError:
    """Return the error for a success that does not hold what it must."""
    return KeyVaultError("key_vault_request_failed", description)


def _no_answer(exc: OSError, host: str) -> TransportError:
    error = TransportError(
        failure_of(exc),
        f"Key Vault at {host} did not answer ({type(exc).__name__}). Check the vault's URL, name "
        "resolution, firewall, proxy and the CAs that are trusted.",
    )
    error.__cause__ = exc
    return error
