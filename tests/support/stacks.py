"""The same tests over every kind of keys and TLS that this machine has.

``software`` keys and OpenSSL everywhere; ``windows`` keys and WinHTTP where the tests run under
Wine, against the emulator on the Linux side, whose CA Windows trusts.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from acquiring import ClockedPlatform
from fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STACKS = ["software", *(["windows"] if "WINE_EMULATOR" in os.environ else [])]


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which keys and TLS. Windows gets a host of its own, which has no key yet."""
    monkeypatch.setenv("STANDIN_STATE", str(tmp_path / "host"))
    name: str = request.param
    return name


@pytest.fixture
def emulator(stack: str, request: pytest.FixtureRequest, monkeypatch: Any) -> Iterator[Any]:
    """The emulated host that the stack trusts, with nothing wrong and nothing recorded."""
    found = request.getfixturevalue(
        "shared_emulator" if stack == "software" else "windows_emulator"
    )
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    found.clear_requests()
    found.keep_alive = stack == "software"  # Wine pools connections whatever their certificate
    yield found
    found.keep_alive = True
    found.faults.clear()
    found.clock_offset = 0.0
    found.refresh_in = None


@pytest.fixture
def make_platform(stack: str) -> Callable[[], Any]:
    """Makes a platform of the stack with a clock that the test sets, and caches of its own."""
    return ClockedPlatform if stack == "software" else _windows_platform


@pytest.fixture
def platform(make_platform: Callable[[], Any]) -> Any:
    """One such platform."""
    return make_platform()


@pytest.fixture
def attested_platform(stack: str, platform: Any, request: pytest.FixtureRequest) -> Any:
    """A platform whose key can be attested; its clock is the machine's."""
    if stack == "windows":
        return platform
    return request.getfixturevalue("emulator").keyguard_platform()


def _windows_platform() -> Any:
    from standins import attestation_library  # noqa: PLC0415 - on the path under Wine only

    from msal_key_attestation import create_platform  # noqa: PLC0415 - on Windows only

    assert sys.platform == "win32"
    made = create_platform(str(attestation_library()))
    vars(made)["clock"] = FakeClock()
    return made
