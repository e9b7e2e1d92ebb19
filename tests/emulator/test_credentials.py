"""issuecredential: certificates, IMDS's cache of them, and every rule about CSR and evidence."""

from __future__ import annotations

import base64
import json
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from msal_msi_v2.emulator import MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Answer, MiniClient

DAY = 86400
CU_ID = x509.ObjectIdentifier("1.3.6.1.4.1.311.90.2.10")
TENANT = "6f1d2c3b-4a59-4e68-8b77-0c1d2e3f4a5b"
CLIENT = "3c6e0b8a-9c15-4f2a-8d7e-5b4a39281706"
VM = "b5a9d8c7-6e5f-4a3b-9c2d-1e0f1a2b3c4d"
DC, CN = (NameOID.DOMAIN_COMPONENT, TENANT), (NameOID.COMMON_NAME, CLIENT)
RIGHT = (CU_ID, f'{{"vmId":"{VM}"}}'.encode())


def test_the_credential_is_a_client_certificate_over_the_csr_key(client: MiniClient) -> None:
    answer = client.issue()
    assert answer.status == 200
    content = answer.json
    certificate = x509.load_der_x509_certificate(base64.b64decode(content.pop("certificate")))
    assert content == {
        "client_id": CLIENT,
        "tenant_id": TENANT,
        "identity_type": "SystemAssigned",
        "mtls_authentication_endpoint": client.emulator.token_url,
    }
    assert certificate.public_key() == client.key.public_key()
    assert "managedidentitysnissuer.login.microsoft.com" in certificate.issuer.rfc4514_string()
    assert [one.value for one in certificate.subject] == [TENANT, CLIENT]
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life.total_seconds() == 7 * DAY


def test_a_user_assigned_identity_gets_a_certificate_of_its_own(client: MiniClient) -> None:
    client.identity = client.emulator.identities[1]
    answer = client.issue(object_id=client.identity.object_id)
    assert answer.json["client_id"] == client.identity.client_id
    assert answer.json["identity_type"] == "UserAssigned"
    assert_refused(client.issue(), "The subject must be")  # the query names another identity


def test_imds_repeats_a_certificate_until_half_its_life_is_over(client: MiniClient) -> None:
    first = client.certificate()
    client.emulator.clock_offset = 3.4 * DAY
    assert client.certificate() == first
    client.emulator.clock_offset = 3.6 * DAY
    assert client.certificate() != first


def test_bypass_cache_replaces_the_certificate(client: MiniClient) -> None:
    first = client.certificate()
    second = client.certificate(bypass_cache="true")
    assert second != first
    assert client.certificate() == second
    assert client.emulator.requests_to("issuecredential")[1].query["bypass_cache"] == "true"
    assert_refused(client.issue(bypass_cache="false"), "bypass_cache")


def test_the_attested_and_the_unattested_certificate_are_two(client: MiniClient) -> None:
    first = client.certificate()
    assert client.certificate(token=client.attestation_token()) != first
    assert client.certificate() == first


