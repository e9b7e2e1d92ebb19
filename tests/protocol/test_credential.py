from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_msi_v2.errors import MsiV2Error, MsiV2ServiceError
from msal_msi_v2.protocol import credential
from msal_msi_v2.protocol.identity import Identity
from msal_msi_v2.protocol.messages import Response

GUID = "6f2f6d5e-9d0c-4f0a-8f43-0d2b7a7d3f11"
VALID = {
    "client_id": "11111111-1111-1111-1111-111111111111",
    "tenant_id": "22222222-2222-2222-2222-222222222222",
    "certificate": "MIIB",
    "identity_type": "SystemAssigned",
    "mtls_authentication_endpoint": "https://eastus.mtlsauth.microsoft.com",
}


def parse(payload: Any, status: int = 200) -> credential.IssuedCredential:
    return credential.parse_response(Response(status, {}, json.dumps(payload).encode()))


def test_request_without_attestation_has_no_such_member() -> None:
    request = credential.build_request(
        "http://imds", Identity(), GUID, csr="Q1NS", attestation_token=None
    )
    assert (request.method, request.url) == (
        "POST",
        "http://imds/metadata/identity/issuecredential",
    )
    assert request.body == '{"csr": "Q1NS"}'
    assert request.params == {"cred-api-version": "2.0"}
    assert request.headers == {
        "Metadata": "true",
        "x-ms-client-request-id": GUID,
        "Content-Type": "application/json",
    }


def test_request_with_attestation_and_identity() -> None:
    request = credential.build_request(
        "http://imds", Identity("object_id", "o"), GUID, csr="Q1NS", attestation_token="a.b.c"
    )
    assert request.body == '{"csr": "Q1NS", "attestation_token": "a.b.c"}'
    assert request.params == {"cred-api-version": "2.0", "object_id": "o"}
    assert "a.b.c" not in repr(request)


def test_response_is_read() -> None:
    assert parse(VALID) == credential.IssuedCredential(
        client_id=VALID["client_id"],
        tenant_id=VALID["tenant_id"],
        certificate="MIIB",
        identity_type="SystemAssigned",
        endpoint="https://eastus.mtlsauth.microsoft.com",
    )


@pytest.mark.parametrize("name", sorted(VALID))
@pytest.mark.parametrize("value", [None, "", " ", "ä", 5, [], {}, ...])
def test_every_member_must_be_there(name: str, value: Any) -> None:
    payload: dict[str, Any] = {**VALID, name: value}
    if value is ...:
        del payload[name]
    with pytest.raises(MsiV2ServiceError, match=name) as caught:
        parse(payload)
    assert caught.value.error == "managed_identity_request_failed"


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://h", "https://h"),
        ("https://h/", "https://h"),
        ("https://h:8443//", "https://h:8443"),
        ("https://h/base/", "https://h/base"),
        ("https://[::1]:5/", "https://[::1]:5"),
    ],
)
def test_endpoints_lose_their_trailing_slash(endpoint: str, expected: str) -> None:
    assert parse({**VALID, "mtls_authentication_endpoint": endpoint}).endpoint == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://h",
        "h",
        "https://",
        "https://user@h",
        "https://u:p@h",
        "https://@h",
        "https://h:port",
        "https://h/?q",
        "https://h/#f",
        "https://[h",
        "ftp://h",
    ],
)
def test_other_endpoints_are_refused(endpoint: str) -> None:
    with pytest.raises(MsiV2ServiceError, match="https URL") as caught:
        parse({**VALID, "mtls_authentication_endpoint": endpoint})
    assert caught.value.error == "managed_identity_request_failed"


def test_failures_are_described_without_what_was_sent() -> None:
    echoed = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0aaaaaaaaaa.c2lnbmF0dXJl"
    with pytest.raises(MsiV2ServiceError, match="bad token <redacted>") as caught:
        parse({"error": {"code": "bad_request", "message": f"bad token {echoed}"}}, 400)
    assert "eyJ" not in str(caught.value)


@given(
    name=st.sampled_from(sorted(VALID)),
    value=st.none() | st.integers() | st.text() | st.lists(st.text()),
    status=st.sampled_from([200, 200, 400, 404, 500]),
)
def test_mutated_answers_raise_ours_or_parse(name: str, value: Any, status: int) -> None:
    with contextlib.suppress(MsiV2Error):
        parse({**VALID, name: value}, status)


ascii_text = st.text(st.characters(max_codepoint=127), min_size=1).filter(str.strip)


@given(ascii_text, ascii_text, ascii_text, ascii_text, st.integers(1, 65535))
def test_valid_answers_round_trip(
    client: str, tenant: str, certificate: str, kind: str, port: int
) -> None:
    payload = {
        "client_id": client,
        "tenant_id": tenant,
        "certificate": certificate,
        "identity_type": kind,
        "mtls_authentication_endpoint": f"https://host:{port}",
    }
    read = parse(payload)
    assert [*vars(read).values()] == [*payload.values()]


@given(st.text().map("https://{}".format))
def test_any_endpoint_is_clean_or_refused(endpoint: str) -> None:
    try:
        read = parse({**VALID, "mtls_authentication_endpoint": endpoint}).endpoint
    except MsiV2Error:
        return
    assert read.startswith("https://")
    assert not read.endswith("/")


@given(body=st.binary(max_size=200))
def test_any_bytes_raise_ours(body: bytes) -> None:
    with pytest.raises(MsiV2Error):
        credential.parse_response(Response(200, {}, body))
