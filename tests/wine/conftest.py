"""What is tested here runs on Windows, or under Wine with tests/wine/harness.py."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

# Elsewhere there is nothing to load, not even to import.
collect_ignore_glob = [] if sys.platform == "win32" else ["test_*.py"]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from remote import RemoteEmulator
    from standins import Standins


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standins:
    """A pretended host of the test's own, with no keys, that behaves."""
    from standins import Standins  # noqa: PLC0415 - on the path under Windows only
    from winapi import load  # noqa: PLC0415 - the same

    if not hasattr(load("ncrypt.dll"), "StandinOpenHandles"):
        pytest.skip("ncrypt.dll is Wine's own")
    host = Standins(tmp_path / "host")
    monkeypatch.setenv("STANDIN_STATE", str(host.state))
    return host


@pytest.fixture
def emulator() -> Iterator[RemoteEmulator]:
    """The emulator of the Linux side, with nothing wrong and nothing recorded."""
    from remote import RemoteEmulator  # noqa: PLC0415 - on the path under Windows only

    found = RemoteEmulator.connect()
    found.reset()
    yield found
    found.reset()
