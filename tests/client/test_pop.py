"""Bound tokens, over real sockets and real mutual TLS, from the emulated host."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import msal
import pytest
import requests
from cryptography import x509

from msal_msi_v2 import (
    BindingCertificate,
    ManagedIdentityClient,
    MsiV2ClientError,
    MsiV2Error,
    authorization_header,
    verify_cnf_binding,
)
from msal_msi_v2 import MtlsBindingStrength as Strength
from msal_msi_v2.emulator import MsiV2Emulator
from msal_msi_v2.errors import AttestationError
from msal_msi_v2.http.openssl import OpenSslTransport
from msal_msi_v2.platforms import Timeout
from msal_msi_v2.software import SoftwarePlatform

if TYPE_CHECKING:
    from msal_msi_v2.platforms import Platform

RESOURCE = "https://vault.azure.net"
SOFTWARE: dict[str, Any] = {"mtls_proof_of_possession": True, "min_strength": Strength.SOFTWARE}
ATTESTED: dict[str, Any] = {"mtls_proof_of_possession": True, "with_attestation_support": True}
NO_ATTESTATION = MsiV2ClientError("attestation_not_supported", "This is a test's platform.")


def make_client(
    platform: Platform | None = None, identity: Any = None, **options: Any
) -> ManagedIdentityClient:
    return ManagedIdentityClient(
        identity or msal.SystemAssignedManagedIdentity(),
        http_client=requests.Session(),
        platform=platform or SoftwarePlatform(NO_ATTESTATION),
        **options,
    )


def refusal(client: ManagedIdentityClient, **options: Any) -> MsiV2Error:
    with pytest.raises(MsiV2Error) as caught:
        client.acquire_token_for_client(resource=RESOURCE, **options)
    return caught.value


def legs(emulator: MsiV2Emulator) -> list[str]:
    return [request.leg for request in emulator.requests]


def test_a_software_key_gets_a_bound_token_in_three_requests(emulator: MsiV2Emulator) -> None:
    result = make_client().acquire_token_for_client(resource=RESOURCE, **SOFTWARE)
    assert legs(emulator) == ["metadata", "issuecredential", "token"]
    certificate = result["binding_certificate"]
    assert isinstance(certificate, BindingCertificate)
    assert verify_cnf_binding(result["access_token"], certificate)
    assert set(result) == {
        "access_token", "token_type", "expires_in", "resource", "token_source", "correlation_id",
        "binding_certificate", "cert_pem", "cert_der_b64", "cert_thumbprint_sha256",
    }  # fmt: skip
    assert result["token_type"] == "mtls_pop"
    assert isinstance(result["expires_in"], int)
    assert (result["resource"], result["token_source"]) == (RESOURCE, "identity_provider")


def test_one_guid_goes_through_every_request(emulator: MsiV2Emulator) -> None:
    guid = str(uuid.uuid4())
    result = make_client().acquire_token_for_client(
        resource=RESOURCE, correlation_id=guid, **SOFTWARE
    )
    sent = [
        request.headers.get("x-ms-client-request-id") or request.headers.get("client-request-id")
        for request in emulator.requests
    ]
    assert [result["correlation_id"], *sent] == [guid] * 4


def test_the_token_request_presents_the_issued_certificate(emulator: MsiV2Emulator) -> None:
    result = make_client().acquire_token_for_client(resource=RESOURCE, **SOFTWARE)
    (request,) = emulator.requests_to("token")
    assert request.client_certificate == result["binding_certificate"].der


def identity_forms() -> list[Any]:
    with MsiV2Emulator() as host:
        user = next(identity for identity in host.identities if identity.resource_id)
    named = {
        "ClientId": ("client_id", user.client_id),
        "ObjectId": ("object_id", user.object_id),
        "ResourceId": ("resource_id", user.resource_id),
    }
    forms: list[Any] = [({"ManagedIdentityIdType": "SystemAssigned", "Id": None}, None)]
    for id_type, (keyword, value) in named.items():
        wire = "mi_res_id" if keyword == "resource_id" else keyword
        forms += [
            (msal.UserAssignedManagedIdentity(**{keyword: value}), wire),
            ({"ManagedIdentityIdType": id_type, "Id": value}, wire),
        ]
    return forms


@pytest.mark.parametrize(("identity", "wire"), identity_forms())
def test_every_form_of_identity(emulator: MsiV2Emulator, identity: Any, wire: str | None) -> None:
    client = make_client(identity=identity)
    assert client.acquire_token_for_client(resource=RESOURCE, **SOFTWARE)["access_token"]
    expected = {"cred-api-version": "2.0"} | ({wire: identity["Id"]} if wire else {})
    assert [request.query for request in emulator.requests[:2]] == [expected] * 2


def test_the_attested_path(emulator: MsiV2Emulator) -> None:
    client = make_client(emulator.keyguard_platform())
    result = client.acquire_token_for_client(resource=RESOURCE, **ATTESTED)
    assert legs(emulator) == ["metadata", "attestation", "issuecredential", "token"]
    body = json.loads(emulator.requests_to("issuecredential")[0].body)
    assert body["attestation_token"].count(".") == 2
    assert result["binding_certificate"].strength is Strength.KEYGUARD


def test_keyguard_meets_the_default_floor_without_attestation(emulator: MsiV2Emulator) -> None:
    client = make_client(emulator.keyguard_platform())
    client.acquire_token_for_client(resource=RESOURCE, mtls_proof_of_possession=True)
    assert legs(emulator) == ["metadata", "issuecredential", "token"]
    assert "attestation_token" not in json.loads(emulator.requests_to("issuecredential")[0].body)


def test_an_attestation_token_over_another_key_is_refused(emulator: MsiV2Emulator) -> None:
    other = emulator.keyguard_platform()
    swapped: Any = _Swapped(other)
    platform = replace(emulator.keyguard_platform(), attestor=swapped)
    error = refusal(make_client(platform), **ATTESTED)
    assert (error.error, error.status_code) == ("managed_identity_request_failed", 400)
    assert legs(emulator) == ["metadata", "attestation", "issuecredential"]


class _Swapped:
    """An attestor that attests another host's key."""

    def __init__(self, other: Any) -> None:
        self._other = other

    def attest(self, endpoint: str, key: Any, client_id: str, *, fresh: bool = False) -> str:
        del key
        own = self._other.key_store.get_key().private_key
        token: str = self._other.attestor.attest(endpoint, own, client_id, fresh=fresh)
        return token


