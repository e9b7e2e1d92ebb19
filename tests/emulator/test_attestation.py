"""The attestation service: whom it believes, and what its JWTs say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from msal_msi_v2.emulator import MsiV2Emulator
from msal_msi_v2.errors import AttestationError
from msal_msi_v2.strength import MtlsBindingStrength

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Answer, MiniClient


def test_the_jwt_can_be_verified_with_the_published_keys(client: MiniClient) -> None:
    base = client.emulator.attestation_url
    token = client.attestation_token()
    configuration = client.call("GET", f"{base}/.well-known/openid-configuration").json
    keys = jwt.PyJWKSet.from_dict(client.call("GET", configuration["jwks_uri"]).json)
    header = jwt.get_unverified_header(token)
    assert header["jku"] == configuration["jwks_uri"] == f"{base}/certs"
    claims = jwt.decode(token, keys[header["kid"]].key, algorithms=["RS256"], issuer=base)
    assert claims["exp"] - claims["iat"] == 8 * 3600
    (key,) = claims["x-ms-runtime"]["keys"]
    assert {name: key[name] for name in ("kty", "n", "e")} == client.jwk_of(client.key)
    assert claims["x-ms-runtime"]["client-payload"] == "{}"


def test_plain_http_and_pss_proofs_will_do(client: MiniClient) -> None:
    jwk = client.jwk_of(client.key)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    answer = client.attest(
        client.emulator.attestation_plain_url, proof=client.prove(client.key, jwk, scheme)
    )
    assert answer.status == 200
    claims = client.read_claims(answer.json["token"])
    assert claims["iss"] == client.emulator.attestation_url


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"proof": None}, 401),
        ({"proof": "AAAA"}, 401),
        ({"proof": "not base64url!"}, 400),
        ({"proof": 1}, 400),
        ({"client_id": "me"}, 400),
        ({"client_id": 1}, 400),
        ({"client_id": None}, 400),
        ({"client_payload": None}, 400),
        ({"client_payload": "[]"}, 400),
        ({"client_payload": "[" * 100_000}, 400),
        ({"client_payload": {}}, 400),
        ({"jwk": None}, 400),
        ({"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, 400),
        ({"jwk": {"kty": "EC", "n": "AQAB", "e": "AQAB"}}, 400),
        ({"jwk": "AQAB"}, 400),
        ({"more": 1}, 400),
    ],
)
def test_evidence_that_is_malformed_or_proves_nothing_is_refused(
    client: MiniClient, changes: dict[str, Any], status: int
) -> None:
    assert_refused(client.attest(**changes), status)


def test_a_jwk_is_exactly_an_rsa_key_of_2048_bits(client: MiniClient) -> None:
    right = client.jwk_of(client.key)
    for jwk in ({**right, "kty": "EC"}, {**right, "alg": "RS256"}):
        assert_refused(client.attest(jwk=jwk), 400)
    short = rsa.generate_private_key(65537, 1024)
    jwk = client.jwk_of(short)
    assert_refused(client.attest(jwk=jwk, proof=client.prove(short, jwk)), 400)


def test_a_proof_by_another_key_is_refused(
    client: MiniClient, other_key: rsa.RSAPrivateKey
) -> None:
    proof = client.prove(other_key, client.jwk_of(client.key))
    assert_refused(client.attest(proof=proof), 401)
    assert_refused(client.attest(jwk=client.jwk_of(other_key)), 401)


def test_the_request_itself_has_rules_too(client: MiniClient) -> None:
    assert client.attest().status == 200
    (request,) = client.emulator.requests
    url = f"{client.emulator.attestation_url}/attest/keyguard"
    right = f"{url}?api-version=2020-10-01"
    json_type = {"Content-Type": "application/json"}
    assert_refused(client.call("POST", url, json_type, request.body), 400)
    assert_refused(client.call("POST", f"{right}-preview", json_type, request.body), 400)
    assert_refused(client.call("GET", right), 405)
    assert_refused(client.call("POST", right, {}, request.body), 400)
    assert_refused(client.call("POST", f"{client.emulator.attestation_url}/attest"), 404)


def test_keyguard_keys_need_no_proof_where_they_were_made_and_count_for_nothing_elsewhere(
    client_of: Callable[[MsiV2Emulator], MiniClient],
) -> None:
    with MsiV2Emulator(trusted_keys_only=True) as home, MsiV2Emulator() as elsewhere:
        platform = home.keyguard_platform()
        key = platform.key_store.get_key()
        assert key.strength is MtlsBindingStrength.KEYGUARD
        assert platform.key_store.get_key() is key
        assert platform.certificate_store is None
        client = client_of(home)
        client.key = key.private_key
        client_id = client.identity.client_id
        token = platform.attestor.attest(home.attestation_url, key.private_key, client_id)
        assert client.issue(token=token).status == 200
        assert platform.attestor.calls == 1
        with pytest.raises(AttestationError, match="401"):
            platform.attestor.attest(elsewhere.attestation_plain_url, key.private_key, client_id)
        with pytest.raises(AttestationError, match="SSLError"):
            platform.attestor.attest(elsewhere.attestation_url, key.private_key, client_id)
        proven = client_of(home).attest()  # any other key, however well proven
        assert_refused(proven, 401)


def test_each_keyguard_platform_has_a_key_of_its_own(emulator: MsiV2Emulator) -> None:
    keys = [emulator.keyguard_platform().key_store.get_key().private_key for _ in range(2)]
    assert keys[0].public_key() != keys[1].public_key()


def assert_refused(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert answer.json["error"].keys() == {"code", "message"}
