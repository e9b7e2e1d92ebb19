"""``doctor``: what it finds on hosts that are well, and on those that are not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import msal
import pytest
from acquiring import RESOURCE, ClockedPlatform, Store, make_client

from msal_msi_v2 import MtlsBindingStrength
from msal_msi_v2.diagnosis import Finding, _clock, diagnose, is_capable
from msal_msi_v2.emulator import MsiV2Emulator
from msal_msi_v2.protocol.messages import Response

if TYPE_CHECKING:
    from msal_msi_v2.platforms import Platform

SOFTWARE: dict[str, Any] = {"min_strength": MtlsBindingStrength.SOFTWARE}
ALL = ["environment", "proxies", "imds", "identity", "clock", "key", "attestation", "store"]


def examine(
    platform: Platform | None = None, identity: Any = None, **options: Any
) -> dict[str, Finding]:
    client = make_client(platform or ClockedPlatform(), identity)
    request = client.make_request(
        resource=RESOURCE, correlation_id=str(uuid.uuid4()), **(options or SOFTWARE)
    )
    return {finding.name: finding for finding in diagnose(client.host, request)}


def test_a_host_that_is_well(emulator: MsiV2Emulator) -> None:
    found = examine(emulator.keyguard_platform(), with_attestation_support=True)
    assert [*found] == ALL
    assert {finding.status for finding in found.values()} == {"ok"}
    assert is_capable([*found.values()])
    assert [request.leg for request in emulator.requests] == ["metadata"], "it acquires nothing"


@pytest.mark.usefixtures("emulator")
def test_a_software_host() -> None:
    found = examine()
    assert is_capable([*found.values()])
    assert "KeyGuard: This is a test's platform." in found["key"].found
    assert found["attestation"].status == "warning"
    strict = examine(min_strength=None)
    assert strict["key"].status == "problem"
    assert "mtls_pop_requires_keyguard" in strict["key"].found
    attested = examine(with_attestation_support=True)
    assert attested["attestation"].status == "problem"


def test_nobody_at_imds() -> None:
    found = examine()
    assert found["imds"].status == "problem"
    assert "did not answer" in found["imds"].found
    assert "identity" not in found
    assert "key" in found, "the rest is examined all the same"


def test_imds_v1(monkeypatch: pytest.MonkeyPatch) -> None:
    with MsiV2Emulator(imds_version=1) as emulator:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", emulator.imds_url)
        assert "not_supported_in_imds_v1" in examine()["imds"].found


@pytest.mark.usefixtures("emulator")
def test_an_identity_that_is_not_assigned() -> None:
    stranger = msal.UserAssignedManagedIdentity(client_id=str(uuid.uuid4()))
    found = examine(identity=stranger)["imds"]
    assert (found.status, "Assign the identity" in found.advice) == ("problem", True)


@pytest.mark.parametrize(("offset", "word"), [(-400, "behind"), (400, "ahead of")])
def test_a_wrong_clock(emulator: MsiV2Emulator, offset: float, word: str) -> None:
    platform = ClockedPlatform()
    platform.clock.offset = offset
    assert emulator.clock_offset == 0
    found = examine(platform)["clock"]
    assert (found.status, word in found.found) == ("problem", True)


@pytest.mark.parametrize("headers", [{}, {"date": "noon"}])
def test_a_clock_that_cannot_be_compared(headers: dict[str, str]) -> None:
    host = make_client(ClockedPlatform()).host
    assert _clock(host, Response(200, headers)).status == "warning"


@pytest.mark.usefixtures("emulator")
def test_a_proxy_that_would_capture_imds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@proxy:1")
    found = examine()["proxies"]
    assert found.status == "warning"
    assert "NO_PROXY" in found.advice
    assert "secret" not in found.found + found.advice


@pytest.mark.usefixtures("emulator")
def test_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://x")
    monkeypatch.setenv("IDENTITY_HEADER", "x")
    assert "App Service" in examine()["environment"].found


@pytest.mark.usefixtures("emulator")
def test_the_store() -> None:
    platform: Any = ClockedPlatform()
    assert "not kept" in examine(platform)["store"].found
    platform.certificate_store = Store()
    assert "no certificate" in examine(platform)["store"].found


@pytest.mark.usefixtures("own_host")
def test_without_a_resource_the_token_service_is_not_asked() -> None:
    done = run("--min-strength", "software")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing stands in the way" not in done.stdout
    assert done.stdout.rstrip().endswith("was not asked: add --resource URL.")


@pytest.mark.usefixtures("own_host")
def test_a_blank_resource_is_not_none() -> None:
    done = run("--min-strength", "software", "--resource", "")
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"^FAIL  token +invalid_request: resource", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "value"),
    [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "foo"), ("REQUESTS_CA_BUNDLE", "/no/such/file")],
)
def test_a_wrong_setting_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    done = run()
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("FAIL  settings     invalid_request: ")
    assert name in done.stdout
    told = json.loads(run("--json").stdout)
    assert told["capable"] is False
    assert [one["name"] for one in told["findings"]] == ["settings"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "msal_msi_v2", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.usefixtures("own_host")
def test_on_the_command_line() -> None:
    done = run("--min-strength", "software", "--resource", RESOURCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("Nothing stands in the way of a bound token.")
    assert "\nok    token " in done.stdout
    assert not re.search(r"eyJ[\w-]+\.", done.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows may have what is missing here")
@pytest.mark.usefixtures("own_host")
def test_as_json() -> None:
    done = run("--json", "--attested")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["capable"] is False
    problems = [one["name"] for one in told["findings"] if one["status"] == "problem"]
    assert problems == ["key", "attestation"]
