"""Applications sign in with assertions whose vault hop is token-bound, over every TLS stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
import requests
from acquiring import make_client
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer import Issuer

from msal_msi_v2 import KeyVaultError, MtlsBindingStrength
from msal_msi_v2.assertions import (
    BoundCredential,
    ClientAssertion,
    KeyVaultCertificateAssertion,
    KeyVaultKeyAssertion,
    ManagedIdentityAssertion,
    SignedAssertion,
)
from msal_msi_v2.emulator import FederatedCredential

if TYPE_CHECKING:
    from collections.abc import Callable

    from msal_msi_v2 import ManagedIdentityClient

SCOPES = ["https://graph.microsoft.com/.default"]
RESOURCE = "https://vault.azure.net"
LEGS = ("vault_certificate", "vault_sign")


@pytest.fixture
def identity(emulator: Any, platform: Any) -> ManagedIdentityClient:
    del emulator
    return make_client(platform)


@pytest.fixture
def bound(identity: ManagedIdentityClient) -> BoundCredential:
    return BoundCredential(identity, min_strength=MtlsBindingStrength.SOFTWARE)


def by_certificate(emulator: Any, bound: BoundCredential) -> tuple[ClientAssertion, bytes]:
    made = emulator.create_vault_certificate("app")
    assertion = KeyVaultCertificateAssertion(emulator.vault_url, "app", bound, resource=RESOURCE)
    return assertion, made.der


def by_key(emulator: Any, bound: BoundCredential) -> tuple[ClientAssertion, bytes]:
    made = emulator.create_vault_certificate("app")
    assertion = KeyVaultKeyAssertion(
        made.key_id, bound, resource=RESOURCE, thumbprint_sha256=made.x5t_s256
    )
    return assertion, made.der


def sign_in(emulator: Any, client_id: str, assertion: Any, tenant: str) -> dict[str, Any]:
    app = msal.ConfidentialClientApplication(
        client_id,
        client_credential={"client_assertion": assertion},
        authority=f"{emulator.login_url}/{tenant}",
        instance_discovery=False,
        verify=emulator.ca_bundle,
    )
    result: dict[str, Any] = app.acquire_token_for_client(SCOPES)
    return result


@pytest.mark.parametrize("make", [by_certificate, by_key])
def test_one_object_signs_in_to_two_tenants_through_a_bound_vault_hop(
    emulator: Any, bound: BoundCredential, make: Callable[..., Any]
) -> None:
    assertion, der = make(emulator, bound)
    client_id = emulator.register_application(certificates=[der]).client_id
    for _ in range(3):
        for tenant in (emulator.tenant_id, emulator.other_tenant_id):
            result = sign_in(emulator, client_id, assertion, tenant)
            assert "access_token" in result, result
            claims = jwt.decode(result["access_token"], options={"verify_signature": False})
            assert (claims["tid"], claims["appid"]) == (tenant, client_id)
    hops = [sent for leg in LEGS for sent in emulator.requests_to(leg)]
    assert all(sent.headers["authorization"].startswith("mtls_pop ") for sent in hops)
    assert all(sent.client_certificate for sent in hops)
    assert len(emulator.requests_to("vault_sign")) == 2, "one for each tenant"
    reads = emulator.requests_to("vault_certificate")
    assert len(reads) == (1 if make is by_certificate else 0)


def by_own_key(_emulator: Any, _bound: BoundCredential) -> tuple[ClientAssertion, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    der = Issuer("an application").issue(key.public_key())
    return SignedAssertion(key, der), der


def test_a_key_of_ones_own_signs_in_too(emulator: Any, bound: BoundCredential) -> None:
    assertion, der = by_own_key(emulator, bound)
    client_id = emulator.register_application(certificates=[der]).client_id
    for tenant in (emulator.tenant_id, emulator.other_tenant_id):
        assert "access_token" in sign_in(emulator, client_id, assertion, tenant)


def trust_in_the_identity(emulator: Any) -> FederatedCredential:
    issuer = f"https://login.microsoftonline.com/{emulator.tenant_id}/v2.0"
    return FederatedCredential(issuer, emulator.identities[0].object_id)


@pytest.mark.parametrize("make", [by_certificate, by_key, by_own_key, None])
def test_unmodified_azure_identity_signs_in_with_each_kind(
    emulator: Any, identity: ManagedIdentityClient, bound: BoundCredential, make: Any
) -> None:
    azure_identity = pytest.importorskip("azure.identity")
    if make is None:
        assertion: ClientAssertion = ManagedIdentityAssertion(identity)
        application = emulator.register_application(federated=[trust_in_the_identity(emulator)])
    else:
        assertion, der = make(emulator, bound)
        application = emulator.register_application(certificates=[der])
    client_id = application.client_id
    for tenant in (emulator.tenant_id, emulator.other_tenant_id):
        credential = azure_identity.ClientAssertionCredential(
            tenant,
            client_id,
            assertion.bind(client_id, tenant, authority=emulator.login_url),
            authority=emulator.login_url,
            disable_instance_discovery=True,
            connection_verify=emulator.ca_bundle,
        )
        token = credential.get_token(SCOPES[0]).token
        assert jwt.decode(token, options={"verify_signature": False})["tid"] == tenant
    assert len(emulator.requests_to("vault_sign")) == (2 if make in {by_certificate, by_key} else 0)


def test_the_vault_refuses_the_same_token_over_a_plain_connection(
    emulator: Any, bound: BoundCredential
) -> None:
    assertion, _ = by_certificate(emulator, bound)
    assertion.bind("app", emulator.tenant_id)()
    stolen = emulator.requests_to("vault_sign")[0]
    for scheme in ("mtls_pop", "Bearer"):
        token = stolen.headers["authorization"].partition(" ")[2]
        answer = requests.post(
            f"{emulator.vault_url}{stolen.path}?api-version=7.4",
            data=stolen.body,
            headers={
                "Authorization": f"{scheme} {token}",
                "x-ms-tokenboundauth": "true",
                "Content-Type": "application/json",
            },
            verify=emulator.ca_bundle,
            timeout=30,
        )
        assert answer.status_code == 401


def test_a_managed_identity_stands_for_the_application(
    emulator: Any, identity: ManagedIdentityClient
) -> None:
    application = emulator.register_application(federated=[trust_in_the_identity(emulator)])
    client_id = application.client_id
    assertion = ManagedIdentityAssertion(identity)
    for tenant in (emulator.tenant_id, emulator.other_tenant_id):
        assert "access_token" in sign_in(emulator, client_id, assertion, tenant)


def test_a_vault_on_this_machine_must_be_told_what_it_is(
    emulator: Any, bound: BoundCredential
) -> None:
    assertion = KeyVaultCertificateAssertion(emulator.vault_url, "app", bound)
    with pytest.raises(KeyVaultError, match=f"this machine, pass resource='{RESOURCE}'"):
        assertion.bind("app", emulator.tenant_id)()


def test_after_a_rotation_the_new_version_signs(emulator: Any, bound: BoundCredential) -> None:
    assertion, old = by_certificate(emulator, bound)
    client_id = emulator.register_application(certificates=[old]).client_id
    assert "access_token" in sign_in(emulator, client_id, assertion, emulator.tenant_id)
    new = emulator.create_vault_certificate("app").der
    emulator.add_app_certificate(client_id, new)
    emulator.remove_app_certificate(client_id, jwt_thumbprint(old))
    refused = sign_in(emulator, client_id, assertion, emulator.tenant_id)
    assert (refused["error"], refused["error_codes"]) == ("invalid_client", [700027])
    assertion.invalidate()
    assert "access_token" in sign_in(emulator, client_id, assertion, emulator.tenant_id)


def jwt_thumbprint(der: bytes) -> str:
    import base64  # noqa: PLC0415 - beside its only use
    import hashlib  # noqa: PLC0415

    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