def test_keys_of_another_emulator_are_not_attested(emulator: MsiV2Emulator) -> None:
    with MsiV2Emulator(trusted_keys_only=True) as other:
        endpoint = other.attestation_url
        platform = emulator.keyguard_platform()
        with pytest.raises(AttestationError) as caught:
            platform.attestor.attest(endpoint, platform.key_store.get_key().private_key, "client")
    assert caught.value.error == "attestation_failed"


@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_an_attestor_that_returns_nothing_fails(emulator: MsiV2Emulator, nothing: Any) -> None:
    class Silent:
        def attest(self, *_: Any, **__: Any) -> Any:
            return nothing

    silent: Any = Silent()
    platform = replace(emulator.keyguard_platform(), attestor=silent)
    error = refusal(make_client(platform), **ATTESTED)
    assert isinstance(error, AttestationError)
    assert error.error == "attestation_failed"
    assert legs(emulator) == ["metadata"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "mtls_pop_requires_keyguard"),
        ({"min_strength": Strength.KEYGUARD}, "min_strength_not_met"),
        ({"with_attestation_support": True}, "attestation_not_supported"),
        ({"resource": ""}, "invalid_request"),
        ({"resource": 5}, "invalid_request"),
        ({"min_strength": 2}, "invalid_request"),
        ({"min_strength": "SOFTWARE"}, "invalid_request"),
        ({"correlation_id": "x"}, "invalid_request"),
        ({"claims_challenge": "x"}, "invalid_json_claims_format"),
    ],
    ids=str,
)
def test_what_can_be_refused_without_the_network_is(
    emulator: MsiV2Emulator, options: dict[str, Any], code: str
) -> None:
    arguments = {"resource": RESOURCE, "mtls_proof_of_possession": True, **options}
    with pytest.raises(MsiV2ClientError) as caught:
        make_client().acquire_token_for_client(**arguments)
    assert caught.value.error == code
    assert caught.value.correlation_id
    assert emulator.requests == []


def test_an_explicit_floor_names_both_strengths(emulator: MsiV2Emulator) -> None:
    error = refusal(make_client(), mtls_proof_of_possession=True, min_strength=Strength.KEYGUARD)
    assert "KEYGUARD" in str(error)
    assert "SOFTWARE" in str(error)
    assert emulator.requests == []


@pytest.mark.parametrize("floor", [Strength.NONE, Strength.SOFTWARE, 0, 1])
def test_a_lowered_floor_accepts_a_software_key(emulator: MsiV2Emulator, floor: Any) -> None:
    result = make_client().acquire_token_for_client(
        resource=RESOURCE, mtls_proof_of_possession=True, min_strength=floor
    )
    assert result["binding_certificate"].strength is Strength.SOFTWARE
    assert emulator.requests


