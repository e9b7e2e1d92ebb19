"""What can be made to go wrong, on which leg, and how often."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from werkzeug import Response

from .entra import entra_error
from .server import ConnectionDropped

if TYPE_CHECKING:
    from .exchange import Exchange

LEGS = frozenset(
    {
        "metadata",
        "issuecredential",
        "imds_token",
        "compute",
        "attestation",
        "token",
        "resource",
        "vault",
        "vault_certificate",
        "vault_key",
        "vault_sign",
        "openid",
        "login_token",
    }
)
"""The calls that faults, and the record of requests, are about."""


class Fault:
    """Something that goes wrong with one request. The base class answers normally.

    Attributes:
        legs: Where the fault makes sense.
    """

    legs: ClassVar[frozenset[str]] = LEGS

    def apply(self, exchange: Exchange, answer: Callable[[], Response]) -> Response:  # noqa: ARG002 - for subclasses
        """Return what is answered.

        Args:
            exchange: The request.
            answer: Does what the request asks for, and returns the real answer.
        """
        return answer()


@dataclass(frozen=True)
class Status(Fault):
    """Answers a status, and does nothing of what the request asks for.

    Attributes:
        code: The HTTP status.
        headers: Headers to add, e.g. ``Retry-After``.
        body: Text, bytes, or what to send as JSON; ``None``: an error in the service's own shape.
    """

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes | Mapping[str, object] | None = None

    def apply(self, exchange: Exchange, answer: Callable[[], Response]) -> Response:  # noqa: ARG002 - the real answer is not wanted
        """Return the status."""
        response = self._response(exchange)
        response.headers.update(self.headers)
        return exchange.service.dress(exchange, response)

    def _response(self, exchange: Exchange) -> Response:
        if self.body is None:
            return exchange.service.failure(exchange, self.code)
        if isinstance(self.body, Mapping):
            return Response(json.dumps(self.body), self.code, mimetype="application/json")
        return Response(self.body, self.code)


@dataclass(frozen=True)
class Delay(Fault):
    """Answers normally, but late; not at all if the emulator stops meanwhile.

    Attributes:
        seconds: How late.
    """

    seconds: float

    def apply(self, exchange: Exchange, answer: Callable[[], Response]) -> Response:
        """Wait, then do what the request asks for."""
        exchange.service.pause(self.seconds)
        return answer()


@dataclass(frozen=True)
class Drop(Fault):
    """Closes the connection in place of (the rest of) the answer, without a TLS goodbye.

    Attributes:
        after_bytes: How many bytes of the real answer's body are sent first, after its status
            and headers; 0: nothing at all is sent or done.
        reset: End the connection with a TCP RST in place of a FIN.
    """

    after_bytes: int = 0
    reset: bool = False

    def apply(self, exchange: Exchange, answer: Callable[[], Response]) -> Response:  # noqa: ARG002 - the server does it
        """Tell the server to drop the connection."""
        response = answer() if self.after_bytes else None
        raise ConnectionDropped(response, self.after_bytes, reset=self.reset)


@dataclass(frozen=True)
class Body(Fault):
    """Does what the request asks for, and then answers another body or other headers.

    Attributes:
        content: The body, or what makes it out of the real one; ``None``: the real one.
        headers: Headers to set, or with ``None`` to remove.
    """

    content: bytes | Callable[[bytes], bytes] | None = None
    headers: Mapping[str, str | None] | None = None

    def apply(self, exchange: Exchange, answer: Callable[[], Response]) -> Response:  # noqa: ARG002 - any request
        """Return the real answer, altered."""
        response = answer()
        if self.content is not None:
            content = self.content
            response.set_data(content(response.get_data()) if callable(content) else content)
        for name, value in (self.headers or {}).items():
            if value is None:
                response.headers.remove(name)
            else:
                response.headers[name] = value
        return response


@dataclass(frozen=True)
class OAuthError(Fault):
    """Answers an error in Entra's shape.

    Attributes:
        error: The OAuth error code, e.g. ``invalid_client``.
        aadsts: Numeric AADSTS codes; none: the member ``error_codes`` is absent.
        status: The HTTP status.
        description: For a person; ``None``: a text that says that it was injected.
        claims: A claims challenge, JSON text.
    """

    error: str
    aadsts: Sequence[int] = ()
    status: int = 401
    description: str | None = None
    claims: str | None = None

    def apply(self, exchange: Exchange, answer: Callable[[], Response]) -> Response:  # noqa: ARG002 - the real answer is not wanted
        """Return the error."""
        content = entra_error(
            self.error,
            self.description or "The emulator was told to refuse this request.",
            codes=self.aadsts,
            correlation_id=exchange.request.headers.get("client-request-id"),
            now=exchange.now,
        )
        if self.claims is not None:
            content["claims"] = self.claims
        response = Response(json.dumps(content), self.status, mimetype="application/json")
        return exchange.service.dress(exchange, response)


@dataclass(frozen=True)
class IssuedCertificate(Fault):
    """Issues a certificate that is not as it should be; always a new one, which IMDS forgets.

    Attributes:
        lifetime: Seconds from its start to its end; ``None``: as the emulator was told.
        not_before: When it starts, in seconds from the services' time: negative for the past.
        key: ``"other"``: over another key than the CSR's.
        issuer: ``"other"``: by a CA that no service knows.
        common_name: The CN; ``None``: the client id.
        domain_component: The DC; ``None``: the tenant id.
    """

    legs: ClassVar[frozenset[str]] = frozenset({"issuecredential"})

    lifetime: float | None = None
    not_before: float = 0.0
    key: Literal["csr", "other"] = "csr"
    issuer: Literal["emulator", "other"] = "emulator"
    common_name: str | None = None
    domain_component: str | None = None


@dataclass(frozen=True)
class WrongCnf(Fault):
    """Issues a token that is bound to another certificate than the one presented."""

    legs: ClassVar[frozenset[str]] = frozenset({"token"})


@dataclass(frozen=True)
class OpaqueToken(Fault):
    """Issues a token that is not a JWT. The emulated resources refuse it."""

    legs: ClassVar[frozenset[str]] = frozenset({"token"})


class Faults:
    """The faults to come, for each leg a queue. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, deque[tuple[Fault, int | None]]] = {}

    def add(self, leg: str, fault: Fault, *, times: int | None = 1) -> None:
        """Let a fault happen to the next requests of a leg, after those added before it.

        Args:
            leg: One of ``LEGS``.
            fault: What goes wrong.
            times: To how many requests; ``None``: to all, until ``clear()``.

        Raises:
            ValueError: There is no such leg, the fault makes no sense there, or ``times`` is
                less than one.
        """
        if leg not in fault.legs:
            raise ValueError(f"{type(fault).__name__} is for {sorted(fault.legs)}, not {leg!r}.")
        if times is not None and times < 1:
            raise ValueError(f"A fault happens at least once, not {times} times.")
        with self._lock:
            self._queues.setdefault(leg, deque()).append((fault, times))

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._queues.clear()

    def take(self, leg: str) -> Fault | None:
        """Return what is to go wrong with a request that has just arrived, and count it off."""
        with self._lock:
            queue = self._queues.get(leg)
            if not queue:
                return None
            fault, times = queue[0]
            if times == 1:
                queue.popleft()
            elif times is not None:
                queue[0] = (fault, times - 1)
            return fault
