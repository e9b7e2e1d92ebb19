"""The vault's keys and certificates, as Key Vault's REST API has them."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from msal_msi_v2.emulator import PERMISSIONS, MsiV2Emulator, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = hashlib.sha256(b"to be signed").digest()
VALUE = base64.urlsafe_b64encode(DIGEST).rstrip(b"=").decode()
PADDINGS = {
    "PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32),
    "RS256": padding.PKCS1v15(),
}


@pytest.fixture
def vault(emulator: MsiV2Emulator) -> Iterator[requests.Session]:
    """A session that has a bearer token for the vault."""
    with requests.Session() as session:
        session.verify = emulator.ca_bundle
        session.trust_env = False
        session.params = {"api-version": "7.4"}
        session.headers["Authorization"] = f"Bearer {vault_token()}"
        yield session
    emulator.vault_permissions = PERMISSIONS


def vault_token() -> str:
    client = msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )
    token: str = client.acquire_token_for_client(resource="https://vault.azure.net")["access_token"]
    return token


def sign(vault: requests.Session, key_id: str, **body: Any) -> requests.Response:
    return vault.post(f"{key_id}/sign", json={"alg": "PS256", "value": VALUE, **body}, timeout=30)


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_a_certificate_and_a_signature_of_its_key(
    emulator: MsiV2Emulator, vault: requests.Session, algorithm: str
) -> None:
    made = emulator.create_vault_certificate("app")
    found = vault.get(f"{emulator.vault_url}/certificates/app", timeout=30).json()
    assert (found["id"], found["kid"]) == (made.id, made.key_id)
    assert base64.b64decode(found["cer"]) == made.der
    assert found["policy"]["key_props"]["exportable"] is False
    sha1 = bytes.fromhex(made.thumbprint_sha1)
    assert found["x5t"] == base64.urlsafe_b64encode(sha1).rstrip(b"=").decode()

    answer = sign(vault, found["kid"], alg=algorithm).json()
    assert answer["kid"] == made.key_id
    signature = base64.urlsafe_b64decode(answer["value"] + "==")
    public_key: Any = x509.load_der_x509_certificate(made.der).public_key()
    public_key.verify(signature, DIGEST, PADDINGS[algorithm], utils.Prehashed(hashes.SHA256()))


def test_rotation_makes_a_version_and_keeps_the_old_one(
    emulator: MsiV2Emulator, vault: requests.Session
) -> None:
    first = emulator.create_vault_certificate("rotated", exportable=True)
    second = emulator.create_vault_certificate("rotated")
    newest = vault.get(f"{emulator.vault_url}/certificates/rotated", timeout=30).json()
    assert newest["id"] == second.id != first.id
    pinned = vault.get(first.id, timeout=30).json()
    assert base64.b64decode(pinned["cer"]) == first.der
    assert pinned["policy"]["key_props"]["exportable"] is True
    assert sign(vault, first.key_id).json()["kid"] == first.key_id
    unversioned = f"{emulator.vault_url}/keys/rotated"
    assert sign(vault, unversioned).json()["kid"] == second.key_id
    key = vault.get(second.key_id, timeout=30).json()["key"]
    assert (key["kid"], key["kty"]) == (second.key_id, "RSA")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"alg": "ES256"}, 400),
        ({"value": VALUE[:-4]}, 400),
        ({"value": "***"}, 400),
        ({"value": 1}, 400),
        ({"more": "x"}, 400),
        ({}, 200),
    ],
)
def test_what_is_signed_must_be_a_digest(
    emulator: MsiV2Emulator, vault: requests.Session, body: dict[str, Any], status: int
) -> None:
    key_id = emulator.create_vault_key("plain")
    answer = sign(vault, key_id, **body)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["code"] == "BadParameter"


@pytest.mark.parametrize(
    ("permission", "action"),
    [
        ("secrets/get", "secrets/getSecret/action"),
        ("certificates/get", "certificates/read"),
        ("keys/get", "keys/read"),
        ("keys/sign", "keys/sign/action"),
    ],
)
def test_who_may_not_is_told_which_action_is_missing(
    emulator: MsiV2Emulator, vault: requests.Session, permission: str, action: str
) -> None:
    made = emulator.create_vault_certificate("guarded")
    assert permission in PERMISSIONS
    emulator.vault_permissions -= {permission}
    answer = {
        "secrets/get": lambda: vault.get(f"{emulator.vault_url}/secrets/x", timeout=30),
        "certificates/get": lambda: vault.get(made.id, timeout=30),
        "keys/get": lambda: vault.get(made.key_id, timeout=30),
        "keys/sign": lambda: sign(vault, made.key_id),
    }[permission]()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "Forbidden")
    assert error["innererror"]["code"] == "ForbiddenByRbac"
    assert f"'Microsoft.KeyVault/vaults/{action}'" in error["message"]


def test_what_is_not_there_or_out_of_use(emulator: MsiV2Emulator, vault: requests.Session) -> None:
    for path in ("certificates/none", "keys/none"):
        assert vault.get(f"{emulator.vault_url}/{path}", timeout=30).status_code == 404
    key_id = emulator.create_vault_key("old")
    emulator.disable_vault_key("old")
    answer = sign(vault, key_id)
    assert answer.json()["error"]["innererror"]["code"] == "KeyDisabled"
    emulator.enable_vault_key("old")
    assert sign(vault, key_id).status_code == 200
    for change in (emulator.disable_vault_key, emulator.enable_vault_key):
        with pytest.raises(KeyError):
            change("none")
    with pytest.raises(ValueError, match="keys/sign"):
        emulator.vault_permissions = {"everything"}


@pytest.mark.parametrize(("days", "reason"), [(366, "KeyExpired"), (-1, "KeyNotYetValid")])
def test_a_key_signs_while_its_certificate_is_valid(
    emulator: MsiV2Emulator, vault: requests.Session, days: int, reason: str
) -> None:
    made = emulator.create_vault_certificate("aging")
    plain = emulator.create_vault_key("ageless")
    attributes = vault.get(made.key_id, timeout=30).json()["attributes"]
    certificate = x509.load_der_x509_certificate(made.der)
    assert attributes["nbf"] == certificate.not_valid_before_utc.timestamp()
    assert attributes["exp"] == certificate.not_valid_after_utc.timestamp()
    assert attributes == vault.get(made.id, timeout=30).json()["attributes"]
    assert "exp" not in vault.get(plain, timeout=30).json()["attributes"]
    emulator.clock_offset = days * 86400
    vault.headers["Authorization"] = f"Bearer {vault_token()}"
    answer = sign(vault, made.key_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Forbidden")
    assert answer.json()["error"]["innererror"]["code"] == reason
    assert sign(vault, plain).status_code == 200


@pytest.mark.parametrize("exportable", [True, False])
def test_who_may_read_secrets_can_download_a_key_that_is_exportable(
    emulator: MsiV2Emulator, vault: requests.Session, exportable: bool
) -> None:
    made = emulator.create_vault_certificate("portable", exportable=exportable)
    secret_id = vault.get(made.id, timeout=30).json()["sid"]
    secret = vault.get(secret_id, timeout=30).json()
    assert (secret["id"], secret["kid"]) == (secret_id, made.key_id)
    assert secret["contentType"] == "application/x-pkcs12"
    key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(secret["value"]), None)
    if exportable:
        public: Any = x509.load_der_x509_certificate(made.der).public_key()
        assert isinstance(key, rsa.RSAPrivateKey)
        assert key.public_key().public_numbers() == public.public_numbers()
        assert certificate is not None
        assert certificate.public_bytes(Encoding.DER) == made.der
    else:
        assert key is None
    unversioned = vault.get(f"{emulator.vault_url}/secrets/portable", timeout=30)
    assert unversioned.json()["id"] == secret_id
    emulator.disable_vault_key("portable")
    refused = vault.get(secret_id, timeout=30)
    assert refused.json()["error"]["innererror"]["code"] == "SecretDisabled"


@pytest.mark.parametrize("version", ["7.4", "2016-10-01", "2025-07-01"])
def test_versions_of_the_api_that_there_are(
    emulator: MsiV2Emulator, vault: requests.Session, version: str
) -> None:
    url = f"{emulator.vault_url}/secrets/x"
    assert vault.get(url, params={"api-version": version}, timeout=30).status_code == 200


@pytest.mark.parametrize("version", ["banana", "0", "8.0"])
def test_and_versions_that_there_are_not(
    emulator: MsiV2Emulator, vault: requests.Session, version: str
) -> None:
    url = f"{emulator.vault_url}/secrets/x"
    answer = vault.get(url, params={"api-version": version}, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadParameter")
    assert f"({version}) is not recognized" in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a.b", "ä", "a\n", "a" * 128])
def test_names_that_key_vault_would_refuse(emulator: MsiV2Emulator, name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and hyphens"):
        emulator.create_vault_certificate(name)
    with pytest.raises(ValueError, match="letters, digits and hyphens"):
        emulator.create_vault_key(name)


def test_a_name_may_be_longer_than_a_common_name(
    emulator: MsiV2Emulator, vault: requests.Session
) -> None:
    made = emulator.create_vault_certificate("a" * 127)
    assert vault.get(made.id, timeout=30).json()["id"] == made.id


@pytest.mark.parametrize("size", [1024, 3000, 2**31])
def test_key_sizes_that_key_vault_does_not_have(emulator: MsiV2Emulator, size: int) -> None:
    with pytest.raises(ValueError, match="key_size is one of"):
        emulator.create_vault_certificate("app", key_size=size)


def test_without_a_token_there_is_a_challenge_and_throttling_is_a_fault(
    emulator: MsiV2Emulator, vault: requests.Session
) -> None:
    made = emulator.create_vault_certificate("busy")
    emulator.faults.add("vault_sign", Status(429, {"Retry-After": "3"}))
    assert sign(vault, made.key_id).headers["Retry-After"] == "3"
    del vault.headers["Authorization"]
    answer = sign(vault, made.key_id)
    assert answer.status_code == 401
    assert 'resource="https://vault.azure.net"' in answer.headers["WWW-Authenticate"]
    assert len(emulator.requests_to("vault_sign")) == 2
