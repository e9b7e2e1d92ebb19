"""The command line, as its user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msal
import pytest
import requests

import msal_msi_v2
from msal_msi_v2 import ManagedIdentityClient
from msal_msi_v2.assertions import (
    BearerCredential,
    KeyVaultCertificateAssertion,
    ManagedIdentityAssertion,
)
from msal_msi_v2.emulator import MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = pytest.mark.skipif(
    sys.platform == "win32", reason="signals to a child are another thing on Windows"
)
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
@pytest.mark.parametrize("command", [["-v", "token"], ["token", "-v"]])
def test_verbose_logs_the_steps(command: list[str]) -> None:
    done = run(*command, *RESOURCE, "--min-strength", "software")
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows may have what is missing here")
@pytest.mark.usefixtures("own_host")
def test_the_option_that_lowers_the_floor_is_named() -> None:
    done = run("token", *RESOURCE)
    assert done.returncode == 1
    assert "--min-strength software" in done.stderr


@pytest.mark.parametrize("command", [["demo"], ["token"], ["call"], ["doctor"], ["emulator"]])
def test_every_command_takes_verbose(command: list[str]) -> None:
    assert "-v, --verbose" in run(*command, "--help").stdout


@pytest.mark.parametrize("command", [[], ["demo"], ["token"], ["emulator"]])
def test_help_teaches(command: list[str]) -> None:
    done = run(*command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 8


def test_version() -> None:
    assert run("--version").stdout.strip() == msal_msi_v2.__version__


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The emulator as a process, and what it has printed."""
    command = [*COMMAND, "emulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C ends it." not in printed and (line := process.stdout.readline()):
            printed += line
        try:
            yield process, printed
        finally:
            process.terminate()


def exported(printed: str) -> dict[str, str]:
    found = re.findall(r"^  export (\w+)='(.+)'$", printed, re.MULTILINE)
    assert len(found) == 3
    return dict(found)


@SIGNALS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_emulator_serves_until_it_is_told_to_end(number: signal.Signals) -> None:
    with serving("--token-lifetime", "1234") as (process, printed):
        environment = exported(printed)
        done = run("token", *RESOURCE, "--min-strength", "software", **environment)
        directory = Path(environment["SSL_CERT_FILE"]).parent
        assert directory.exists()
        process.send_signal(number)
        assert process.wait(10) == 130
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["expires_in"] == 1234
    assert not directory.exists()


@SIGNALS
def test_emulator_says_who_is_there() -> None:
    with serving() as (_, printed):
        for name in ("login", "vault"):
            assert re.search(rf"^  {name} +https://localhost:\d+$", printed, re.MULTILINE)
        host = MsiV2Emulator()
        assert host.tenant_id in printed
        assert host.other_tenant_id in printed
        for identity in host.identities:
            assert identity.client_id in printed
            assert identity.object_id in printed
            assert identity.resource_id is None or identity.resource_id in printed
        assert "Application" not in printed


@SIGNALS
def test_emulator_brings_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("--application") as (_, printed):
        for name, value in exported(printed).items():
            monkeypatch.setenv(name, value)
        urls = dict(re.findall(r"^  (\w+) +(https://\S+)$", printed, re.MULTILINE))
        client_id = printed.split("Application")[1].split("client id")[1].split()[0]
        identity = ManagedIdentityClient(
            msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
        )
        certificate = KeyVaultCertificateAssertion(
            urls["vault"], "app", BearerCredential(identity), resource="https://vault.azure.net"
        )
        for assertion in (certificate, ManagedIdentityAssertion(identity)):
            app = msal.ConfidentialClientApplication(
                client_id,
                client_credential={"client_assertion": assertion},
                authority=f"{urls['login']}/{MsiV2Emulator().tenant_id}",
                instance_discovery=False,
            )
            result = app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
            assert result["token_type"] == "Bearer", result


@pytest.mark.parametrize("option", ["--token-lifetime", "--certificate-lifetime"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "1e20", "-1", "soon"])
def test_emulator_refuses_lifetimes_that_could_not_be(option: str, seconds: str) -> None:
    done = run("emulator", f"{option}={seconds}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "lifetime" in done.stderr.splitlines()[-1]


def test_the_missing_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['werkzeug'] = None\n"
        "from msal_msi_v2.cli import main; sys.exit(main(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'pip install "msal-msi-v2[emulator]"' in done.stderr
