"""What the commands do when their output cannot be written, or nobody waits for it any more."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from msal_msi_v2.emulator import Body, Delay

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = Path("/dev/full")
SOFTWARE = ["--min-strength", "software"]
COMMANDS = {
    "token": ["token", "--resource", "https://vault.azure.net", *SOFTWARE],
    "doctor": ["doctor", *SOFTWARE],
    "demo": ["demo"],
    "emulator": ["emulator"],
    "help": ["--help"],
    "call": ["call", "--resource", "https://resource.example", *SOFTWARE],
}
pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not FULL.exists(), reason="needs Linux' /dev/full and signals"
)


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest, own_host: Any) -> list[str]:
    """One that prints more than a pipe holds, if it can be had to."""
    own_host.faults.add("resource", Body(bytes(1 << 20)))
    url = [own_host.resource_url] if request.param == "call" else []
    return [*COMMANDS[request.param], *url]


def start(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "msal_msi_v2", *arguments],
        stderr=subprocess.PIPE,
        env=environment,
        **options,
    )


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    with process:
        try:
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    return process.returncode, errors.decode()


def test_a_full_disk_is_an_error_on_one_line(command: list[str]) -> None:
    with FULL.open("wb") as full:
        code, errors = finish(start(command, stdout=full))
    assert code == 1
    assert re.fullmatch(r"error: .+ Standard output cannot be written: No space .+\n", errors)


def test_a_closed_standard_output_is_an_error_on_one_line(command: list[str]) -> None:
    code, errors = finish(start(command, preexec_fn=lambda: os.close(1)))
    assert code == 1
    assert re.fullmatch(r"error: .+ Standard output cannot be written: Bad file .+\n", errors)


def test_a_reader_that_leaves_ends_it_quietly(command: list[str]) -> None:
    process = start(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert finish(process) == (141, "")


def test_errors_do_not_go_where_standard_error_was_not(own_host: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with out.open("wb") as file:
        process = start(
            [*COMMANDS["call"], f"{own_host.resource_url}/", "-H", "no colon"],
            stdout=file,
            preexec_fn=lambda: os.close(2),
        )
        assert finish(process)[0] == 1
    assert out.read_bytes() == b""


@pytest.mark.parametrize("name", ["token", "call"])
def test_an_interrupt_ends_it_quietly(own_host: Any, name: str) -> None:
    own_host.faults.add("token", Delay(30))
    url = [own_host.resource_url] if name == "call" else []
    process = start([*COMMANDS[name], *url])
    wait_for(lambda: own_host.requests_to("token"))
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "")


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "--resource", "\udcff", *SOFTWARE],
        [*COMMANDS["call"], "https://localhost:9/\udcff"],
    ],
)
@pytest.mark.usefixtures("own_host")
def test_bytes_that_are_no_text_are_an_error_on_one_line(arguments: list[str]) -> None:
    code, errors = finish(start(arguments))
    assert code == 1
    assert re.fullmatch(r"error: invalid_request: .+ no text .+\n", errors)


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "1e9", "soon"])
def test_a_timeout_is_a_time(given: str) -> None:
    code, errors = finish(start(["doctor", "--timeout", given]))
    assert code == 2
    assert "not a number of seconds" in errors
