"""The whole path, attested, over every kind of keys and TLS: and what must be refused on it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from acquiring import acquire, make_client

from msal_msi_v2 import (
    MsiV2ServiceError,
    MtlsBindingStrength,
    authorization_header,
    verify_cnf_binding,
)
from msal_msi_v2.emulator import MsiV2Emulator
from msal_msi_v2.platforms import Timeout

if TYPE_CHECKING:
    from msal_msi_v2.binding import BindingCertificate

ATTESTED: dict[str, Any] = {"with_attestation_support": True, "min_strength": None}
CHALLENGE = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


def call(
    platform: Any, emulator: Any, result: dict[str, Any], certificate: BindingCertificate
) -> tuple[int, Any]:
    """Call the resource with a result's token over TLS with a certificate."""
    response = platform.transport.request(
        "GET",
        f"{emulator.resource_url}/hello",
        certificate=certificate,
        headers=[("Authorization", authorization_header(result))],
        timeout=Timeout(connect=10, read=10),
    )
    try:
        return response.status, json.loads(b"".join(response.iter_bytes()))
    finally:
        response.close()


def test_attested_certified_bound_and_of_use_to_its_owner_only(
    emulator: Any, attested_platform: Any
) -> None:
    client = make_client(attested_platform)
    result = acquire(client, **ATTESTED)
    certificate = result["binding_certificate"]
    assert certificate.strength is MtlsBindingStrength.KEYGUARD
    assert verify_cnf_binding(result["access_token"], certificate)
    assert [request.leg for request in emulator.requests] == [
        "metadata",
        "attestation",
        "issuecredential",
        "token",
    ]
    assert emulator.requests_to("token")[0].client_certificate == certificate.der

    status, answer = call(attested_platform, emulator, result, certificate)
    assert (status, answer["x5t#S256"]) == (200, certificate.x5t_s256)

    other = acquire(client, claims_challenge=CHALLENGE, **ATTESTED)["binding_certificate"]
    assert other.der != certificate.der
    status, answer = call(attested_platform, emulator, result, other)
    assert status == 401
    assert "MtlsCnfClaimRequestDataValidationFailed" in answer["error"]["message"]


def with_attestor(platform: Any, attest: Any) -> Any:
    """Return a platform that attests otherwise."""
    return SimpleNamespace(
        key_store=platform.key_store,
        attestor=SimpleNamespace(attest=attest),
        transport=platform.transport,
        certificate_store=None,
    )


def refusal(platform: Any) -> MsiV2ServiceError:
    with pytest.raises(MsiV2ServiceError) as caught:
        acquire(make_client(platform), **ATTESTED)
    assert (caught.value.error, caught.value.status_code) == (
        "managed_identity_request_failed",
        400,
    )
    return caught.value


def test_evidence_about_another_key_is_refused(emulator: Any, attested_platform: Any) -> None:
    with MsiV2Emulator() as elsewhere:
        other = elsewhere.keyguard_platform()
        foreign = other.key_store.get_key().private_key
        # The very service that the host trusts, which attests another key to us.
        genuine = emulator.attestation_url

        def attest(_endpoint: str, _key: Any, client_id: str, *, fresh: bool = False) -> str:
            del fresh
            return sign_up(emulator, genuine, foreign, client_id)

        refusal(with_attestor(attested_platform, attest))
    assert emulator.requests_to("token") == []


def sign_up(emulator: Any, endpoint: str, key: Any, client_id: str) -> str:
    """Have the attestation service attest a key whose possession is proven."""
    import requests  # noqa: PLC0415 - beside its only use
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

    from msal_msi_v2._base64 import b64url_encode  # noqa: PLC0415

    numbers = key.public_key().public_numbers()
    n, e = (
        b64url_encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        for number in (numbers.n, numbers.e)
    )
    proof = key.sign(f"{n}.{e}".encode(), padding.PKCS1v15(), hashes.SHA256())
    evidence = {
        "jwk": {"kty": "RSA", "n": n, "e": e},
        "client_id": client_id,
        "client_payload": "{}",
        "proof": b64url_encode(proof),
    }
    answer = requests.post(
        f"{endpoint}/attest/keyguard?api-version=2020-10-01",
        json=evidence,
        verify=emulator.ca_bundle,
        timeout=10,
    )
    token: str = answer.json()["token"]
    return token


def test_evidence_that_has_expired_is_refused(emulator: Any, attested_platform: Any) -> None:
    key = attested_platform.key_store.get_key().private_key
    old = attested_platform.attestor.attest(
        emulator.attestation_endpoint, key, emulator.identities[0].client_id
    )
    emulator.clock_offset = 9 * 3600.0
    refusal(with_attestor(attested_platform, lambda *_, **__: old))
    assert emulator.requests_to("token") == []


def test_no_evidence_is_refused_where_it_is_required(
    attested_platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MsiV2Emulator(require_attestation=True) as strict:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", strict.imds_url)
        with pytest.raises(MsiV2ServiceError) as caught:
            acquire(make_client(attested_platform), min_strength=None)
        assert caught.value.status_code == 400
        assert [request.leg for request in strict.requests][:2] == ["metadata", "issuecredential"]
        assert strict.requests_to("token") == []
