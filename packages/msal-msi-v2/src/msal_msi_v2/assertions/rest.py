"""Requests to one vault: authorized, bounded, and sent again where that is worth it."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import requests

from msal_msi_v2.errors import (
    KeyVaultError,
    MsiV2ClientError,
    MsiV2ServiceError,
    TransportError,
)
from msal_msi_v2.fork import renew_after_fork
from msal_msi_v2.http.failures import failure_of
from msal_msi_v2.protocol.messages import Response, parse_object, read_body
from msal_msi_v2.protocol.retry import parse_retry_after

from .challenge import check_resource, resource_of
from .credentials import BoundCredential, vault_credential
from .refusals import THROTTLED, UNAUTHORIZED, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2.clock import Clock

    from .refusals import Operation

logger = logging.getLogger("msal_msi_v2")

V = TypeVar("V")

API_VERSION = "7.4"
TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to wait for an answer."""
RETRIES = 3
LONGEST_WAIT = 30.0
"""Seconds: a vault that wants to be left alone for longer is left to the caller."""
_SUCCESS = range(200, 300)
_FAILURES = range(400, 600)
_SERVER_ERRORS = range(500, 600)


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
        self._http_client.close()  # its adapters' idle connections; it stays usable
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
        url, guid = self.url + path, str(uuid.uuid4())
        try:
            if self._resource is None:
                self._resource = self._ask_for_resource(operation, method, url, guid)
            response = self._send_with_retries(lambda: self._send(method, url, guid, json))
            if response.status not in _SUCCESS:
                raise refusal(response, operation, url, guid)
            return read(_parse(response, operation, required))
        except MsiV2ServiceError as exc:
            exc.correlation_id = exc.correlation_id or guid
            raise

    def _ask_for_resource(self, operation: Operation, method: str, url: str, guid: str) -> str:
        """Send the request with no token, certificate or body: the vault names its resource."""
        response = self._send_with_retries(
            lambda: self._exchange(self._http_client, method, url, guid, auth=_Nothing())
        )
        if response.status in _FAILURES and response.status != UNAUTHORIZED:
            raise refusal(response, operation, url, guid)
        return resource_of(response.headers.get("www-authenticate"), self._host)

    def _send(self, method: str, url: str, guid: str, json: Any) -> Response:
        resource = str(self._resource)
        if isinstance(self._credential, BoundCredential):
            session = self._bound = self._bound or self._credential.session(resource)
            return self._exchange(session, method, url, guid, json=json)
        auth = _Token(self._credential.token(resource))
        return self._exchange(self._http_client, method, url, guid, json=json, auth=auth)

    def _exchange(
        self, session: requests.Session, method: str, url: str, guid: str, **options: Any
    ) -> Response:
        try:
            with session.request(
                method,
                url,
                params={"api-version": API_VERSION},
                headers={"Accept": "application/json", "x-ms-client-request-id": guid},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
                **options,
            ) as answer:
                return _read(answer)
        except OSError as exc:  # which requests' own are, too
            raise _no_answer(exc, self._host) from exc

    def _send_with_retries(self, send: Callable[[], Response]) -> Response:
        for failures in range(RETRIES):
            response = send()
            delay = self._delay(response, failures)
            if delay is None:
                return response
            logger.info("Key Vault: HTTP %d; trying again in %g s", response.status, delay)
            self._clock.sleep(delay)
        return send()

    def _delay(self, response: Response, failures: int) -> float | None:
        """Return how many seconds to wait before the next try; ``None``: there is none."""
        if response.status != THROTTLED and response.status not in _SERVER_ERRORS:
            return None
        asked = response.headers.get("retry-after")
        if asked is None:
            return 2.0**failures
        now = datetime.fromtimestamp(self._clock.now(), timezone.utc)
        seconds = max(parse_retry_after(asked, now), 0.0)
        return seconds if seconds <= LONGEST_WAIT else None


class _Nothing(requests.auth.AuthBase):
    """Keeps requests from looking for a password in .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)  # nor any that the session has of its own
        return request


class _Token(requests.auth.AuthBase):
    """Shows a bearer token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


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
    return TransportError(
        failure_of(exc),
        f"Key Vault at {host} did not answer ({type(exc).__name__}). Check the vault's URL, name "
        "resolution, firewall, proxy and the CAs that are trusted.",
    )
