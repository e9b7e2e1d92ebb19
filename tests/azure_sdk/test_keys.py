"""Key Vault's clients for keys and cryptography, with bound tokens, over every TLS stack."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from acquiring import make_client
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from msal_msi_v2 import MtlsBindingStrength

pytest.importorskip("azure.identity")
pytest.importorskip("azure.keyvault.keys")

from azure.keyvault.keys import KeyClient
from azure.keyvault.keys._shared import http_challenge_cache
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from azure.keyvault.keys.crypto.aio import (
    CryptographyClient as AsyncCryptographyClient,
)

from msal_msi_v2.azure import MsiV2Credential, aio

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = hashlib.sha256(b"something").digest()
SOFTWARE = MtlsBindingStrength.SOFTWARE


@pytest.fixture
def key_id(emulator: Any) -> str:
    """A key in the vault; the SDK keeps the vault's challenges for the whole process."""
    http_challenge_cache.clear()
    made: str = emulator.create_vault_key("signing")
    return made


def options(credential: Any) -> dict[str, Any]:
    # The emulator's address is no vault's.
    return {**credential.client_options(), "verify_challenge_resource": False}


def verify(public: Any, signature: bytes) -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
    public.verify(signature, b"something", pss, hashes.SHA256())


def test_a_key_signs_what_its_public_half_verifies(
    emulator: Any, make_platform: Callable[[], Any], key_id: str
) -> None:
    credential = MsiV2Credential(client=make_client(make_platform()), min_strength=SOFTWARE)
    with KeyClient(emulator.vault_url, credential, **options(credential)) as keys:
        found: Any = keys.get_key("signing")
    assert found.id == key_id
    with CryptographyClient(key_id, credential, **options(credential)) as client:
        result = client.sign(SignatureAlgorithm.ps256, DIGEST)
    numbers = rsa.RSAPublicNumbers(
        int.from_bytes(found.key.e, "big"), int.from_bytes(found.key.n, "big")
    )
    verify(numbers.public_key(), result.signature)
    (sent,) = emulator.requests_to("vault_sign")
    assert sent.headers["authorization"].startswith("mtls_pop ")
    assert sent.client_certificate


def test_and_so_does_the_asynchronous_client(
    emulator: Any, make_platform: Callable[[], Any], key_id: str
) -> None:
    async def sign() -> bytes:
        credential = aio.MsiV2Credential(client=make_client(make_platform()), min_strength=SOFTWARE)
        async with AsyncCryptographyClient(key_id, credential, **options(credential)) as client:
            return (await client.sign(SignatureAlgorithm.rs256, DIGEST)).signature

    assert len(asyncio.run(sign())) == 256
    assert emulator.requests_to("vault_sign")[-1].client_certificate
