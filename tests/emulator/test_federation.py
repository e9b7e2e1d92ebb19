"""Managed identities stand for applications, and tenants are told apart."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from issuer import Issuer

from msal_msi_v2.emulator import FederatedCredential, MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2.emulator import Application

EXCHANGE = "api://AzureADTokenExchange"
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
VAULT = "https://vault.azure.net"
KEY = rsa.generate_private_key(65537, 2048)
DER = Issuer("an application").issue(KEY.public_key())


def read(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def identity_token(resource: str = EXCHANGE) -> str:
    client = msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )
    token: str = client.acquire_token_for_client(resource=resource)["access_token"]
    return token


def application_token(emulator: MsiV2Emulator, client_id: str, resource: str, tenant: str) -> str:
    """A token that an application got with a certificate of its own."""
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = x509.load_der_x509_certificate(DER).public_bytes(Encoding.PEM).decode()
    app = msal.ConfidentialClientApplication(
        client_id,
        client_credential={"private_key": pem, "public_certificate": public},
        authority=f"{emulator.login_url}/{tenant}",
        instance_discovery=False,
        verify=emulator.ca_bundle,
    )
    token: str = app.acquire_token_for_client([f"{resource}/.default"])["access_token"]
    return token


def trust(emulator: MsiV2Emulator, **change: str) -> FederatedCredential:
    """The credential that docs/assertions.md has registered, but for what is changed."""
    trusted = {
        "issuer": f"https://login.microsoftonline.com/{emulator.tenant_id}/v2.0",
        "subject": emulator.identities[0].object_id,
        **change,
    }
    return FederatedCredential(**trusted)


def sign_in(
    emulator: MsiV2Emulator, application: Application, assertion: str, tenant: str = ""
) -> requests.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": application.client_id,
        "scope": "https://graph.microsoft.com/.default",
        "client_assertion_type": BEARER,
        "client_assertion": assertion,
    }
    url = f"{emulator.login_url}/{tenant or emulator.tenant_id}/oauth2/v2.0/token"
    return requests.post(url, data=form, verify=emulator.ca_bundle, timeout=30)


@pytest.mark.parametrize("tenant", ["tenant_id", "other_tenant_id"])
def test_a_managed_identity_may_stand_for_an_application(
    emulator: MsiV2Emulator, tenant: str
) -> None:
    application = emulator.register_application(federated=[trust(emulator)])
    name = getattr(emulator, tenant)
    answer = sign_in(emulator, application, identity_token(), name)
    assert answer.status_code == 200, answer.text
    claims = read(answer.json()["access_token"])
    assert (claims["iss"], claims["tid"]) == (f"https://sts.windows.net/{name}/", name)
    assert (claims["appid"], claims["oid"]) == (application.client_id, application.object_id)


@pytest.mark.parametrize("cloud", ["", "USGov", "China"])
def test_what_is_for_the_exchange_is_a_token_of_version_2(
    emulator: MsiV2Emulator, cloud: str
) -> None:
    audience = f"{EXCHANGE}{cloud}"
    claims = read(identity_token(audience))
    assert (claims["ver"], claims["aud"]) == ("2.0", audience)
    assert claims["azp"] == emulator.identities[0].client_id
    assert "appid" not in claims
    application = emulator.register_application(federated=[trust(emulator, audience=audience)])
    assert sign_in(emulator, application, identity_token(audience)).status_code == 200


def test_and_all_other_tokens_are_of_version_1(emulator: MsiV2Emulator) -> None:
    claims = read(identity_token(VAULT))
    assert (claims["ver"], claims["appid"]) == ("1.0", emulator.identities[0].client_id)
    assert claims["iss"] == f"https://sts.windows.net/{emulator.tenant_id}/"
    assert "azp" not in claims


@pytest.mark.parametrize(
    "change",
    [
        lambda emulator: {"issuer": f"https://sts.windows.net/{emulator.tenant_id}/"},
        lambda emulator: {
            "issuer": f"https://login.microsoftonline.com/{emulator.other_tenant_id}/v2.0"
        },
        lambda _: {"subject": str(uuid.uuid4())},
        lambda _: {"audience": "api://another"},
    ],
)
def test_but_only_the_one_that_it_trusts(
    emulator: MsiV2Emulator, change: Callable[[Any], dict[str, str]]
) -> None:
    credential = trust(emulator, **change(emulator))
    application = emulator.register_application(federated=[credential])
    answer = sign_in(emulator, application, identity_token())
    assert answer.json()["error_codes"] == [700213]


def test_and_with_no_token_of_somebody_elses(
    emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = emulator.register_application(federated=[trust(emulator)])
    with MsiV2Emulator() as other:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", other.imds_url)
        token = identity_token()
    assert sign_in(emulator, application, token).json()["error_codes"] == [700027]


@pytest.mark.parametrize("tenant", ["tenant_id", "other_tenant_id"])
def test_an_applications_token_stands_for_no_other(emulator: MsiV2Emulator, tenant: str) -> None:
    first = emulator.register_application(certificates=[DER])
    name = getattr(emulator, tenant)
    credential = trust(
        emulator,
        issuer=f"https://login.microsoftonline.com/{name}/v2.0",
        subject=first.object_id,
    )
    second = emulator.register_application(federated=[credential])
    token = application_token(emulator, first.client_id, EXCHANGE, name)
    answer = sign_in(emulator, second, token)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_codes"] == [700222]


def read_secret(emulator: MsiV2Emulator, token: str) -> requests.Response:
    return requests.get(
        f"{emulator.vault_url}/secrets/x?api-version=7.4",
        headers={"Authorization": f"Bearer {token}"},
        verify=emulator.ca_bundle,
        timeout=30,
    )


def test_the_vault_takes_tokens_of_its_own_tenant_only(emulator: MsiV2Emulator) -> None:
    client_id = emulator.register_application(certificates=[DER]).client_id
    own = application_token(emulator, client_id, VAULT, emulator.tenant_id)
    assert read_secret(emulator, own).status_code == 200
    other = application_token(emulator, client_id, VAULT, emulator.other_tenant_id)
    answer = read_secret(emulator, other)
    assert answer.status_code == 401
    message = answer.json()["error"]["message"]
    assert message.startswith("AKV10032: Invalid issuer.")
    assert message.endswith(f"found https://sts.windows.net/{emulator.other_tenant_id}/.")


@pytest.mark.parametrize("change", [{"ver": "2.0"}, {"tid": "other_tenant_id"}])
def test_issuer_tenant_and_version_are_one(emulator: MsiV2Emulator, change: dict[str, str]) -> None:
    changed = {name: getattr(emulator, value, value) for name, value in change.items()}
    key = emulator._services.token._tokens.key
    claims = read(identity_token(VAULT))
    times = {name: claims.pop(name) for name in ("iat", "nbf", "exp")}
    token = key.sign({**claims, **changed}, now=times["iat"], lifetime=3600)
    assert "not that of its tenant" in read_secret(emulator, token).text
