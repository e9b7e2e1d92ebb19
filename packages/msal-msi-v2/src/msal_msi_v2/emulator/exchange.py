"""One request under way, its refusal, and the most common kind of answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from werkzeug import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from werkzeug import Request

    from .faults import Fault
    from .service import Service


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """A request broke a rule.

    Attributes:
        status: The HTTP status to answer.
        error: The error code in the terms of the service.
        reason: What the client did wrong, for a person. No secret is in it.
        codes: AADSTS codes, for the token service.
        headers: Headers of the answer.
        inner: A more precise code, for Key Vault.
    """

    def __init__(
        self,
        status: int,
        error: str,
        reason: str,
        *,
        codes: Sequence[int] = (),
        headers: Mapping[str, str] | None = None,
        inner: str = "",
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.error = error
        self.reason = reason
        self.codes = tuple(codes)
        self.headers = dict(headers or {})
        self.inner = inner


@dataclass(frozen=True)
class Exchange:
    """One request under way.

    Attributes:
        service: Which service answers.
        path: The path, percent-decoded.
        leg: Which call this is; empty for a path that the service does not know.
        request: The request; its body has been read.
        client_certificate: What the client has presented, DER.
        now: The services' time at arrival, in seconds since the epoch.
        fault: What is to go wrong.
    """

    service: Service
    path: str
    leg: str
    request: Request
    client_certificate: bytes | None
    now: float
    fault: Fault | None

    def query(self, allowed: Iterable[str]) -> dict[str, str]:
        """Return the query parameters.

        Raises:
            Refused: 400: one is not among those allowed, is repeated, or is blank.
        """
        allowed = set(allowed)
        for name, values in self.request.args.lists():
            if name not in allowed:
                raise self.service.bad_request(f"The query parameter {name!r} is not supported.")
            if len(values) > 1 or not values[0].strip():
                raise self.service.bad_request(f"The query parameter {name!r} needs one value.")
        return self.request.args.to_dict()

    def json_object(self) -> dict[str, Any]:
        """Return the body, a JSON object sent as such.

        Raises:
            Refused: 400: it is something else.
        """
        if self.request.mimetype != "application/json":
            raise self.service.bad_request("The content type must be application/json.")
        content = parse_object(self.request.get_data())
        if content is None:
            raise self.service.bad_request("The body must be a JSON object.")
        return content


def parse_object(text: str | bytes) -> dict[str, Any] | None:
    """Return the JSON object that a text is; ``None``: it is something else."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def json_response(content: object, status: int = 200) -> Response:
    """Return an answer with a JSON body."""
    return Response(json.dumps(content), status, mimetype="application/json")
