"""What was really issued and sent, seen on the wire and in the emulator's log."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import requests

_SECRET = re.compile(r"eyJ[\w-]{10,}\.|[A-Za-z0-9+/_-]{100,}")
_LONGEST_ANSWER = 65536


class Issued(NamedTuple):
    """For whom a certificate was issued, as IMDS said, and over which evidence."""

    client_id: str
    attested: bool


class Witness(logging.Handler):
    """Hooked into the IMDS sessions of all clients, and listening to the loggers."""

    def __init__(self) -> None:
        super().__init__()
        self._counting = threading.Lock()
        self.certificates: dict[bytes, Issued] = {}
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []

    def count(self, what: str) -> None:
        with self._counting:
            self.counts[what] += 1

    def complain(self, complaint: str) -> None:
        with self._counting:
            self.complaints.append(complaint)

    def hook(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Note a certificate that IMDS issued; a ``requests`` response hook."""
        url = urlsplit(response.request.url)
        if not str(url.path).endswith("/issuecredential") or response.status_code != 200:
            return
        if int(response.headers.get("Content-Length", 0)) > _LONGEST_ANSWER:
            return  # the client is to meet this one unread
        try:
            answer = json.loads(response.content)
            der = base64.b64decode(answer["certificate"])
            client_id = answer["client_id"]
        except (ValueError, LookupError, TypeError):
            return
        renewed = "bypass_cache" in dict(parse_qsl(str(url.query)))
        self.count(f"certificates {'renewed' if renewed else 'issued'}")
        asked = json.loads(response.request.body or b"{}")
        issued = Issued(client_id, "attestation_token" in asked)
        if self.certificates.setdefault(der, issued) != issued:
            self.complain(f"one certificate for two: {issued} and {self.certificates[der]}")

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if _SECRET.search(text):
            self.complain(f"a secret in the log of {record.name}: {text[:200]}")
        if not record.name.endswith(".emulator"):
            return
        if record.levelno >= logging.ERROR:
            self.complain(f"the emulator failed: {text} {record.exc_info}")
        elif record.levelno == logging.INFO and isinstance(record.args, tuple):
            _, _, path, outcome = record.args
            self.count(f"request {str(path).rsplit('/', 1)[-1]}: {outcome}")
        elif record.levelno == logging.WARNING:
            self.count(f"refusal {text.partition(': ')[2]}")
