"""The token service: tokens bound to the certificate presented, and each rule broken once."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from msal_msi_v2.emulator import IssuedCertificate, MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Answer, MiniClient

DAY = 86400
OTHER_TENANT = MsiV2Emulator().other_tenant_id


def test_the_token_is_bound_to_the_certificate(client: MiniClient) -> None:
    certificate = client.certificate()
    request_id = str(uuid.uuid4())
    answer = client.token_answer(certificate, headers={"client-request-id": request_id})
    assert answer.status == 200
    assert answer.headers["client-request-id"] == request_id
    assert answer.json["token_type"] == "mtls_pop"
    assert answer.json["expires_in"] == DAY
    assert "refresh_in" not in answer.json
    claims = client.read_claims(answer.json["access_token"])
    assert claims["cnf"] == {"x5t#S256": client.x5t_s256(certificate)}
    assert claims["aud"] == "https://vault.azure.net"
    assert claims["appid"] == client.identity.client_id
    assert claims["oid"] == client.identity.object_id
    assert claims["tid"] == client.emulator.tenant_id
    assert claims["exp"] - claims["iat"] == DAY
    assert "xms_cc" not in claims
    (request,) = client.emulator.requests_to("token")
    assert request.client_certificate == certificate


def test_every_token_is_another(client: MiniClient) -> None:
    certificate = client.certificate()
    assert client.token(certificate) != client.token(certificate)


def test_the_request_id_comes_back_only_where_it_is_wanted(client: MiniClient) -> None:
    headers = {"return-client-request-id": None}
    answer = client.token_answer(client.certificate(), headers=headers)
    assert "client-request-id" not in answer.headers


def test_capabilities_become_a_claim(client: MiniClient) -> None:
    claims = json.dumps({"access_token": {"xms_cc": {"values": ["cp1"]}, "nbf": {}}})
    token = client.token(client.certificate(), claims=claims)
    assert client.read_claims(token)["xms_cc"] == ["cp1"]


def test_lifetimes_are_settable(client_of: Callable[[MsiV2Emulator], MiniClient]) -> None:
    with MsiV2Emulator(token_lifetime=600, refresh_in=300, certificate_lifetime=7200) as emulator:
        client = client_of(emulator)
        answer = client.token_answer(client.certificate()).json
    assert answer["expires_in"] == 600
    assert answer["refresh_in"] == 300


REFUSED: list[tuple[str, dict[str, Any], int, str, int]] = [
    # name, changes, status, error, AADSTS code
    ("other tenant", {"tenant": str(uuid.uuid4())}, 400, "invalid_request", 90002),
    ("a tenant of applications", {"tenant": OTHER_TENANT}, 400, "invalid_request", 90002),
    ("no request id", {"headers": {"client-request-id": None}}, 400, "invalid_request", 9000410),
    ("no GUID", {"headers": {"client-request-id": "1"}}, 400, "invalid_request", 9000410),
    ("no form", {"headers": {"Content-Type": "text/plain"}}, 400, "invalid_request", 9000410),
    ("unknown field", {"resource": "https://r"}, 400, "invalid_request", 9000410),
    ("other grant", {"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ("no grant", {"grant_type": None}, 400, "invalid_request", 900144),
    ("no scope", {"scope": None}, 400, "invalid_request", 900144),
    ("blank client", {"client_id": ""}, 400, "invalid_request", 900144),
    ("other token type", {"token_type": "bearer"}, 400, "invalid_request", 9000410),
    ("no token type", {"token_type": None}, 400, "invalid_request", 900144),
    ("scope without /.default", {"scope": "https://r"}, 400, "invalid_scope", 70011),
    ("scope of two slashes", {"scope": "https://r//.default"}, 400, "invalid_scope", 70011),
    ("bare /.default", {"scope": "/.default"}, 400, "invalid_scope", 70011),
    ("two scopes", {"scope": "https://r/.default openid/.default"}, 400, "invalid_scope", 70011),
    ("claims no JSON", {"claims": "{"}, 400, "invalid_request", 50099),
    ("claims too deep", {"claims": "[" * 100_000}, 400, "invalid_request", 50099),
    ("claims no object", {"claims": "[]"}, 400, "invalid_request", 50099),
    ("other client", {"client_id": str(uuid.uuid4())}, 401, "invalid_client", 700016),
]


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_a_request_that_breaks_a_rule_is_refused(
    client: MiniClient, changes: dict[str, Any], status: int, error: str, code: int
) -> None:
    assert_refused(client.token_answer(client.certificate(), **changes), status, error, code)


def test_another_identitys_certificate_is_refused(client: MiniClient) -> None:
    certificate = client.certificate()
    other = client.emulator.identities[1].client_id
    answer = client.token_answer(certificate, client_id=other)
    assert_refused(answer, 401, "invalid_client", 700016)


def test_a_client_that_is_no_identity_of_the_host_is_refused(client: MiniClient) -> None:
    stranger = str(uuid.uuid4())
    client.emulator.faults.add("issuecredential", IssuedCertificate(common_name=stranger))
    answer = client.token_answer(client.certificate(), client_id=stranger)
    assert_refused(answer, 401, "invalid_client", 700016)


@pytest.mark.parametrize("changes", [{"common_name": "other"}, {"domain_component": "other"}])
def test_a_certificate_of_another_subject_is_refused(
    client: MiniClient, changes: dict[str, Any]
) -> None:
    client.emulator.faults.add("issuecredential", IssuedCertificate(**changes))
    answer = client.token_answer(client.certificate())
    assert_refused(answer, 401, "invalid_client", 700016)


def test_path_and_method_are_exact(client: MiniClient) -> None:
    certificate = client.certificate()
    base, tenant = client.emulator.token_url, client.emulator.tenant_id
    right = f"{base}/{tenant}/oauth2/v2.0/token"
    answer = client.call("GET", right, certificate=certificate)
    assert_refused(answer, 400, "invalid_request", 900561)
    for path in (f"//{tenant}/oauth2/v2.0/token", f"/{tenant}//oauth2/v2.0/token", "/token"):
        answer = client.call("POST", base + path, certificate=certificate)
        assert_refused(answer, 404, "not_found")


def test_a_repeated_field_is_refused(client: MiniClient) -> None:
    url = f"{client.emulator.token_url}/{client.emulator.tenant_id}/oauth2/v2.0/token"
    headers = {
        "client-request-id": str(uuid.uuid4()),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    for body in ("scope=a&scope=b", "scope", b"scope=\xff"):
        answer = client.call("POST", url, headers, body, client.certificate())
        assert_refused(answer, 400, "invalid_request", 9000410)


def test_a_certificate_is_good_for_its_lifetime_only(client: MiniClient) -> None:
    certificate = client.certificate(bypass_cache="true")
    client.emulator.clock_offset = 7 * DAY - 60
    assert client.token_answer(certificate).status == 200
    client.emulator.clock_offset = 7 * DAY + 1
    assert_refused(client.token_answer(certificate), 401, "invalid_client", 700027)
    client.emulator.clock_offset = -60
    assert_refused(client.token_answer(certificate), 401, "invalid_client", 700027)


def test_a_revoked_certificate_is_refused_and_a_new_one_is_not(client: MiniClient) -> None:
    certificate = client.certificate(bypass_cache="true")
    assert client.token_answer(certificate).status == 200
    client.emulator.revoke(certificate)
    assert_refused(client.token_answer(certificate), 401, "invalid_client", 1000612)
    assert client.certificate() == certificate  # IMDS does not know
    renewed = client.certificate(bypass_cache="true")
    assert client.token_answer(renewed).status == 200
    client.emulator.revoke_all()
    assert_refused(client.token_answer(renewed), 401, "invalid_client", 1000612)
    assert client.token_answer(client.certificate(bypass_cache="true")).status == 200


def test_revocation_is_seen_on_an_open_connection(client: MiniClient) -> None:
    certificate = client.certificate(bypass_cache="true")
    url = f"{client.emulator.token_url}/{client.emulator.tenant_id}/oauth2/v2.0/token"
    connection = client.connect(url, certificate)
    try:
        assert client.send(connection, "POST", url).json["error"] == "invalid_request"
        client.emulator.revoke(certificate)
        headers = {"client-request-id": str(uuid.uuid4())}
        answer = client.send(connection, "POST", url, headers)
        assert_refused(answer, 401, "invalid_client", 1000612)
    finally:
        connection.close()


def test_the_handshake_insists_on_a_certificate_of_the_right_authority(
    client: MiniClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.emulator.faults.add("issuecredential", IssuedCertificate(issuer="other"))
    unknown = client.certificate()
    for certificate, alert in ((None, "CERTIFICATE_REQUIRED"), (unknown, "UNKNOWN_CA")):
        with pytest.raises(ssl.SSLError) as caught:
            client.call("GET", client.emulator.token_url, certificate=certificate)
        assert alert in str(caught.value.reason)
    assert client.emulator.requests_to("token") == []
    for _ in range(500):  # the client may hear of it before it is logged
        refusals = [one.getMessage() for one in caplog.records if "handshake" in one.getMessage()]
        if len(refusals) == 2:
            break
        time.sleep(0.01)
    assert "peer did not return a certificate" in refusals[0]
    assert "unable to get local issuer certificate" in refusals[1]


def test_tls_1_2_asks_for_the_certificate_too(client: MiniClient) -> None:
    context = client.context(client.certificate())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    connection = client.connect(client.emulator.resource_url)
    connection._context = context  # type: ignore[attr-defined]  # http.client has no other way
    answer = client.send(connection, "GET", client.emulator.resource_url)
    connection.close()
    assert answer.status == 401
    assert client.emulator.requests_to("resource")[0].client_certificate is not None


def assert_refused(answer: Answer, status: int, error: str, code: int | None = None) -> None:
    """Check Entra's error shape."""
    assert (answer.status, answer.json["error"]) == (status, error)
    content = answer.json
    uuid.UUID(content["trace_id"])
    uuid.UUID(content["correlation_id"])
    if code is not None:
        assert content["error_codes"] == [code]
        assert content["error_description"].startswith(f"AADSTS{code}: ")
    moment = dt.datetime.strptime(content["timestamp"], "%Y-%m-%d %H:%M:%S%z").timestamp()
    assert abs(moment - time.time()) < 8 * DAY
