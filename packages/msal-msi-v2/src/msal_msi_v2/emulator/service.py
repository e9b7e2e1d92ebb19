"""What all emulated services have in common: routing, the record, faults, refusals, the log."""

from __future__ import annotations

import abc
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from werkzeug import Request
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from msal_msi_v2.errors import quote

from .clock import Clock
from .exchange import Exchange, Refused
from .faults import Faults
from .recording import RecordedRequest, Recorder
from .server import CONNECTION, ConnectionDropped, reason_phrase
from .tls import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from werkzeug import Response

    from .connection import Connection

logger = logging.getLogger("msal_msi_v2.emulator")


@dataclass(frozen=True)
class Context:
    """What the services of one emulator share."""

    stopping: threading.Event
    clock: Clock = field(default_factory=Clock)
    recorder: Recorder = field(default_factory=Recorder)
    faults: Faults = field(default_factory=Faults)
    closing: threading.Event = field(default_factory=threading.Event)  # after each answer
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True)
class Route:
    """A path that a service answers.

    Attributes:
        path: A Werkzeug rule.
        leg: The name of the call.
        view: Answers it; takes the exchange and the rule's variables. May raise ``Refused``.
    """

    path: str
    leg: str
    view: Callable[..., Response]


class Service(abc.ABC):
    """A WSGI application that records, lets faults happen, and refuses in its own shape.

    Attributes:
        name: As in ``RecordedRequest.service``.
        headers: Headers that every answer carries.
    """

    name: str
    headers: Mapping[str, str] = {}

    def __init__(self, context: Context, routes: Sequence[Route]) -> None:
        self._context = context
        self._routes = Map(
            [Rule(route.path, endpoint=route) for route in routes],
            strict_slashes=False,
            merge_slashes=False,  # a doubled slash is the client's mistake, not one to mend
        )

    @abc.abstractmethod
    def refusal(self, exchange: Exchange, refused: Refused) -> Response:
        """Return the answer to a refused request, in the error shape of this service."""

    def wants_certificate(self, request: Request) -> bool:  # noqa: ARG002 - for subclasses
        """Say whether a request needs the certificate that the handshake has not asked for."""
        return False

    def bad_request(self, reason: str) -> Refused:
        """Return the refusal of a request that is malformed."""
        return Refused(400, "invalid_request", reason)

    def failure(
        self,
        exchange: Exchange,
        status: int,
        reason: str = "The emulator was told to answer this status.",
    ) -> Response:
        """Return the answer of a status that nothing in the request is to blame for."""
        error = reason_phrase(status).lower().replace(" ", "_")
        return self.refusal(exchange, Refused(status, error, reason))

    def refuse(self, exchange: Exchange, refused: Refused) -> Response:
        """Say in the log why a request is refused, and return the answer."""
        logger.warning(
            "%s %s %s is refused, %d %s: %s",
            self.name,
            exchange.request.method,
            quote(exchange.path),
            refused.status,
            refused.error,
            quote(refused.reason),
        )
        response = self.refusal(exchange, refused)
        response.headers.update(refused.headers)
        return response

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        request = Request(environ)
        request.get_data()  # always all of it: what is left over would be taken for a request
        connection: Connection = environ[CONNECTION]
        # Werkzeug's own request.path makes one slash of several at the start.
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        route, variables = self._match(path, request.method)
        number = self._context.recorder.arrived(
            _record(self.name, route.leg, path, request, connection)
        )
        if self.wants_certificate(request):
            connection.ask_for_certificate()
        exchange = Exchange(
            self,
            path,
            route.leg,
            request,
            connection.client_certificate,
            self._context.clock.now(),
            self._context.faults.take(route.leg),
        )
        response = self._respond(exchange, lambda: self._answer(exchange, route, variables))
        self._context.recorder.answered(number, response.status_code, connection.client_certificate)
        return response(environ, start_response)

    def _match(self, path: str, method: str) -> tuple[Route, Mapping[str, Any]]:
        if not path.startswith("//"):  # which Werkzeug would mend
            with suppress(NotFound):
                return self._routes.bind("localhost").match(path, method)
        return Route("", "", self._unknown), {}

    def _unknown(self, exchange: Exchange) -> Response:
        raise Refused(404, "not_found", f"There is nothing at {exchange.path}.")

    def _respond(self, exchange: Exchange, answer: Callable[[], Response]) -> Response:
        outcome = "dropped"
        try:
            response = exchange.fault.apply(exchange, answer) if exchange.fault else answer()
            outcome = f"{response.status_code}"
        except ConnectionDropped:
            raise
        except Exception:  # a mistake of the emulator's, or of a fault: tests are to see it
            logger.exception("%s: a request could not be answered", self.name)
            outcome = "500"
            response = self.failure(exchange, 500, "The emulator failed; its log says how.")
            response = self.dress(exchange, response)
        finally:
            logger.info(
                "%s %s %s: %s",
                self.name,
                exchange.request.method,
                quote(exchange.path),
                outcome,
            )
        return response

    def _answer(self, exchange: Exchange, route: Route, variables: Mapping[str, Any]) -> Response:
        try:
            response = route.view(exchange, **variables)
        except Refused as refused:
            response = self.refuse(exchange, refused)
        return self.dress(exchange, response)

    def dress(self, exchange: Exchange, response: Response) -> Response:  # noqa: ARG002 - for subclasses
        """Add the headers that every answer of this service carries."""
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        return response

    def pause(self, seconds: float) -> None:
        """Wait, unless the emulator stops.

        Raises:
            ConnectionDropped: It stopped.
        """
        if self._context.stopping.wait(seconds):
            raise ConnectionDropped(None, 0, reset=False)


def _record(
    service: str, leg: str, path: str, request: Request, connection: Connection
) -> RecordedRequest:
    return RecordedRequest(
        service=service,
        leg=leg,
        method=request.method,
        path=path,
        query=request.args.to_dict(),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.get_data(),
        client_certificate=connection.client_certificate,
        connection_id=connection.number,
    )
