"""Assertions that are a managed identity's own token: federation, with no key at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msal_msi_v2.errors import MsiV2ClientError
from msal_msi_v2.flight import SingleFlight

from .audience import read_context
from .base import ClientAssertion
from .credentials import BoundCredential, bearer

if TYPE_CHECKING:
    from collections.abc import Mapping


class ManagedIdentityAssertion(ClientAssertion):
    """A managed identity's bearer token, for an application that trusts the identity.

    The application needs a federated identity credential whose issuer is the tenant, whose subject
    is the identity's object id, and whose audience is ``audience``. The client keeps its tokens
    itself; nothing is kept here.
    """

    def __init__(self, client: Any, *, audience: str = "api://AzureADTokenExchange") -> None:
        """Keep the client.

        Args:
            client: An ``msal.ManagedIdentityClient``, of which ours is one, for the identity; or
                another credential that ``KeyVaultCertificateAssertion`` takes.
            audience: What the token is for; ``"api://AzureADTokenExchangeUSGov"`` and
                ``"api://AzureADTokenExchangeChina"`` in those clouds.

        Raises:
            MsiV2ClientError: ``invalid_request``: the client is none.
        """
        self._bearer = None if isinstance(client, BoundCredential) else bearer(client)
        self._audience = audience
        self._flights: SingleFlight[str] = SingleFlight()

    def __call__(self, context: Mapping[str, Any]) -> str:
        """Return the identity's token; see ``ClientAssertion``.

        Raises:
            MsiV2ClientError: ``token_type_mismatch``: the token is a bound one, which needs the
                connection that it is bound to.
            MsiV2Error: The client got no token.
        """
        read_context(context)
        source = self._bearer
        if source is None:
            raise MsiV2ClientError(
                "token_type_mismatch",
                "A bound assertion needs the connection that it is bound to, which msal does not "
                "make. Use BoundConfidentialClient, or pass the client itself for a bearer "
                "assertion.",
            )
        return self._flights.run(self._audience, lambda: source.token(self._audience))

    def invalidate(self) -> None:
        """Do nothing: the tokens are the client's to keep, and it renews them in time."""
