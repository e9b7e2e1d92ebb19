"""Runs on Linux: lets tests under Wine use an emulator of this process.

A call travels as a pickle: both ends are this repository's tests, on one machine, and so
faults, recorded requests and exceptions arrive as they are.
"""

from __future__ import annotations

import pickle
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from msal_msi_v2.emulator import MsiV2Emulator


class ControlServer:
    """Serves an emulator's attributes and methods on loopback; a context manager.

    Attributes:
        url: Where; its path is a secret, for what is served runs what it is sent.
    """

    def __init__(self, emulator: MsiV2Emulator) -> None:
        path = f"/{secrets.token_urlsafe()}"

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if not secrets.compare_digest(self.path, path):
                    self.send_error(404)
                    return
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = _perform(emulator, *pickle.loads(body))
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: object) -> None:
                """Say nothing: the output is the tests'."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _perform(
    emulator: MsiV2Emulator,
    operation: str,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> bytes:
    """Do one operation, and return its pickled outcome: whether it went well, and its result.

    Args:
        emulator: The emulator.
        operation: ``get`` an attribute, ``set`` it, or ``call`` it.
        name: The attribute, dotted where it is one of an attribute.
        args: What to call it with, or the one value to set.
        kwargs: What to call it with.
    """
    try:
        if operation == "set":
            setattr(emulator, name, *args)
            result = None
        else:
            result = attrgetter(name)(emulator)
            if operation == "call":
                result = result(*args, **kwargs)
        return pickle.dumps((True, result))
    except Exception as exc:  # noqa: BLE001 - the caller's, who is in another process
        return pickle.dumps((False, exc))
