"""A record of every request that the emulated services received."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count


@dataclass(frozen=True)
class RecordedRequest:
    """One request, as a service received it. Its ``repr`` shows no token, CSR or body.

    Attributes:
        service: ``imds``, ``attestation``, ``token``, ``login``, ``resource`` or ``vault``.
        leg: Which call it was, by the names of ``Faults``; empty for a path that no service knows.
        method: The HTTP method.
        path: The path, percent-decoded.
        query: Query parameters, decoded; of a repeated one, the first.
        headers: Names in lower case; repeated ones joined by commas.
        body: The body, without its framing.
        client_certificate: The TLS client certificate, DER, as of the answer; ``None``: none was
            presented.
        connection_id: Which TCP connection it came over; unique within an emulator.
        status: What was answered; ``None``: nothing yet, or the connection was dropped.
    """

    service: str
    leg: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    client_certificate: bytes | None = field(repr=False)
    connection_id: int
    status: int | None = None


class Recorder:
    """Keeps requests in order of arrival, and counts connections. Safe to use from many threads."""

    def __init__(self, limit: int | None = None) -> None:
        """Start empty.

        Args:
            limit: How many requests are kept, the newest; ``None``: all.
        """
        self._limit = limit
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._requests: dict[int, RecordedRequest] = {}
        self._connections: Counter[str] = Counter()

    def connected(self, service: str) -> int:
        """Count a TCP connection to a service, and return its id."""
        with self._lock:
            self._connections[service] += 1
            return next(self._numbers)

    def arrived(self, request: RecordedRequest) -> int:
        """Keep a request, and return the number under which its answer is to be noted."""
        with self._lock:
            number = next(self._numbers)
            self._requests[number] = request
            if self._limit is not None and len(self._requests) > self._limit:
                del self._requests[next(iter(self._requests))]
            return number

    def answered(self, number: int, status: int, client_certificate: bytes | None) -> None:
        """Note what a request was answered; nothing if it has been cleared away since."""
        with self._lock:
            if number in self._requests:
                self._requests[number] = replace(
                    self._requests[number], status=status, client_certificate=client_certificate
                )

    def requests(self) -> list[RecordedRequest]:
        """Return the requests so far, in order of arrival."""
        with self._lock:
            return list(self._requests.values())

    def connections(self, service: str) -> int:
        """Return how many TCP connections a service has accepted."""
        with self._lock:
            return self._connections[service]

    def clear(self) -> None:
        """Forget the requests; connections stay counted."""
        with self._lock:
            self._requests.clear()