def test_a_weak_key_is_never_attested_whatever_the_floor(emulator: MsiV2Emulator) -> None:
    platform = SoftwarePlatform(NO_ATTESTATION)
    platform.attestor = emulator.keyguard_platform().attestor  # type: ignore[assignment]  # on purpose
    for floor in (None, Strength.SOFTWARE, Strength.KEYGUARD):
        error = refusal(make_client(platform), **ATTESTED, min_strength=floor)
        assert error.error == "mtls_pop_requires_keyguard"
    assert emulator.requests == []


@pytest.mark.parametrize(
    "variables",
    [
        {"IDENTITY_ENDPOINT": "x", "IDENTITY_HEADER": "h", "IDENTITY_SERVER_THUMBPRINT": "t"},
        {"IDENTITY_ENDPOINT": "x", "IDENTITY_HEADER": "h"},
        {"MSI_ENDPOINT": "x", "MSI_SECRET": "s"},
        {"IDENTITY_ENDPOINT": "x", "IMDS_ENDPOINT": "y"},
        {"MSI_ENDPOINT": "x", "AZUREPS_HOST_ENVIRONMENT": "cloud-shell/1.0"},
    ],
    ids="+".join,
)
def test_other_environments_have_no_bound_tokens(
    emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert refusal(make_client(), **ATTESTED).error == "mtls_pop_not_supported_for_environment"
    assert emulator.requests == []


def test_claims_and_capabilities_reach_the_token_service(emulator: MsiV2Emulator) -> None:
    client = make_client(client_capabilities=["CP1"])
    client.acquire_token_for_client(
        resource=RESOURCE, claims_challenge='{"access_token":{"nbf":{"value":"1"}}}', **SOFTWARE
    )
    form = dict(
        pair.split("=", 1) for pair in emulator.requests_to("token")[0].body.decode().split("&")
    )
    claims = json.loads(unquote_plus(form["claims"]))
    assert claims == {"access_token": {"nbf": {"value": "1"}, "xms_cc": {"values": ["CP1"]}}}


def test_a_pop_token_never_meets_msals_cache(emulator: MsiV2Emulator) -> None:
    cache = msal.TokenCache()
    client = make_client(token_cache=cache)
    client.acquire_token_for_client(resource=RESOURCE, **SOFTWARE)
    assert not list(cache.search(msal.TokenCache.CredentialType.ACCESS_TOKEN))
    client.acquire_token_for_client(resource=RESOURCE)
    assert legs(emulator)[-1] == "imds_token"


@pytest.mark.usefixtures("emulator")
def test_the_result_describes_its_certificate() -> None:
    result = make_client().acquire_token_for_client(resource=RESOURCE, **SOFTWARE)
    certificate = result["binding_certificate"]
    parsed = x509.load_pem_x509_certificate(result["cert_pem"].encode())
    assert base64.b64decode(result["cert_der_b64"]) == certificate.der
    assert result["cert_thumbprint_sha256"] == certificate.x5t_s256
    assert certificate.not_after == parsed.not_valid_after_utc
    assert certificate.not_before == parsed.not_valid_before_utc
    assert certificate.subject == parsed.subject.rfc4514_string()
    assert certificate.public_key() == parsed.public_key()
    assert len(certificate.thumbprint_sha1) == 40


def test_the_token_opens_the_resource_to_its_own_certificate_only(emulator: MsiV2Emulator) -> None:
    result = make_client().acquire_token_for_client(resource=RESOURCE, **SOFTWARE)
    other = make_client().acquire_token_for_client(resource=RESOURCE, **SOFTWARE)
    statuses = []
    for certificate in (result["binding_certificate"], other["binding_certificate"]):
        transport = OpenSslTransport(emulator.ca_bundle)
        response = transport.request(
            "GET",
            f"{emulator.resource_url}/",
            certificate=certificate,
            headers=[("Authorization", authorization_header(result))],
            timeout=Timeout(5, 5),
        )
        statuses.append(response.status)
        response.close()
        transport.close()
    assert statuses == [200, 401]


def test_refresh_on_is_told_where_the_service_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with MsiV2Emulator(refresh_in=1000) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        result = make_client().acquire_token_for_client(resource=RESOURCE, **SOFTWARE)
        assert 990 <= result["refresh_on"] - time.time() <= 1000


def test_authorization_header_takes_bound_tokens_only() -> None:
    bound = {"token_type": "mtls_pop", "access_token": "eyJ"}
    assert authorization_header(bound) == "mtls_pop eyJ"
    for other in ({}, {"token_type": "Bearer", "access_token": "x"}, {"token_type": "mtls_pop"}):
        with pytest.raises(MsiV2ClientError) as caught:
            authorization_header(other)
        assert caught.value.error == "token_type_mismatch"


def test_strengths_have_the_values_of_msal_dotnet() -> None:
    assert [int(strength) for strength in Strength] == [0, 1, 3]
