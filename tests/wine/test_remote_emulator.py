"""The emulator of the Linux side, as tests on this side use it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from msal_msi_v2.emulator import RecordedRequest, Status

if TYPE_CHECKING:
    from remote import RemoteEmulator

PROBE = "/metadata/identity/getplatformmetadata?cred-api-version=2.0"


def probe(emulator: RemoteEmulator) -> int:
    url = emulator.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    headers = {"Metadata": "true", "x-ms-client-request-id": str(uuid.uuid4())}
    return requests.get(url + PROBE, headers=headers, timeout=10).status_code


def test_requests_are_recorded(emulator: RemoteEmulator) -> None:
    assert probe(emulator) == 200
    (request,) = emulator.requests_to("metadata")
    assert isinstance(request, RecordedRequest)
    assert request.status == 200
    emulator.clear_requests()
    assert emulator.requests == []


def test_faults_happen(emulator: RemoteEmulator) -> None:
    emulator.faults.add("metadata", Status(503), times=2)
    assert [probe(emulator) for _ in range(3)] == [503, 503, 200]


def test_exceptions_arrive(emulator: RemoteEmulator) -> None:
    with pytest.raises(ValueError, match="at least once"):
        emulator.faults.add("metadata", Status(503), times=0)


def test_attributes_are_read_and_written(emulator: RemoteEmulator) -> None:
    assert emulator.attestation_endpoint == emulator.attestation_plain_url
    assert emulator.attestation_endpoint.startswith("http://")
    emulator.clock_offset = 60.0
    assert emulator.clock_offset == 60.0
    with pytest.raises(AttributeError):
        emulator.no_such_thing  # noqa: B018 - reading it is the test


def test_reset_leaves_nothing(emulator: RemoteEmulator) -> None:
    emulator.faults.add("metadata", Status(503), times=None)
    emulator.clock_offset = 60.0
    probe(emulator)
    emulator.reset()
    assert (emulator.clock_offset, emulator.requests) == (0.0, [])
    assert probe(emulator) == 200


def test_the_ca_bundle_is_a_file_here(emulator: RemoteEmulator) -> None:
    assert "BEGIN CERTIFICATE" in Path(emulator.ca_bundle).read_text()
    answer = requests.get(
        emulator.attestation_url + "/certs", verify=emulator.ca_bundle, timeout=10
    )
    assert answer.status_code == 200
