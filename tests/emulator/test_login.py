"""Applications sign in: what Entra takes from them, and what not."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from issuer import Issuer

if TYPE_CHECKING:
    from msal_msi_v2.emulator import MsiV2Emulator

SCOPES = ["https://graph.microsoft.com/.default"]
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEY = rsa.generate_private_key(65537, 2048)
DER = Issuer("an application").issue(KEY.public_key())
OTHER_KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def x5t_s256(der: bytes) -> str:
    return b64url(hashlib.sha256(der).digest())


S256, SHA1 = x5t_s256(DER), b64url(hashlib.sha1(DER).digest())
TOO_DEEP = f"{b64url(b'[' * 50_000)}.e30.AAAA"


@pytest.fixture
def client_id(emulator: MsiV2Emulator) -> str:
    return emulator.register_application(certificates=[DER]).client_id


def make_assertion(emulator: MsiV2Emulator, client_id: str, **change: Any) -> str:
    """Sign an assertion that is right but for what is changed."""
    now = int(time.time())
    claims = {
        "aud": f"{emulator.login_url}/{emulator.tenant_id}/oauth2/v2.0/token",
        "iss": client_id,
        "sub": client_id,
        "jti": str(uuid.uuid4()),
        "nbf": now,
        "exp": now + 600,
    }
    headers = change.pop("headers", {"x5t#S256": S256})
    key, algorithm = change.pop("key", KEY), change.pop("algorithm", "PS256")
    claims |= {
        name: now + value if name in {"nbf", "exp"} else value for name, value in change.items()
    }
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def post(emulator: MsiV2Emulator, client_id: str, assertion: str, **more: str) -> requests.Response:
    tenant = more.pop("tenant", emulator.tenant_id)
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "scope": SCOPES[0],
        "client_assertion_type": BEARER,
        "client_assertion": assertion,
        **more,
    }
    url = f"{emulator.login_url}/{tenant}/oauth2/v2.0/token"
    return requests.post(url, data=form, verify=emulator.ca_bundle, timeout=30)


@pytest.mark.parametrize("tenant", ["tenant_id", "other_tenant_id"])
def test_unmodified_msal_signs_in_to_both_tenants(
    emulator: MsiV2Emulator, client_id: str, tenant: str
) -> None:
    app = msal.ConfidentialClientApplication(
        client_id,
        client_credential={
            "private_key": PEM.decode(),
            "public_certificate": x509.load_der_x509_certificate(DER)
            .public_bytes(Encoding.PEM)
            .decode(),
        },
        authority=f"{emulator.login_url}/{getattr(emulator, tenant)}",
        instance_discovery=False,
        verify=emulator.ca_bundle,
    )
    result = app.acquire_token_for_client(SCOPES)
    assert "access_token" in result, result
    claims = jwt.decode(result["access_token"], options={"verify_signature": False})
    assert (claims["tid"], claims["appid"]) == (getattr(emulator, tenant), client_id)


def test_unmodified_azure_identity_signs_in(emulator: MsiV2Emulator, client_id: str) -> None:
    identity = pytest.importorskip("azure.identity")
    credential = identity.ClientAssertionCredential(
        emulator.tenant_id,
        client_id,
        lambda: make_assertion(emulator, client_id),
        authority=emulator.login_url,
        disable_instance_discovery=True,
        connection_verify=emulator.ca_bundle,
    )
    assert credential.get_token(SCOPES[0]).token


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"algorithm": "RS256"},
        {"algorithm": "RS256", "headers": {"x5t": SHA1}},
        {"nbf": -60, "exp": 540},
    ],
)
def test_what_is_taken(emulator: MsiV2Emulator, client_id: str, change: dict[str, Any]) -> None:
    answer = post(emulator, client_id, make_assertion(emulator, client_id, **change))
    assert (answer.status_code, answer.json()["token_type"]) == (200, "Bearer")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"key": OTHER_KEY}, 700027),
        ({"headers": {}}, 700027),
        ({"headers": {"x5t": SHA1}}, 700027),  # PS256 wants the SHA-256 one
        ({"headers": {"x5t#S256": "another"}}, 700027),
        ({"headers": {"x5t#S256": S256, "x5c": ["AAAA"]}}, 700027),
        ({"key": "a secret that is long enough for HS256", "algorithm": "HS256"}, 700027),
        ({"algorithm": "RS512"}, 700027),
        ({"aud": "https://login.microsoftonline.com/other/oauth2/v2.0/token"}, 700023),
        ({"sub": str(uuid.uuid4())}, 700021),
        ({"nbf": -1200, "exp": -600}, 700024),
        ({"nbf": 3600, "exp": 4200}, 700024),
        ({"exp": 3600}, 700024),
        ({"nbf": 200, "exp": 100}, 700024),
        ({"nbf": 0.5, "exp": 10**400}, 700024),
        ({"aud": ["https://login.microsoftonline.com/other/oauth2/v2.0/token"]}, 700023),
        ({"aud": {}}, 700023),
        ({"jti": "no guid"}, 50027),
    ],
)
def test_what_is_not(
    emulator: MsiV2Emulator, client_id: str, change: dict[str, Any], code: int
) -> None:
    answer = post(emulator, client_id, make_assertion(emulator, client_id, **change))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_codes"] == [code]


@pytest.mark.parametrize("days", [-31, 8])
def test_a_certificate_counts_while_it_is_valid(
    emulator: MsiV2Emulator, client_id: str, days: int
) -> None:
    emulator.clock_offset = days * 86400
    now = days * 86400
    answer = post(emulator, client_id, make_assertion(emulator, client_id, nbf=now, exp=now + 600))
    assert answer.json()["error_codes"] == [700027]


EC_KEY: Any = ec.generate_private_key(ec.SECP256R1()).public_key()
EC_DER = Issuer("an application").issue(EC_KEY)


@pytest.mark.parametrize("certificates", [[EC_DER], [b"no certificate"], ["no PEM"], DER, [None]])
def test_what_cannot_be_registered_is_said_at_once(
    emulator: MsiV2Emulator, certificates: Any
) -> None:
    with pytest.raises(ValueError):
        emulator.register_application(certificates=certificates)
    client_id = emulator.register_application().client_id
    with pytest.raises(ValueError):
        emulator.add_app_certificate(client_id, certificates[0])


@pytest.mark.parametrize("text", [False, True])
def test_a_certificate_may_be_pem(emulator: MsiV2Emulator, text: bool) -> None:
    pem = x509.load_der_x509_certificate(DER).public_bytes(Encoding.PEM)
    given = pem.decode() if text else pem
    application = emulator.register_application(certificates=[given])
    assert application.certificates == {S256: DER}
    client_id = application.client_id
    assert post(emulator, client_id, make_assertion(emulator, client_id)).status_code == 200


def test_a_certificate_may_be_added_and_removed(emulator: MsiV2Emulator) -> None:
    client_id = emulator.register_application().client_id
    assertion = make_assertion(emulator, client_id)
    assert post(emulator, client_id, assertion).status_code == 401
    emulator.add_app_certificate(client_id, DER)
    assert post(emulator, client_id, assertion).status_code == 200
    emulator.remove_app_certificate(client_id, S256)
    assert post(emulator, client_id, assertion).status_code == 401


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"tenant": "common"}, 90002),
        ({"client_id": "d7a3f1c2-0b4e-4f5a-8c6d-9e0f1a2b3c4d"}, 700016),
        ({"grant_type": "password"}, 70003),
        ({"scope": "https://graph.microsoft.com"}, 70011),
        ({"client_assertion_type": "jwt"}, 50027),
        ({"client_assertion": "no.jwt"}, 50027),
        ({"client_assertion": TOO_DEEP}, 50027),
        ({"claims": "["}, 50099),
        ({"claims": "[" * 100_000}, 50099),
        ({"client_assertion": ""}, 900144),
    ],
)
def test_requests_that_are_none(
    emulator: MsiV2Emulator, client_id: str, more: dict[str, str], code: int
) -> None:
    more = dict(more)
    asking = more.pop("client_id", client_id)
    answer = post(emulator, asking, make_assertion(emulator, client_id), **more)
    assert answer.json()["error_codes"] == [code]


def test_an_unknown_application_is_no_invalid_client(emulator: MsiV2Emulator) -> None:
    stranger = str(uuid.uuid4())
    answer = post(emulator, stranger, make_assertion(emulator, stranger))
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


def test_a_tenant_may_be_written_in_either_case(emulator: MsiV2Emulator, client_id: str) -> None:
    tenant = emulator.tenant_id.upper()
    url = f"{emulator.login_url}/{tenant}/oauth2/v2.0/token"
    for change in ({}, {"aud": url}):
        assertion = make_assertion(emulator, client_id, **change)
        answer = post(emulator, client_id, assertion, tenant=tenant)
        claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
        assert claims["tid"] == emulator.tenant_id


def test_capabilities_become_a_claim(emulator: MsiV2Emulator, client_id: str) -> None:
    asked = '{"access_token": {"xms_cc": {"values": ["cp1"]}}}'
    answer = post(emulator, client_id, make_assertion(emulator, client_id), claims=asked)
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert claims["xms_cc"] == ["cp1"]


@pytest.mark.parametrize("tenant", ["tenant_id", "other_tenant_id"])
def test_tokens_verify_with_the_keys_that_discovery_names(
    emulator: MsiV2Emulator, client_id: str, tenant: str
) -> None:
    name = getattr(emulator, tenant)
    audience = f"{emulator.login_url}/{name}/oauth2/v2.0/token"
    assertion = make_assertion(emulator, client_id, aud=audience)
    token = post(emulator, client_id, assertion, tenant=name).json()["access_token"]
    configuration = get(emulator, f"{name}/v2.0/.well-known/openid-configuration").json()
    path = configuration["jwks_uri"].removeprefix(f"{emulator.login_url}/")
    keys = jwt.PyJWKSet.from_dict(get(emulator, path).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="https://graph.microsoft.com")
    assert claims["iss"] == f"https://sts.windows.net/{name}/"
    assert get(emulator, "common/discovery/v2.0/keys").status_code == 400


def get(emulator: MsiV2Emulator, path: str) -> requests.Response:
    return requests.get(f"{emulator.login_url}/{path}", verify=emulator.ca_bundle, timeout=30)
