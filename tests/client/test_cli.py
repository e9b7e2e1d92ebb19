"""The command line, as its user runs it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from typing import Any

import pytest

import msal_msi_v2

COMMAND = [sys.executable, "-m", "msal_msi_v2"]
RESOURCE = ["--resource", "https://vault.azure.net"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )


@pytest.mark.parametrize("option", [[], ["--software"]])
def test_demo(option: list[str]) -> None:
    done = run("demo", *option)
    assert (done.returncode, done.stderr) == (0, "")
    steps = re.findall(r"^  ([1-7])  .+ ms  \S", done.stdout, re.MULTILINE)
    assert steps == list("1234567")
    assert "\n3 HTTP requests." in done.stdout
    assert "token's cnf             the same" in done.stdout
    assert re.search(r"with both:\n  200 ", done.stdout)
    assert re.search(r"certificate:\n  401 .*MtlsCnfClaim", done.stdout)
    assert ("not asked for" in done.stdout) is bool(option)


def test_token_leaves_the_token_out(own_host: Any) -> None:
    done = run("token", *RESOURCE, "--min-strength", "software")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["token_type"] == "mtls_pop"
    assert shown["strength"] == ("KEYGUARD" if sys.platform == "win32" else "SOFTWARE")
    assert not re.search(r"eyJ[\w-]+\.", done.stdout)
    assert [request.leg for request in own_host.requests] == [
        "metadata",
        "issuecredential",
        "token",
    ]


@pytest.mark.usefixtures("own_host")
def test_token_is_shown_when_asked_for() -> None:
    done = run("token", *RESOURCE, "--min-strength", "software", "--show-token")
    assert json.loads(done.stdout)["access_token"].startswith("eyJ")


def test_identities(own_host: Any) -> None:
    user = next(identity for identity in own_host.identities if identity.resource_id)
    for option, value in (
        ("--client-id", user.client_id),
        ("--object-id", user.object_id),
        ("--resource-id", str(user.resource_id)),
    ):
        done = run("token", *RESOURCE, "--min-strength", "software", option, value)
        assert done.returncode == 0, done.stderr
        assert f"CN={user.client_id}" in json.loads(done.stdout)["certificate_subject"]


@pytest.mark.usefixtures("own_host")
def test_verbose_logs_the_steps() -> None:
    done = run("-v", "token", *RESOURCE, "--min-strength", "software")
    assert done.stderr.count("INFO msal_msi_v2: step ") == 7
    assert not re.search(r"eyJ[\w-]+\.", done.stderr)


def test_failures_are_explained_on_one_line() -> None:
    done = run("token", *RESOURCE, "--min-strength", "software")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: managed_identity_unreachable_network: .+\n", done.stderr)


@pytest.mark.parametrize("arguments", [[], ["token"], ["nonsense"], ["token", "--bad"]])
def test_wrong_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: msal-msi-v2" in done.stderr


@pytest.mark.parametrize("command", [[], ["demo"], ["token"], ["emulator"]])
def test_help_teaches(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 8


def test_version() -> None:
    assert run("--version").stdout.strip() == msal_msi_v2.__version__


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of a child is another thing on Windows")
def test_emulator_serves_until_interrupted() -> None:
    command = [*COMMAND, "emulator", "--token-lifetime", "1234"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        exported = {}
        for line in serving.stdout:
            if line.strip().startswith("export "):
                name, value = shlex.split(line)[1].split("=", 1)
                exported[name] = value
            if "Ctrl-C" in line:
                break
        done = run("token", *RESOURCE, "--min-strength", "software", **exported)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(10) == 130
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["expires_in"] == 1234


def test_the_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['werkzeug'] = None\n"
        "from msal_msi_v2.cli import main; sys.exit(main(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install msal-msi-v2[emulator]" in done.stderr
