"""What a platform remembers: tokens with their bindings, bindings, and refusals."""

from __future__ import annotations

import copy
import hashlib
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ._base64 import b64url_encode
from .flight import Background, SingleFlight
from .fork import renew_after_fork
from .protocol.retry import LONGEST_THROTTLE

if TYPE_CHECKING:
    from collections.abc import Hashable

    from cryptography.hazmat.primitives.asymmetric import rsa

    from .binding import Binding
    from .capabilities import ManagedIdentityCapabilities
    from .errors import MsiV2ServiceError
    from .protocol.identity import Identity
    from .protocol.token import TokenResponse
    from .strength import MtlsBindingStrength

TOKEN_MARGIN = 300.0
"""Seconds: a token with less left is not served from the cache."""
CERTIFICATE_MARGIN = 24 * 3600.0
"""Seconds: a certificate with less left is not used for new tokens."""
_SWEEP_FROM = 1024


class BindingName(NamedTuple):
    """What certificates are kept under: they outlive tokens, and serve all resources.

    Attributes:
        imds_base: Which IMDS issued it.
        identity: Whose certificate.
        attested: Whether its key was attested.
    """

    imds_base: str
    identity: Identity
    attested: bool

    @property
    def alias(self) -> str:
        """The name in stores that other programs share, as in MSAL .NET."""
        return f"{self.identity.alias}#att={int(self.attested)}"


class TokenName(NamedTuple):
    """What tokens are kept under.

    Attributes:
        binding: What their bindings are kept under.
        scope: The scope asked for.
        capabilities: The client's capabilities.
    """

    binding: BindingName
    scope: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True)
class BoundToken:
    """A token and the binding that it was asked for with: one pair, never apart.

    Attributes:
        token: The token.
        binding: What it is bound to; a bearer token, an application's, was asked for with it.
        expires_at: Unix seconds.
        refresh_at: Unix seconds, where the service said when to renew it.
        correlation_id: The GUID of the acquisition.
    """

    token: TokenResponse
    binding: Binding
    expires_at: float
    refresh_at: float | None
    correlation_id: str


class TokenCache:
    """Tokens by name. A look takes no lock."""

    def __init__(self) -> None:
        self._tokens: dict[Hashable, BoundToken] = {}
        self._dropped: weakref.WeakSet[Binding] = weakref.WeakSet()
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Take a new lock; the tokens stay good."""
        self._lock = threading.Lock()

    def get(self, name: Hashable, floor: MtlsBindingStrength, now: float) -> BoundToken | None:
        """Return a token that is good for a while yet, and bound as strongly as asked."""
        kept = self._tokens.get(name)
        if kept is None or not TOKEN_MARGIN < kept.expires_at - now <= kept.token.expires_in:
            return None  # too little of it is left; or the clock was set back, and nobody knows
        certificate = kept.binding.certificate
        if certificate.strength < floor or certificate.expires_at <= now:
            return None
        return kept

    def put(self, name: Hashable, token: BoundToken, now: float) -> None:
        """Keep a token, unless its binding was dropped meanwhile."""
        with self._lock:
            if token.binding in self._dropped:
                return
            if len(self._tokens) >= _SWEEP_FROM:
                self._keep(lambda kept: kept.expires_at - now > TOKEN_MARGIN)
            self._tokens[name] = token

    def drop(self, binding: Binding) -> None:
        """Forget every token of a binding that is of no use any more."""
        with self._lock:
            self._dropped.add(binding)
            self._keep(lambda kept: kept.binding is not binding)

    def _keep(self, wanted: Any) -> None:
        for name, kept in list(self._tokens.items()):
            if not wanted(kept):
                del self._tokens[name]


class BindingCache:
    """Bindings by name."""

    def __init__(self) -> None:
        self._bindings: dict[BindingName, Binding] = {}
        self._dropped: set[str] = set()  # by thumbprint: it only ever grows

    def get(self, name: BindingName, key: rsa.RSAPrivateKey, now: float) -> Binding | None:
        """Return the binding of a key, if its certificate is good for new tokens."""
        kept = self._bindings.get(name)
        if kept is None or kept.certificate.public_key() != key.public_key():
            return None
        return kept if kept.certificate.expires_at - now > CERTIFICATE_MARGIN else None

    def put(self, name: BindingName, binding: Binding) -> None:
        """Keep a binding in place of the one before."""
        self._bindings[name] = binding

    def drop(self, name: BindingName, binding: Binding) -> None:
        """Forget a binding for good; what has taken its place stays."""
        self._dropped.add(binding.certificate.x5t_s256)
        if self._bindings.get(name) is binding:
            self._bindings.pop(name, None)

    def is_dropped(self, der: bytes) -> bool:
        """Tell whether a certificate was dropped, wherever it comes from."""
        return b64url_encode(hashlib.sha256(der).digest()) in self._dropped


class Throttle:
    """The token service's refusals that stand for a while."""

    def __init__(self) -> None:
        self._refusals: dict[Hashable, tuple[float, MsiV2ServiceError]] = {}

    def check(self, name: Hashable, now: float) -> None:
        """Answer locally while a refusal stands.

        Raises:
            MsiV2ServiceError: The same again.
        """
        until, error = self._refusals.get(name, (0.0, None))
        # A refusal that would stand for longer than any was made before the clock was set back.
        if error is not None and now < until <= now + LONGEST_THROTTLE:
            raise copy.copy(error)

    def heed(self, name: Hashable, error: MsiV2ServiceError, now: float) -> None:
        """Let a refusal stand, if the token service wants to be left alone."""
        if error.stands_for:
            for other, (until, _) in list(self._refusals.items()):
                if until <= now:
                    self._refusals.pop(other, None)
            # A copy: the original's traceback would keep its caller's frames alive.
            self._refusals[name] = (now + error.stands_for, copy.copy(error))


class Caches:
    """All that belongs to one platform."""

    def __init__(self) -> None:
        self.tokens = TokenCache()
        self.bindings = BindingCache()
        self.throttle = Throttle()
        self.token_flights: SingleFlight[BoundToken] = SingleFlight()
        self.binding_flights: SingleFlight[Binding] = SingleFlight()
        self.background = Background()
        self.capabilities: dict[tuple[str, Identity], ManagedIdentityCapabilities] = {}


def caches_of(platform: Any) -> Caches:
    """Return the caches that belong to a platform, made at the first call.

    They are an attribute of the platform, so that all its clients share them, and they go when it
    goes. A platform that takes no attribute has clients that share nothing.
    """
    try:
        attributes = vars(platform)
    except TypeError:
        return Caches()
    caches: Caches = attributes.setdefault("_msal_msi_v2_caches", Caches())
    return caches
