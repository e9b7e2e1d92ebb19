from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_msi_v2.errors import MsiV2ClientError, MsiV2Error, MsiV2ServiceError
from msal_msi_v2.protocol import imds, metadata
from msal_msi_v2.protocol.identity import Identity
from msal_msi_v2.protocol.messages import Response

GUID = "6f2f6d5e-9d0c-4f0a-8f43-0d2b7a7d3f11"
VALID = {
    "clientId": "11111111-1111-1111-1111-111111111111",
    "tenantId": "22222222-2222-2222-2222-222222222222",
    "cuId": {"vmId": "33333333-3333-3333-3333-333333333333"},
    "attestationEndpoint": "https://sharedeus.eus.attest.azure.net",
}
HEADERS = {"server": "IMDS/150.870.65.1854"}


def answer(payload: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Response(status, HEADERS if headers is None else headers, body)


def test_request_is_the_documented_one() -> None:
    request = metadata.build_request("http://169.254.169.254", Identity(), GUID)
    assert (request.method, request.url, request.body) == (
        "GET",
        "http://169.254.169.254/metadata/identity/getplatformmetadata",
        None,
    )
    assert request.params == {"cred-api-version": "2.0"}
    assert request.headers == {"Metadata": "true", "x-ms-client-request-id": GUID}


@pytest.mark.parametrize("parameter", ["client_id", "object_id", "mi_res_id"])
def test_user_assigned_identities_add_one_parameter(parameter: Any) -> None:
    request = metadata.build_request("http://x", Identity(parameter, "/sub/a b"), GUID)
    assert request.params == {"cred-api-version": "2.0", parameter: "/sub/a b"}


def test_response_is_read() -> None:
    read = metadata.parse_response(answer(VALID))
    assert read == metadata.PlatformMetadata(
        VALID["clientId"],  # type: ignore[arg-type]  # the dict mixes types
        VALID["tenantId"],  # type: ignore[arg-type]
        metadata.ComputeUnit(vm_id="33333333-3333-3333-3333-333333333333"),
        VALID["attestationEndpoint"],  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("server", ["imds/1", "x IMDS y"])
def test_server_header_may_be_in_any_case(server: str) -> None:
    assert metadata.parse_response(answer(VALID, headers={"server": server})).client_id


@pytest.mark.parametrize("headers", [{}, {"server": "nginx"}])
def test_an_answer_that_is_not_imds_own_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(MsiV2ServiceError, match="Server header") as caught:
        metadata.parse_response(answer(VALID, headers=headers))
    assert caught.value.error == "managed_identity_request_failed"


def test_404_means_imds_v1() -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        metadata.parse_response(answer({"error": "not_found"}, 404))
    assert caught.value.error == "mtls_pop_token_not_supported_in_imds_v1"
    assert (caught.value.status_code, caught.value.is_retryable) == (404, False)


@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (403, False), (410, True), (429, True), (503, True)]
)
def test_other_failures_tell_whether_to_retry(status: int, retryable: bool) -> None:
    body = {"error": "invalid_request", "error_description": "Identity not found"}
    with pytest.raises(MsiV2ServiceError, match="invalid_request: Identity not found") as caught:
        metadata.parse_response(answer(body, status))
    assert (caught.value.status_code, caught.value.is_retryable) == (status, retryable)


@pytest.mark.parametrize("name", ["clientId", "tenantId", "attestationEndpoint", "cuId"])
@pytest.mark.parametrize("value", [None, "", " ", "ä", 5, [], {}, ...])
def test_every_member_must_be_there(name: str, value: Any) -> None:
    payload = {**VALID, name: value}
    if value is ...:
        del payload[name]
    with pytest.raises(MsiV2ServiceError, match=name) as caught:
        metadata.parse_response(answer(payload))
    assert caught.value.error == "managed_identity_request_failed"


@pytest.mark.parametrize(
    ("cu_id", "expected"),
    [
        ({"vmId": "a"}, metadata.ComputeUnit(vm_id="a")),
        ({"vmssId": "b"}, metadata.ComputeUnit(vmss_id="b")),
        ({"vmssId": "b", "vmId": "a", "x": 1}, metadata.ComputeUnit("a", "b")),
        ({"vmssId": "", "vmId": "a"}, metadata.ComputeUnit(vm_id="a")),
        ({"vmssId": None, "vmId": "a"}, metadata.ComputeUnit(vm_id="a")),
    ],
)
def test_compute_unit(cu_id: dict[str, Any], expected: metadata.ComputeUnit) -> None:
    assert metadata.parse_response(answer({**VALID, "cuId": cu_id})).compute_unit == expected


@pytest.mark.parametrize("cu_id", [{"vmId": 7}, {"vmId": ["a"]}, {"other": "a"}, "vm"])
def test_bad_compute_units_are_refused(cu_id: Any) -> None:
    with pytest.raises(MsiV2ServiceError, match="cuId"):
        metadata.parse_response(answer({**VALID, "cuId": cu_id}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


@given(
    name=st.sampled_from(sorted(VALID)),
    value=json_values,
    status=st.integers(100, 599),
    server=st.sampled_from(["IMDS", "", "proxy"]),
)
def test_mutated_answers_raise_ours_or_parse(
    name: str, value: Any, status: int, server: str
) -> None:
    with contextlib.suppress(MsiV2Error):
        metadata.parse_response(answer({**VALID, name: value}, status, {"server": server}))


@given(body=st.binary(max_size=200))
def test_any_bytes_raise_ours(body: bytes) -> None:
    with pytest.raises(MsiV2Error):
        metadata.parse_response(answer(body))


ascii_text = st.text(st.characters(max_codepoint=127), min_size=1).filter(str.strip)


@given(
    st.builds(
        metadata.PlatformMetadata,
        ascii_text,
        ascii_text,
        st.builds(metadata.ComputeUnit, st.text(min_size=1), st.none() | st.text(min_size=1)),
        ascii_text,
    )
)
def test_valid_answers_round_trip(expected: metadata.PlatformMetadata) -> None:
    payload = {
        "clientId": expected.client_id,
        "tenantId": expected.tenant_id,
        "cuId": {"vmId": expected.compute_unit.vm_id, "vmssId": expected.compute_unit.vmss_id},
        "attestationEndpoint": expected.attestation_endpoint,
    }
    assert metadata.parse_response(answer(payload)) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (None, "http://169.254.169.254"),
        ("", "http://169.254.169.254"),
        ("  ", "http://169.254.169.254"),
        ("http://localhost:8080", "http://localhost:8080"),
        (" http://localhost:8080/ ", "http://localhost:8080"),
        ("http://user:pw@host:1/path?query#fragment", "http://host:1"),
        ("https://[::1]:5", "https://[::1]:5"),
    ],
)
def test_base_url(override: str | None, expected: str) -> None:
    assert imds.base_url(override) == expected


@pytest.mark.parametrize("override", ["localhost", "ftp://x", "http://", "http://x:port", "//x"])
def test_bad_overrides_name_the_variable(override: str) -> None:
    with pytest.raises(MsiV2ClientError, match="AZURE_POD_IDENTITY_AUTHORITY_HOST") as caught:
        imds.base_url(override)
    assert caught.value.error == "invalid_request"


@given(st.text())
def test_any_override_is_a_url_or_refused(override: str) -> None:
    with contextlib.suppress(MsiV2ClientError):
        assert imds.base_url(override).startswith(("http://", "https://"))
