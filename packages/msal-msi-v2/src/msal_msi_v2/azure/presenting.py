"""Chooses the certificate of each request by the token that the Azure SDK has put into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ClientAuthenticationError
from requests.adapters import HTTPAdapter

from msal_msi_v2.http.adapter import MtlsAdapter
from msal_msi_v2.http.peeking import LONGEST_REFUSAL, PeekedResponse
from msal_msi_v2.http.session import MtlsSession
from msal_msi_v2.protocol.refusal import STALE_BINDING
from msal_msi_v2.protocol.token import TOKEN_TYPE

if TYPE_CHECKING:
    import requests

    from msal_msi_v2.http.presenting import Outgoing
    from msal_msi_v2.platforms import TransportResponse

    from .handout import Handout

_UNAUTHORIZED = 401


class HandedOutTokens:
    """A ``Presenter`` of the tokens that a credential has handed out."""

    def __init__(self, handout: Handout) -> None:
        self._handout = handout

    def send(self, outgoing: Outgoing) -> TransportResponse:
        """Send a request that carries such a token; see ``Presenter.send``."""
        token = _token(outgoing.header("Authorization"))
        certificate = self._handout.certificate_of(token)
        if certificate is None:
            raise ClientAuthenticationError(
                message="The request carries a token that this MsiV2Credential has not issued, and "
                "that may be a bearer token. Build the client with the credential whose "
                "client_options() it has; or, to let other credentials' bearer tokens pass, "
                "with client_options(allow_bearer=True)."
            )
        headers = {"Authorization": f"{TOKEN_TYPE} {token}", "x-ms-tokenboundauth": "true"}
        answer = outgoing.send(certificate, headers)
        if answer.status != _UNAUTHORIZED:
            return answer
        refusal = PeekedResponse(answer, LONGEST_REFUSAL)
        if STALE_BINDING in refusal.beginning:
            outgoing.drop(certificate)
            if outgoing.rewind():
                refusal.close()
                return outgoing.send(certificate, headers)
        return refusal


class CredentialAdapter(MtlsAdapter):
    """An ``MtlsAdapter`` that also sends what carries no bound token: without a certificate."""

    def __init__(self, handout: Handout, *, allow_bearer: bool) -> None:
        super().__init__(HandedOutTokens(handout), ca_bundle=handout.client.ca_bundle)
        self._handout = handout
        self._allow_bearer = allow_bearer

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        """Send a request; see ``MtlsAdapter.send``."""
        token = _token(request.headers.get("Authorization"))
        foreign = self._handout.certificate_of(token) is None
        if not token or (foreign and self._allow_bearer):
            return HTTPAdapter.send(self, request, *args, **kwargs)
        return super().send(request, *args, **kwargs)


class _Session(MtlsSession):
    def request(
        self, *args: Any, loop: Any = None, read_timeout: float | None = None, **kwargs: Any
    ) -> requests.Response:
        """Send a request; see ``requests.Session.request``.

        The SDK's asynchronous transport hands on two arguments that are none of requests':
        ``loop``, which is its own affair, and ``read_timeout`` (seconds).
        """
        del loop
        if read_timeout is not None:
            kwargs["timeout"] = (kwargs.get("timeout"), read_timeout)
        return super().request(*args, **kwargs)


def make_session(handout: Handout, *, allow_bearer: bool) -> MtlsSession:
    """Return a session for the requests of an Azure SDK client."""
    adapter = CredentialAdapter(handout, allow_bearer=allow_bearer)
    return _Session(adapter, handout.client.ca_bundle)


def _token(header: str | bytes | None) -> str:
    text = header.decode("latin-1") if isinstance(header, bytes) else header or ""
    return text.partition(" ")[2].strip()
