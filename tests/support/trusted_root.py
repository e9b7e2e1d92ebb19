"""Has Windows trust the CA of the servers that tests start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hosts import is_wine
from tls_server import root_file

if TYPE_CHECKING:
    import pytest

TRUST = Path(__file__).resolve().parents[1] / "wine" / "trust.py"


def trust_the_root(session: pytest.Session) -> None:
    """Have Windows trust it, if any test needs that.

    Before any test: a process reads the store of roots once. And in another process: it is
    written when the store is closed.
    """
    needed = any("tls" in getattr(item, "fixturenames", []) for item in session.items)
    if sys.platform != "win32" or not needed:
        return
    if is_wine():
        trust = [sys.executable, str(TRUST), str(root_file())]
    else:  # for the user it would open a dialog
        trust = ["certutil", "-f", "-addstore", "Root", str(root_file())]
    subprocess.run(
        trust,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
