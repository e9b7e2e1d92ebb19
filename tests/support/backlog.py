"""A server that Linux keeps silent: nobody gets through to it, and nobody is refused."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def full_backlog(listener: socket.socket) -> Iterator[None]:
    """Have more connections wait for a listener than it has room for, so that more time out."""
    listener.listen(0)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield
