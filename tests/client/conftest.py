"""A host for programs that use this machine's own platform, as the command line does."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def own_host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """An emulated host that this machine's own TLS stack trusts, as the environment."""
    if "WINE_EMULATOR" not in os.environ:
        if sys.platform == "win32":
            pytest.skip("needs an emulator whose CA Windows trusts, as the Wine harness starts it")
        yield request.getfixturevalue("emulator")
        return
    found = request.getfixturevalue("windows_emulator")
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STANDIN_STATE", str(tmp_path / "host"))
    found.clear_requests()
    yield found
    found.faults.clear()
