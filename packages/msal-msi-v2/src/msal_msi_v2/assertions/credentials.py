"""What opens the vault: bound sessions of our client, or bearer tokens of anybody's."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Protocol

import msal
import requests

from msal_msi_v2.client import ManagedIdentityClient
from msal_msi_v2.errors import MsiV2ClientError, MsiV2ServiceError, quote
from msal_msi_v2.protocol.token import is_token, read_claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2.strength import MtlsBindingStrength


class BoundCredential:
    """A ``ManagedIdentityClient`` of this package whose calls carry tokens bound to its key."""

    def __init__(
        self,
        client: ManagedIdentityClient,
        *,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
    ) -> None:
        """Keep the client, and how strong its binding must be.

        Args:
            client: The client.
            with_attestation_support: As for its ``acquire_token_for_client``.
            min_strength: As for its ``acquire_token_for_client``.
        """
        self._client = client
        self._options: dict[str, Any] = {
            "with_attestation_support": with_attestation_support,
            "min_strength": min_strength,
        }

    def session(self, resource: str) -> requests.Session:
        """Return a session that calls a resource with bound tokens, and with nothing less."""
        return self._client.mtls_session(resource=resource, **self._options)


class Bearer(Protocol):
    """Gives bearer tokens."""

    def token(self, resource: str) -> str:
        """Return a token for a resource, e.g. ``https://vault.azure.net``."""


class BearerCredential:
    """Any ``msal.ManagedIdentityClient``, ours too, giving bearer tokens."""

    def __init__(self, client: msal.ManagedIdentityClient) -> None:
        """Keep the client.

        Args:
            client: The client; it caches its tokens itself.
        """
        self._client = client

    def token(self, resource: str) -> str:
        """Return a token for a resource.

        Raises:
            MsiV2ServiceError: The code that msal's result names; no token could be had.
            MsiV2ClientError: ``token_type_mismatch``: the token is a bound one.
        """
        result = self._client.acquire_token_for_client(resource=resource)
        if "access_token" not in result:
            raise MsiV2ServiceError(
                str(result.get("error", "managed_identity_request_failed")),
                f"msal got no token for {resource}: {quote(str(result.get('error_description')))}",
            )
        return _check_bearer(result["access_token"], str(result.get("token_type") or "Bearer"))


class _TokenCredential:
    """A credential of the Azure SDK."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential

    def token(self, resource: str) -> str:
        get_token_info = getattr(self._credential, "get_token_info", None)
        found = (get_token_info or self._credential.get_token)(f"{resource}/.default")
        _refuse_coroutine(found)
        kind = str(getattr(found, "token_type", None) or "Bearer")
        return _check_bearer(getattr(found, "token", None), kind)


class _Function:
    """A function from a resource to a token."""

    def __init__(self, function: Callable[[str], str]) -> None:
        self._function = function

    def token(self, resource: str) -> str:
        found = self._function(resource)
        _refuse_coroutine(found)
        return _check_bearer(found, "Bearer")


class Authorization(requests.auth.AuthBase):
    """Shows a bearer token, or nothing: neither a password of .netrc nor the session's own."""

    def __init__(self, token: str | None = None) -> None:
        """Take the token; ``None``: nothing is shown."""
        self._token = token
        self._shown: list[requests.PreparedRequest] = []

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put it on a request."""
        request.headers.pop("Authorization", None)
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        self._shown.append(request)
        return request

    def withdraw(self) -> None:
        """Take the token off what was sent: exceptions of requests hold on to their request."""
        for request in self._shown:
            request.headers.pop("Authorization", None)


def vault_credential(credential: Any) -> BoundCredential | Bearer:
    """Return what opens a vault: with our own client, bound tokens and no others.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is nothing that gives tokens.
    """
    if isinstance(credential, ManagedIdentityClient):
        return BoundCredential(credential)
    if isinstance(credential, BoundCredential):
        return credential
    return bearer(credential)


def bearer(credential: Any) -> Bearer:
    """Return what gives bearer tokens.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is nothing that gives tokens.
    """
    if isinstance(credential, BearerCredential):
        return credential
    if isinstance(credential, msal.ManagedIdentityClient):
        return BearerCredential(credential)
    if hasattr(credential, "get_token"):
        return _TokenCredential(credential)
    if callable(credential):
        return _Function(credential)
    raise MsiV2ClientError(
        "invalid_request",
        f"A {type(credential).__name__} is no credential: pass a managed identity client of this "
        "package or of msal, a TokenCredential of the Azure SDK, or a function that takes the "
        "resource and returns a token.",
    )


def _check_bearer(token: Any, kind: str) -> str:
    """Refuse what is no token, and to show a bound token as if it were a bearer token."""
    if not isinstance(token, str) or not is_token(token):
        raise MsiV2ClientError(
            "invalid_request",
            f"The credential returned a {type(token).__name__} that is no token: visible ASCII "
            "characters, without spaces or line breaks. Check what it reads.",
        )
    claims = read_claims(token)
    if kind.lower() != "bearer" or (claims is not None and "cnf" in claims):
        raise MsiV2ClientError(
            "token_type_mismatch",
            "The credential returned a bound token, and a bearer token is needed here. To open a "
            "vault with bound tokens, pass BoundCredential(client); to sign in with them, use "
            "BoundConfidentialClient.",
        )
    return token


def _refuse_coroutine(found: Any) -> None:
    if inspect.iscoroutine(found):
        found.close()
        raise MsiV2ClientError(
            "invalid_request",
            "The credential is asynchronous; pass its synchronous sibling, also to the assertions "
            "of msal_msi_v2.assertions.aio, which call it in a thread.",
        )
