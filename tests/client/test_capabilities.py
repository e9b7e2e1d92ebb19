"""What a host can do, found out by probing emulated ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from acquiring import ClockedPlatform, make_client

from msal_msi_v2 import ManagedIdentityCapabilities
from msal_msi_v2 import MtlsBindingStrength as Strength
from msal_msi_v2.emulator import MsiV2Emulator, Status

if TYPE_CHECKING:
    from msal_msi_v2.platforms import Platform


def capabilities(platform: Platform | None = None) -> ManagedIdentityCapabilities:
    return make_client(platform or ClockedPlatform()).get_capabilities()


def test_a_v2_host_is_as_strong_as_its_key(emulator: MsiV2Emulator) -> None:
    weak = capabilities()
    assert (weak.source, weak.max_supported_binding_strength) == ("imds", Strength.SOFTWARE)
    assert weak.is_mtls_pop_supported_by_host
    assert weak.error_reason is not None
    assert "KeyGuard" in weak.error_reason
    strong = capabilities(emulator.keyguard_platform())
    assert strong == ManagedIdentityCapabilities("imds", Strength.KEYGUARD, True)


def test_the_probe_asks_without_the_metadata_header(emulator: MsiV2Emulator) -> None:
    capabilities()
    (request,) = emulator.requests
    assert "metadata" not in request.headers
    assert (request.path, request.status) == ("/metadata/identity/getplatformmetadata", 400)


def test_the_answer_is_kept_and_a_failure_is_not(emulator: MsiV2Emulator) -> None:
    platform = ClockedPlatform()
    client = make_client(platform)
    emulator.faults.add("metadata", Status(503), times=4)
    failed = client.get_capabilities()
    assert not failed.is_mtls_pop_supported_by_host
    assert "HTTP 503. Try again" in str(failed.error_reason)
    assert platform.clock.sleeps == [1, 2, 4]
    assert client.get_capabilities().is_mtls_pop_supported_by_host
    before = len(emulator.requests)
    assert make_client(platform).get_capabilities().source == "imds"
    assert len(emulator.requests) == before


@pytest.mark.parametrize(
    ("os_type", "security_type", "strength"),
    [
        ("Windows", "TrustedLaunch", Strength.SOFTWARE),
        ("Windows", "ConfidentialVM", Strength.SOFTWARE),
        ("Windows", "", Strength.NONE),
        ("Linux", "TrustedLaunch", Strength.NONE),
    ],
)
def test_a_v1_host(
    monkeypatch: pytest.MonkeyPatch, os_type: str, security_type: str, strength: Strength
) -> None:
    options: dict[str, Any] = {"os_type": os_type, "security_type": security_type}
    with MsiV2Emulator(imds_version=1, **options) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        platform = ClockedPlatform()
        found = capabilities(platform)
    assert (found.source, found.max_supported_binding_strength) == ("imds", strength)
    assert not found.is_mtls_pop_supported_by_host
    assert "version 1" in str(found.error_reason)
    assert platform.clock.sleeps == [], "a probe does not retry a 404"


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        (["IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT"], "service_fabric"),
        (["IDENTITY_ENDPOINT", "IDENTITY_HEADER"], "app_service"),
        (["MSI_ENDPOINT", "MSI_SECRET"], "machine_learning"),
        (["IDENTITY_ENDPOINT", "IMDS_ENDPOINT"], "azure_arc"),
    ],
)
def test_other_environments_are_told_without_http(
    emulator: MsiV2Emulator,
    monkeypatch: pytest.MonkeyPatch,
    variables: list[str],
    source: str,
) -> None:
    for name in variables:
        monkeypatch.setenv(name, "x")
    found = capabilities()
    assert (found.source, found.is_mtls_pop_supported_by_host) == (source, False)
    assert emulator.requests == []


def test_nobody_there() -> None:
    found = capabilities()
    assert (found.source, found.max_supported_binding_strength) == ("none", Strength.NONE)
    assert "did not answer" in str(found.error_reason)
