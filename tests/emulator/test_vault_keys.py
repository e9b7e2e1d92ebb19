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
from cryptography.hazmat.primitives.asymmetric import padding, utils

from msal_msi_v2.emulator import MsiV2Emulator, Status

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
    client = msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )
    token = client.acquire_token_for_client(resource="https://vault.azure.net")["access_token"]
    with requests.Session() as session:
        session.verify = emulator.ca_bundle
        session.trust_env = False
        session.params = {"api-version": "7.4"}
        session.headers["Authorization"] = f"Bearer {token}"
        yield session
    emulator.vault_permissions = frozenset(
        {"secrets/get", "certificates/get", "keys/get", "keys/sign"}
    )


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


@pytest.mark.parametrize("permission", ["certificates/get", "keys/sign", "keys/get"])
def test_who_may_not_is_told_which_permission_is_missing(
    emulator: MsiV2Emulator, vault: requests.Session, permission: str
) -> None:
    made = emulator.create_vault_certificate("guarded")
    emulator.vault_permissions -= {permission}
    answer = {
        "certificates/get": lambda: vault.get(made.id, timeout=30),
        "keys/get": lambda: vault.get(made.key_id, timeout=30),
        "keys/sign": lambda: sign(vault, made.key_id),
    }[permission]()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "Forbidden")
    assert error["innererror"]["code"] == "ForbiddenByRbac"
    assert permission in error["message"]


def test_what_is_not_there_or_out_of_use(emulator: MsiV2Emulator, vault: requests.Session) -> None:
    for path in ("certificates/none", "keys/none"):
        assert vault.get(f"{emulator.vault_url}/{path}", timeout=30).status_code == 404
    key_id = emulator.create_vault_key("old")
    emulator.disable_vault_key("old")
    answer = sign(vault, key_id)
    assert answer.json()["error"]["innererror"]["code"] == "KeyDisabled"
    with pytest.raises(KeyError):
        emulator.disable_vault_key("none")
    with pytest.raises(ValueError, match="keys/sign"):
        emulator.vault_permissions = {"everything"}


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
