"""Applications sign in: what Entra takes from them, and what not."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from issuer import Issuer

from msal_msi_v2.emulator import FederatedCredential, MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

SCOPES = ["https://graph.microsoft.com/.default"]
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEY = rsa.generate_private_key(65537, 2048)
DER = Issuer("an application").issue(KEY.public_key())
OTHER_KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def fingerprint(algorithm: Any) -> str:
    import base64  # noqa: PLC0415 - beside its only use

    digest = x509.load_der_x509_certificate(DER).fingerprint(algorithm)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


S256, SHA1 = fingerprint(hashes.SHA256()), fingerprint(hashes.SHA1())


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
        ({"jti": "no guid"}, 50027),
    ],
)
def test_what_is_not(
    emulator: MsiV2Emulator, client_id: str, change: dict[str, Any], code: int
) -> None:
    answer = post(emulator, client_id, make_assertion(emulator, client_id, **change))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_codes"] == [code]


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


# --- federation


def identity_token(resource: str = "api://AzureADTokenExchange") -> str:
    client = msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )
    token: str = client.acquire_token_for_client(resource=resource)["access_token"]
    return token


def trust(emulator: MsiV2Emulator, **change: str) -> FederatedCredential:
    trusted = {
        "issuer": f"https://sts.windows.net/{emulator.tenant_id}/",
        "subject": emulator.identities[0].object_id,
        **change,
    }
    return FederatedCredential(**trusted)


def test_a_managed_identity_may_stand_for_an_application(emulator: MsiV2Emulator) -> None:
    application = emulator.register_application(federated=[trust(emulator)])
    assert post(emulator, application.client_id, identity_token()).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {"issuer": "https://sts.windows.net/other/"},
        lambda _: {"subject": str(uuid.uuid4())},
        lambda _: {"audience": "api://another"},
    ],
)
def test_but_only_the_one_that_it_trusts(
    emulator: MsiV2Emulator, change: Callable[[Any], dict[str, str]]
) -> None:
    credential = trust(emulator, **change(emulator))
    application = emulator.register_application(federated=[credential])
    answer = post(emulator, application.client_id, identity_token())
    assert answer.json()["error_codes"] == [700213]


def test_and_with_no_token_of_somebody_elses(emulator: MsiV2Emulator) -> None:
    application = emulator.register_application(federated=[trust(emulator)])
    with MsiV2Emulator() as other:
        forged = make_assertion(other, application.client_id, iss="https://sts.windows.net/x/")
    assert post(emulator, application.client_id, forged).json()["error_codes"] == [700027]