def test_a_scale_set_comes_second_in_the_attribute(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(vmss_id="vmss") as emulator:
        client = client_of(emulator)
        assert client.issue().status == 200
        reversed_order = client.compact({"vmssId": "vmss", "vmId": VM})
        csr = client.csr(attributes=[(CU_ID, reversed_order)])
        assert_refused(client.issue(encode(csr)), "The attribute must hold")


SHA256 = hashes.SHA256()
CSRS: list[tuple[str, dict[str, Any], str]] = [
    ("other tenant", {"subject": [(NameOID.DOMAIN_COMPONENT, "t"), CN]}, "The subject"),
    ("other client", {"subject": [DC, (NameOID.COMMON_NAME, "c")]}, "The subject"),
    ("CN before DC", {"subject": [CN, DC]}, "The subject"),
    ("CN alone", {"subject": [CN]}, "The subject"),
    ("more names", {"subject": [DC, CN, (NameOID.ORGANIZATION_NAME, "o")]}, "The subject"),
    ("no attribute", {"attributes": []}, "exactly one attribute"),
    ("other attribute", {"attributes": [(NameOID.TITLE, RIGHT[1])]}, "exactly one attribute"),
    (
        "two attributes",
        {"attributes": [RIGHT, (NameOID.TITLE, b"t")]},
        "exactly one attribute",
    ),
    ("JSON with spaces", {"attributes": [(CU_ID, b'{"vmId": "v"}')]}, "The attribute must hold"),
    ("bare id", {"attributes": [(CU_ID, VM.encode())]}, "The attribute must hold"),
    ("no UTF8String", {"tag": _ASN1Type.IA5String}, "UTF8String"),
    ("PKCS#1 v1.5", {"rsa_padding": padding.PKCS1v15()}, "The signature"),
    (
        "salt of 20",
        {"rsa_padding": padding.PSS(padding.MGF1(SHA256), 20)},
        "The signature",
    ),
    (
        "SHA-384",
        {
            "rsa_padding": padding.PSS(padding.MGF1(hashes.SHA384()), 48),
            "algorithm": hashes.SHA384(),
        },
        "The signature",
    ),
    ("EC key", {"key": ec.generate_private_key(ec.SECP256R1())}, "The key must be"),
    ("RSA 1024", {"key": rsa.generate_private_key(65537, 1024)}, "The key must be"),
]


@pytest.mark.parametrize(
    ("changes", "reason"), [row[1:] for row in CSRS], ids=[row[0] for row in CSRS]
)
def test_a_csr_that_breaks_a_rule_is_refused(
    client: MiniClient, changes: dict[str, Any], reason: str
) -> None:
    assert_refused(client.issue(encode(client.csr(**changes))), reason)


def test_a_csr_that_declares_another_salt_than_it_was_signed_with_is_refused(
    client: MiniClient,
) -> None:
    salt_length = bytes.fromhex("a203020120")  # [2] INTEGER 32
    csr = client.csr()
    assert csr.count(salt_length) == 1
    forged = csr.replace(salt_length, bytes.fromhex("a203020121"))
    assert_refused(client.issue(encode(forged)), "not of the algorithm that the request declares")


def test_a_csr_with_a_broken_signature_is_refused(client: MiniClient) -> None:
    csr = bytearray(client.csr())
    csr[-1] ^= 1
    assert_refused(client.issue(encode(bytes(csr))), "The signature")


def test_a_csr_is_base64_of_der_on_one_line(client: MiniClient) -> None:
    csr = client.csr()
    pem = x509.load_der_x509_csr(csr).public_bytes(Encoding.PEM).decode()
    lines = "\n".join(textwrap.wrap(encode(csr), 64))
    for text in (pem, lines, encode(csr) + "\n", encode(csr)[:-1], "?"):
        assert_refused(client.post_credential({"csr": text}), "csr must be base64 on one line")
    for text in ("", encode(b"no DER"), encode(csr[:-1]), "\u00e9"):
        assert_refused(client.post_credential({"csr": text}), "csr is not the DER")
    assert_refused(client.post_credential({"csr": 1}), "csr must be a text")


@pytest.mark.parametrize("more", [{"attestation_token": None}, {"attestation_token": " "}])
def test_an_absent_attestation_token_is_left_out(client: MiniClient, more: dict[str, Any]) -> None:
    content = {"csr": encode(client.csr()), **more}
    assert_refused(client.post_credential(content), "leave it out")


def test_the_body_is_a_json_object_of_known_members(client: MiniClient) -> None:
    csr = encode(client.csr())
    members = "members are csr and"
    assert_refused(client.post_credential({"csr": csr, "client_id": CLIENT}), members)
    assert_refused(client.post_credential({}), members)
    assert_refused(client.post_credential([csr]), "JSON object")
    url = client.imds_url("issuecredential")
    body = json.dumps({"csr": csr})
    for headers in ({}, {"Content-Type": "text/plain"}):
        answer = client.call("POST", url, {**client.imds_headers(), **headers}, body)
        assert_refused(answer, "application/json")
    headers = {**client.imds_headers(), "Content-Type": "application/json"}
    assert_refused(client.call("POST", url, headers, body[:-1]), "JSON object")
    assert client.call("POST", url, headers, body).status == 200


def test_an_attestation_token_must_be_of_this_key_this_service_and_this_time(
    client: MiniClient,
    other_key: rsa.RSAPrivateKey,
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    token = client.attestation_token()
    assert client.issue(token=token).status == 200
    assert_refused(client.issue(token=client.forge(token)), "InvalidSignature")
    assert_refused(client.issue(token="no JWT"), "DecodeError")
    assert_refused(client.issue(token=access_token(client)), "InvalidSignature")
    jwk = client.jwk_of(other_key)
    other = client.attest(jwk=jwk, proof=client.prove(other_key, jwk)).json["token"]
    assert_refused(client.issue(token=other), "another key")
    client.emulator.clock_offset = 8 * 3600 + 1
    assert_refused(client.issue(token=token), "expired")
    client.emulator.clock_offset = -3600
    assert_refused(client.issue(token=token), "not valid yet")
    with MsiV2Emulator() as elsewhere:
        assert_refused(client_of(elsewhere).issue(token=token), "refused")


def test_a_host_may_insist_on_attestation(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(require_attestation=True) as emulator:
        client = client_of(emulator)
        assert_refused(client.issue(), "attested keys only")
        assert client.issue(token=client.attestation_token()).status == 200


def access_token(client: MiniClient) -> str:
    return client.token(client.certificate())


def encode(der: bytes) -> str:
    return base64.b64encode(der).decode()


def assert_refused(answer: Answer, reason: str) -> None:
    assert answer.status == 400
    assert answer.json["error"] == "invalid_request"
    assert reason in answer.json["error_description"]
