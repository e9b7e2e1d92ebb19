from __future__ import annotations

import base64
import shutil
import subprocess
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from msal_msi_v2.errors import MsiV2ServiceError
from msal_msi_v2.protocol.csr import CUID_OID, build_csr, compute_unit_json
from msal_msi_v2.protocol.metadata import ComputeUnit, PlatformMetadata

TENANT = "22222222-2222-2222-2222-222222222222"
CLIENT = "11111111-1111-1111-1111-111111111111"


class RemoteKey(rsa.RSAPrivateKey):
    """A key whose private half cannot be reached, as in KeyGuard or an HSM."""

    def __init__(self) -> None:
        self._inner = rsa.generate_private_key(65537, 2048)

    @property
    def key_size(self) -> int:
        return self._inner.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._inner.public_key()

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        return self._inner.sign(data, padding, algorithm)

    def decrypt(self, *_: Any) -> bytes:
        raise TypeError

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        raise TypeError

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        raise TypeError

    def __copy__(self) -> RemoteKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RemoteKey:
        return self


def metadata(unit: ComputeUnit, client: str = CLIENT) -> PlatformMetadata:
    return PlatformMetadata(client, TENANT, unit, "https://attest")


@pytest.fixture(scope="module")
def key() -> RemoteKey:
    return RemoteKey()


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (ComputeUnit("a", "b"), '{"vmId":"a","vmssId":"b"}'),
        (ComputeUnit(vm_id="a"), '{"vmId":"a"}'),
        (ComputeUnit(vmss_id="b"), '{"vmssId":"b"}'),
        (ComputeUnit(vm_id='ä"'), '{"vmId":"\\u00e4\\""}'),
    ],
)
def test_request_carries_the_compute_unit(key: RemoteKey, unit: ComputeUnit, expected: str) -> None:
    assert compute_unit_json(unit) == expected
    csr = x509.load_der_x509_csr(base64.b64decode(build_csr(key, metadata(unit)), validate=True))
    assert [attribute.oid for attribute in csr.attributes] == [CUID_OID]
    attribute = csr.attributes.get_attribute_for_oid(CUID_OID)
    assert attribute.value == expected.encode()
    assert attribute._type == 12  # UTF8String (X.680 §8.4)


def test_request_is_signed_as_documented(key: RemoteKey) -> None:
    csr = x509.load_der_x509_csr(base64.b64decode(build_csr(key, metadata(ComputeUnit("a")))))
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    parameters = csr.signature_algorithm_parameters
    assert isinstance(parameters, padding.PSS)
    assert parameters._salt_length == 32
    assert parameters.mgf._algorithm.name == "sha256"
    assert csr.signature_hash_algorithm is not None
    assert csr.signature_hash_algorithm.name == "sha256"


def test_subject_is_tenant_then_client(key: RemoteKey) -> None:
    csr = x509.load_der_x509_csr(base64.b64decode(build_csr(key, metadata(ComputeUnit("a")))))
    assert (
        csr.subject.rfc4514_string() == f"CN={CLIENT},DC={TENANT}"
    )  # RFC 4514 shows the last first


def test_request_is_one_line_without_armour(key: RemoteKey) -> None:
    encoded = build_csr(key, metadata(ComputeUnit("a")))
    assert encoded.isascii()
    assert not set(encoded) & set("\n\r -")


def test_ids_that_fit_no_name_are_refused(key: RemoteKey) -> None:
    with pytest.raises(MsiV2ServiceError) as caught:
        build_csr(key, metadata(ComputeUnit("a"), client="c" * 65))
    assert caught.value.error == "managed_identity_request_failed"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_agrees(key: RemoteKey) -> None:
    der = base64.b64decode(build_csr(key, metadata(ComputeUnit("a", "b"))))
    command = ["openssl", "req", "-inform", "DER", "-noout", "-verify", "-text"]
    run = subprocess.run(command, input=der, capture_output=True, check=True)
    text = run.stdout.decode()
    assert b"verify OK" in run.stderr + run.stdout
    assert f"Subject: DC = {TENANT}, CN = {CLIENT}" in text.replace("DC=", "DC = ").replace(
        "CN=", "CN = "
    )
    assert "Signature Algorithm: rsassaPss" in text
    assert "Hash Algorithm: sha256" in text.replace("SHA2-256", "sha256").replace(
        "SHA256", "sha256"
    )
    assert "Salt Length: 0x20" in text
    assert '1.3.6.1.4.1.311.90.2.10:{"vmId":"a","vmssId":"b"}' in text.replace(" ", "")
