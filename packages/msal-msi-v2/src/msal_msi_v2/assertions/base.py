"""What all assertions have in common: being called by msal, bound to one tenant, and kept."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from msal_msi_v2.clock import SystemClock
from msal_msi_v2.errors import MsiV2Error

from .audience import PUBLIC_AUTHORITY, endpoint_of, read_context
from .cache import Assertion, AssertionCache, AssertionName
from .jwt import make_claims, serialize, signing_input

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from msal_msi_v2.clock import Clock


class ClientAssertion(ABC):
    """Proves who an application is, in place of a secret.

    Safe to call from many threads; one object serves any number of applications and tenants.
    """

    @abstractmethod
    def __call__(self, context: Mapping[str, Any]) -> str:
        """Return an assertion, as ``client_credential={"client_assertion": …}`` of msal wants it.

        Args:
            context: ``client_id`` and ``token_endpoint``, as msal passes them.

        Raises:
            MsiV2Error: None could be made.
        """

    @abstractmethod
    def invalidate(self) -> None:
        """Forget what is kept, so that the next call starts anew.

        msal does not tell a callable that Entra refused its assertion; so who sees
        ``invalid_client`` in msal's result calls this.
        """

    def bind(
        self,
        client_id: str | uuid.UUID,
        tenant_id: str | uuid.UUID,
        *,
        authority: str = PUBLIC_AUTHORITY,
    ) -> Callable[[], str]:
        """Return the callable without parameters that azure-identity wants.

        Args:
            client_id: The application's client id.
            tenant_id: The tenant to ask in, a GUID or a domain name.
            authority: The login service of a national cloud, without the tenant, e.g.
                ``"https://login.microsoftonline.us"``.

        Raises:
            MsiV2ClientError: ``invalid_request``: an argument is wrong.
        """
        named = str(client_id) if isinstance(client_id, uuid.UUID) else client_id
        context = {"client_id": named, "token_endpoint": endpoint_of(tenant_id, authority)}
        read_context(context)
        return partial(self, context)


@dataclass(frozen=True)
class Signer:
    """A key that signs, and how the assertion names its certificate.

    Attributes:
        key_version: What its assertions are kept under.
        header: The JWT's header.
        sign: Returns the signature over the bytes that it is given.
    """

    key_version: str
    header: Mapping[str, Any]
    sign: Callable[[bytes], bytes] = field(repr=False)


class SigningAssertion(ClientAssertion):
    """An assertion that is signed here or elsewhere, and kept until shortly before it expires."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock or SystemClock()
        self._cache = AssertionCache(self._clock)

    @abstractmethod
    def _signer(self) -> Signer:
        """Return the key to sign with now."""

    def __call__(self, context: Mapping[str, Any]) -> str:
        """Return an assertion; see ``ClientAssertion``."""
        client_id, audience = read_context(context)
        # First: one that is invalidated while it is made is kept where nobody looks any more.
        cache = self._cache
        signer = self._signer()
        try:
            return self._get(cache, client_id, audience, signer)
        except MsiV2Error as exc:
            if not self._is_superseded(signer, exc):
                raise
        return self._get(cache, client_id, audience, self._signer())

    def invalidate(self) -> None:
        """Forget every assertion that is kept; see ``ClientAssertion``."""
        self._cache = AssertionCache(self._clock)

    def _is_superseded(self, signer: Signer, error: MsiV2Error) -> bool:  # noqa: ARG002 - a subclass looks
        """Tell whether another key may sign in place of one that failed to."""
        return False

    def _get(self, cache: AssertionCache, client_id: str, audience: str, signer: Signer) -> str:
        name = AssertionName(client_id, audience, signer.key_version)
        return cache.get(name, lambda: self._make(name, signer))

    def _make(self, name: AssertionName, signer: Signer) -> Assertion:
        guid = str(uuid.uuid4())
        claims = make_claims(name.client_id, name.audience, self._clock.now(), guid)
        signed = signing_input(signer.header, claims)
        try:
            return Assertion(serialize(signed, signer.sign(signed)), claims["exp"])
        except MsiV2Error as exc:
            exc.correlation_id = exc.correlation_id or guid
            raise
