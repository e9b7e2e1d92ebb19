"""The same assertions for asyncio: ``await assertion(context)``; the work is done in a thread."""

from __future__ import annotations

import asyncio
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from msal_msi_v2 import assertions

from .audience import PUBLIC_AUTHORITY

if TYPE_CHECKING:
    import uuid
    from collections.abc import Awaitable, Callable, Mapping

__all__ = [
    "AsyncClientAssertion",
    "KeyVaultCertificateAssertion",
    "KeyVaultKeyAssertion",
    "ManagedIdentityAssertion",
    "SignedAssertion",
]

P = ParamSpec("P")


class AsyncClientAssertion:
    """A client assertion that does not hold up the event loop.

    Attributes:
        assertion: The assertion itself, for msal and others that call without ``await``; both
            share what is kept.
    """

    def __init__(self, assertion: assertions.ClientAssertion) -> None:
        """Keep the assertion.

        Args:
            assertion: Any of ``msal_msi_v2.assertions``.
        """
        self.assertion = assertion

    async def __call__(self, context: Mapping[str, Any]) -> str:
        """Return an assertion; see ``ClientAssertion``."""
        return await asyncio.to_thread(self.assertion, context)

    def bind(
        self,
        client_id: str | uuid.UUID,
        tenant_id: str | uuid.UUID,
        *,
        authority: str = PUBLIC_AUTHORITY,
    ) -> Callable[[], Awaitable[str]]:
        """Return the callable without parameters, to be awaited; see ``ClientAssertion``."""
        bound = self.assertion.bind(client_id, tenant_id, authority=authority)
        return partial(asyncio.to_thread, bound)

    def invalidate(self) -> None:
        """Forget what is kept; see ``ClientAssertion``."""
        self.assertion.invalidate()


def _twin(kind: Callable[P, assertions.ClientAssertion]) -> Callable[P, AsyncClientAssertion]:
    @wraps(kind, updated=())
    def make(*args: P.args, **kwargs: P.kwargs) -> AsyncClientAssertion:
        return AsyncClientAssertion(kind(*args, **kwargs))

    return make


KeyVaultCertificateAssertion = _twin(assertions.KeyVaultCertificateAssertion)
KeyVaultKeyAssertion = _twin(assertions.KeyVaultKeyAssertion)
ManagedIdentityAssertion = _twin(assertions.ManagedIdentityAssertion)
SignedAssertion = _twin(assertions.SignedAssertion)
