"""Requests to a resource, each with a bound token and its certificate."""

from __future__ import annotations

import enum
import uuid
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from msal_msi_v2.protocol.refusal import STALE_BINDING, challenged_claims, is_expired
from msal_msi_v2.tokens import authorization_header

from .peeking import LONGEST_REFUSAL, PeekedResponse

if TYPE_CHECKING:
    from msal_msi_v2.client import ManagedIdentityClient
    from msal_msi_v2.platforms import TransportResponse
    from msal_msi_v2.strength import MtlsBindingStrength

    from .presenting import Outgoing

_UNAUTHORIZED = 401
_REQUEST_ID = "x-ms-client-request-id"


class Remedy(enum.Enum):
    """What may mend a 401."""

    CLAIMS = enum.auto()
    """A token, and a certificate, with the claims that the resource asks for."""
    CONNECTION = enum.auto()
    """A connection that presents the certificate which the token is bound to."""
    TOKEN = enum.auto()
    """A new token."""


class ResourceTokens:
    """A ``Presenter`` of tokens for one resource, each with the certificate it is bound to.

    A 401 that a new token, certificate or connection may mend is answered with one, once each.
    """

    def __init__(
        self,
        client: ManagedIdentityClient,
        resource: str,
        *,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
    ) -> None:
        """Say which tokens; see ``ManagedIdentityClient.acquire_token_for_client``."""
        self._acquire = partial(
            client.acquire_token_for_client,
            resource=resource,
            mtls_proof_of_possession=True,
            with_attestation_support=with_attestation_support,
            min_strength=min_strength,
        )
        self._renewed = ""  # the last token that took the place of a refused one

    def send(self, outgoing: Outgoing) -> TransportResponse:
        """Send a request; see ``Presenter.send``."""
        tried: set[Remedy] = set()
        request_id = outgoing.header(_REQUEST_ID) or str(uuid.uuid4())
        result = self._acquire()
        while True:
            headers = {
                "Authorization": authorization_header(result),
                "x-ms-tokenboundauth": "true",
                _REQUEST_ID: request_id,
            }
            answer = outgoing.send(result["binding_certificate"], headers)
            if answer.status != _UNAUTHORIZED:
                return answer
            refusal = PeekedResponse(answer, LONGEST_REFUSAL)
            remedy = self._remedy(refusal, result)
            if remedy is None or remedy in tried:
                return refusal
            tried.add(remedy)
            with ExitStack() as stack:
                stack.callback(refusal.close)
                result = self._mend(remedy, refusal, result, outgoing)
                if not outgoing.rewind():
                    stack.pop_all()
                    return refusal  # what was mended serves the next request

    def _remedy(self, refusal: PeekedResponse, result: dict[str, Any]) -> Remedy | None:
        challenges = refusal.challenges
        if challenged_claims(challenges) is not None:
            return Remedy.CLAIMS
        if STALE_BINDING in refusal.beginning:
            return Remedy.CONNECTION
        if is_expired(challenges) and result["access_token"] != self._renewed:
            return Remedy.TOKEN
        return None

    def _mend(
        self, remedy: Remedy, refusal: PeekedResponse, result: dict[str, Any], outgoing: Outgoing
    ) -> dict[str, Any]:
        """Return what to send the request with now."""
        if remedy is Remedy.CONNECTION:
            outgoing.drop(result["binding_certificate"])
            return result
        newest = self._acquire()
        if newest["access_token"] != result["access_token"]:
            return newest  # another thread was refused, too, and has seen to it
        if remedy is Remedy.CLAIMS:
            return self._acquire(claims_challenge=challenged_claims(refusal.challenges))
        renewed = self._acquire(force_refresh=True)
        self._renewed = renewed["access_token"]
        return renewed
