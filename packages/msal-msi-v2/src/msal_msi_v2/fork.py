"""What a forked child must not share with its parent: locks, flights, connections."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Holds locks, threads' work or connections."""

    def renew_after_fork(self) -> None:
        """Start anew: the threads that hold the locks, and the connections, are the parent's."""


_alive: weakref.WeakSet[Forkable] = weakref.WeakSet()


def renew_after_fork(holder: Forkable) -> None:
    """Have an object renewed in every child that this process forks, as gunicorn does."""
    _alive.add(holder)


def _renew_all() -> None:
    for holder in list(_alive):
        holder.renew_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_all)
