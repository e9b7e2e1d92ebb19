"""IMDS: what it answers, and that each of its rules, broken once, is refused."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from msal_msi_v2.emulator import Identity, MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Answer, MiniClient

METADATA = "getplatformmetadata"


def test_metadata_tells_identity_tenant_compute_unit_and_where_to_attest(
    client: MiniClient,
) -> None:
    answer = client.metadata()
    assert answer.status == 200
    assert "IMDS" in answer.headers["server"]
    assert answer.json == {
        "clientId": client.identity.client_id,
        "tenantId": client.emulator.tenant_id,
        "cuId": {"vmId": "b5a9d8c7-6e5f-4a3b-9c2d-1e0f1a2b3c4d"},
        "attestationEndpoint": client.emulator.attestation_url,
    }


def test_metadata_finds_a_user_assigned_identity_by_each_of_its_names(client: MiniClient) -> None:
    identity = client.emulator.identities[1]
    assert identity.resource_id is not None
    for query in (
        {"client_id": identity.client_id.upper()},
        {"object_id": identity.object_id},
        {"mi_res_id": identity.resource_id},
    ):
        assert client.metadata(**query).json["clientId"] == identity.client_id


def test_metadata_of_a_scale_set_and_of_another_attestation_service(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(
        vm_id="a", vmss_id="b", attestation_endpoint="https://attest.example"
    ) as emulator:
        client = client_of(emulator)
        assert list(client.metadata().json["cuId"].items()) == [("vmId", "a"), ("vmssId", "b")]
        assert client.metadata().json["attestationEndpoint"] == "https://attest.example"
        emulator.attestation_endpoint = emulator.attestation_plain_url
        assert client.metadata().json["attestationEndpoint"].startswith("http://")


def test_a_host_without_a_system_assigned_identity_says_so(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(identities=[Identity("c", "o", "/r")]) as emulator:
        assert client_of(emulator).metadata().json["error_description"] == "Identity not found"
        assert client_of(emulator).metadata(mi_res_id="/R").json["clientId"] == "c"


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # name, headers, query, reason
    ("no Metadata header", {"Metadata": None}, {}, "metadata header"),
    ("another Metadata header", {"Metadata": "yes"}, {}, "metadata header"),
    ("forwarded", {"X-Forwarded-For": "10.0.0.1"}, {}, "X-Forwarded-For"),
    ("no version", {}, {"cred-api-version": None}, "cred-api-version must be 2.0"),
    ("another version", {}, {"cred-api-version": "1.0"}, "cred-api-version must be 2.0"),
    ("unknown parameter", {}, {"api-version": "2.0"}, "'api-version' is not supported"),
    ("no request id", {"x-ms-client-request-id": None}, {}, "must be a GUID"),
    ("no GUID", {"x-ms-client-request-id": "1"}, {}, "must be a GUID"),
    ("no hyphens", {"x-ms-client-request-id": uuid.uuid4().hex}, {}, "must be a GUID"),
    ("two identities", {}, {"client_id": "c", "object_id": "o"}, "At most one"),
    ("blank identity", {}, {"client_id": " "}, "needs one value"),
    ("unknown identity", {}, {"client_id": str(uuid.uuid4())}, "Identity not found"),
    ("the v1 name", {}, {"msi_res_id": "/subscriptions/1"}, "'msi_res_id' is not supported"),
]
ENDPOINTS = [("GET", METADATA), ("POST", "issuecredential")]


@pytest.mark.parametrize(("method", "endpoint"), ENDPOINTS)
@pytest.mark.parametrize(
    ("headers", "query", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_v2_calls_that_break_a_rule_are_refused(
    client: MiniClient,
    *,
    method: str,
    endpoint: str,
    headers: dict[str, Any],
    query: dict[str, Any],
    reason: str,
) -> None:
    answer = client.call(method, client.imds_url(endpoint, **query), client.imds_headers(**headers))
    assert_refused(answer, 400, reason)


def test_a_repeated_parameter_is_refused(client: MiniClient) -> None:
    url = client.imds_url(METADATA) + "&cred-api-version=2.0"
    assert_refused(client.call("GET", url, client.imds_headers()), 400, "one value")


@pytest.mark.parametrize(("method", "endpoint"), [("POST", METADATA), ("GET", "issuecredential")])
def test_the_other_method_is_refused(client: MiniClient, method: str, endpoint: str) -> None:
    assert_refused(client.call(method, client.imds_url(endpoint), client.imds_headers()), 405)


@pytest.mark.parametrize(
    "path",
    ["/", "/metadata/identity", "//metadata/identity/getplatformmetadata", "/metadata//identity"],
)
def test_other_paths_and_doubled_slashes_are_not_found(client: MiniClient, path: str) -> None:
    url = f"{client.emulator.imds_url}{path}?cred-api-version=2.0"
    assert_refused(client.call("GET", url, client.imds_headers()), 404)


def v1_url(client: MiniClient, **query: str | None) -> str:
    query = {"api-version": "2018-02-01", "resource": "https://r.example", **query}
    text = urlencode({name: value for name, value in query.items() if value is not None})
    return f"{client.emulator.imds_url}/metadata/identity/oauth2/token?{text}"


def test_v1_answers_a_bearer_token_and_numbers_as_strings(client: MiniClient) -> None:
    identity = client.emulator.identities[1]
    assert identity.resource_id is not None
    url = v1_url(client, msi_res_id=identity.resource_id)
    answer = client.call("GET", url, {"Metadata": "true"})
    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == "86400"
    claims = client.read_claims(answer.json["access_token"])
    assert int(answer.json["expires_on"]) == claims["exp"]
    assert claims["aud"] == answer.json["resource"] == "https://r.example"
    assert claims["xms_mirid"] == identity.resource_id
    assert "cnf" not in claims


@pytest.mark.parametrize(
    ("headers", "query", "reason"),
    [
        ({"Metadata": None}, {}, "metadata header"),
        ({}, {"api-version": None}, "api-version must be 2018-02-01"),
        ({}, {"resource": None}, "'resource' not specified"),
        ({}, {"cred-api-version": "2.0"}, "'cred-api-version' is not supported"),
        ({}, {"mi_res_id": "/the/name/of/v2"}, "'mi_res_id' is not supported"),
        ({}, {"object_id": str(uuid.uuid4())}, "Identity not found"),
        ({"X-Forwarded-For": "10.0.0.1"}, {}, "X-Forwarded-For"),
    ],
)
def test_v1_calls_that_break_a_rule_are_refused(
    client: MiniClient, headers: dict[str, Any], query: dict[str, Any], reason: str
) -> None:
    answer = client.call("GET", v1_url(client, **query), client.imds_headers(**headers))
    assert_refused(answer, 400, reason)


def test_compute_metadata_tells_system_and_security_type(client: MiniClient) -> None:
    url = f"{client.emulator.imds_url}/metadata/instance/compute?api-version=2021-02-01"
    answer = client.call("GET", url, {"Metadata": "true"})
    assert answer.json["osType"] == "Windows"
    assert answer.json["vmId"] == client.metadata().json["cuId"]["vmId"]
    assert answer.json["securityProfile"] == {
        "secureBootEnabled": "true",
        "securityType": "TrustedLaunch",
        "virtualTpmEnabled": "true",
    }
    assert_refused(client.call("GET", url), 400, "metadata header")
    answer = client.call("GET", url.replace("2021", "2020"), {"Metadata": "true"})
    assert_refused(answer, 400, "2021-02-01")
    assert client.call("POST", url, {"Metadata": "true"}).status == 405


def test_compute_metadata_of_a_plain_linux_machine(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(os_type="Linux", security_type="", vm_id=None, vmss_id="s") as emulator:
        url = f"{emulator.imds_url}/metadata/instance/compute?api-version=2021-02-01"
        answer = client_of(emulator).call("GET", url, {"Metadata": "true"})
    assert answer.json["osType"] == "Linux"
    assert answer.json["vmId"] == ""
    assert answer.json["securityProfile"]["securityType"] == ""
    assert answer.json["securityProfile"]["secureBootEnabled"] == "false"


def test_a_v1_host_has_no_v2_endpoints_but_a_v1_one(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(imds_version=1) as emulator:
        client = client_of(emulator)
        for method, endpoint in ENDPOINTS:
            url = client.imds_url(endpoint)
            assert_refused(client.call(method, url, client.imds_headers()), 404)
            assert_refused(client.call(method, url), 404)  # a probe
        assert client.call("GET", v1_url(client), {"Metadata": "true"}).status == 200
        assert_refused(client.call("GET", v1_url(client)), 400)  # a probe


def assert_refused(answer: Answer, status: int, reason: str = "") -> None:
    assert answer.status == status
    assert answer.json.keys() == {"error", "error_description"}
    assert reason in answer.json["error_description"]
    assert "IMDS" in answer.headers["server"]
