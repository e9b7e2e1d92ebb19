"""A key that cannot leave Windows, where pyca expects one that could."""

from __future__ import annotations

import copy
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from msal_key_attestation import keyguard
from msal_key_attestation._keys.storage import open_key
from msal_key_attestation.errors import NativeCallError

if TYPE_CHECKING:
    from msal_key_attestation._keys.ncrypt_key import NCryptKey

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")

HASHES = [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]
MASK = padding.MGF1(hashes.SHA256())


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("salt", [padding.PSS.DIGEST_LENGTH, padding.PSS.MAX_LENGTH])
def test_pss(key: NCryptKey, algorithm: hashes.HashAlgorithm, salt: int) -> None:
    scheme = padding.PSS(padding.MGF1(algorithm), salt)
    signature = key.sign(b"data", scheme, algorithm)
    key.public_key().verify(signature, b"data", scheme, algorithm)


def test_a_salt_of_another_length_than_asked_for_is_no_other_key(key: NCryptKey) -> None:
    """Wine, like some TPMs, chooses the length itself; Windows does as it is told."""
    scheme = padding.PSS(MASK, 20)
    try:
        signature = key.sign(b"data", scheme, hashes.SHA256())
    except NativeCallError as exc:
        assert exc.status == 0x80090029
    else:
        key.public_key().verify(signature, b"data", scheme, hashes.SHA256())
    assert not key.is_dead


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda algorithm: algorithm.name)
def test_pkcs1(key: NCryptKey, algorithm: hashes.HashAlgorithm) -> None:
    signature = key.sign(b"data", padding.PKCS1v15(), algorithm)
    key.public_key().verify(signature, b"data", padding.PKCS1v15(), algorithm)


@pytest.mark.parametrize("algorithm", HASHES, ids=lambda algorithm: algorithm.name)
def test_a_digest_of_the_callers(key: NCryptKey, algorithm: hashes.HashAlgorithm) -> None:
    hasher = hashes.Hash(algorithm)
    hasher.update(b"data")
    scheme = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    signature = key.sign(hasher.finalize(), scheme, utils.Prehashed(algorithm))
    key.public_key().verify(signature, b"data", scheme, algorithm)
    with pytest.raises(ValueError, match="digest has"):
        key.sign(b"short", scheme, utils.Prehashed(algorithm))


def test_data_may_be_any_buffer(key: NCryptKey) -> None:
    scheme = padding.PSS(MASK, 32)
    for data in (b"", bytearray(b"data"), memoryview(b"data")):
        signature = key.sign(data, scheme, hashes.SHA256())
        key.public_key().verify(signature, bytes(data), scheme, hashes.SHA256())


@pytest.mark.parametrize(
    ("scheme", "algorithm"),
    [
        (padding.PSS(MASK, 32), hashes.SHA1()),
        (padding.PSS(MASK, 32), hashes.SHA384()),
        (padding.OAEP(MASK, hashes.SHA256(), None), hashes.SHA256()),
    ],
)
def test_what_cng_cannot_do_is_refused(
    key: NCryptKey, scheme: padding.PSS | padding.OAEP, algorithm: hashes.HashAlgorithm
) -> None:
    with pytest.raises(UnsupportedAlgorithm):
        key.sign(b"data", scheme, algorithm)
    assert not key.is_dead


def test_an_open_salt_length_is_refused(key: NCryptKey) -> None:
    with pytest.raises(ValueError, match="salt"):
        key.sign(b"data", padding.PSS(MASK, padding.PSS.AUTO), hashes.SHA256())


def test_it_signs_a_certificate_request(key: NCryptKey) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    )
    request = builder.sign(key, hashes.SHA256(), rsa_padding=padding.PSS(MASK, 32))
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()
    parameters = request.signature_algorithm_parameters
    assert isinstance(parameters, padding.PSS)


def test_it_is_a_private_key_that_stays_where_it_is(key: NCryptKey) -> None:
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    with pytest.raises(NotImplementedError):
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(NotImplementedError):
        key.private_numbers()
    with pytest.raises(NotImplementedError):
        key.decrypt(b"", padding.PKCS1v15())


def test_copies_are_itself(key: NCryptKey) -> None:
    assert copy.copy(key) is key
    assert copy.deepcopy({"key": [key]})["key"][0] is key


def test_the_public_key_is_exported_once(key: NCryptKey) -> None:
    assert key.public_key() is key.public_key()


def test_many_threads_may_sign(key: NCryptKey) -> None:
    scheme, failures = padding.PSS(MASK, 32), list[Exception]()

    def sign() -> None:
        try:
            for number in range(10):
                data = b"%d" % number
                signature = key.sign(data, scheme, hashes.SHA256())
                key.public_key().verify(signature, data, scheme, hashes.SHA256())
        except Exception as exc:  # noqa: BLE001 - to be shown by the test's own thread
            failures.append(exc)

    threads = [threading.Thread(target=sign) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


def test_a_closed_key_says_so(key: NCryptKey) -> None:
    recipe = keyguard.Recipe("Test", key.name, key.provider, 0, type(key))
    twin = keyguard._own(recipe, open_key(recipe.provider, recipe.name))
    twin.close()
    twin.close()
    with pytest.raises(ValueError, match="closed"):
        twin.check_alive()
    key.check_alive()


def test_its_repr_holds_no_key_material(key: NCryptKey) -> None:
    assert key.name in repr(key)
    assert str(key.public_key().public_numbers().n) not in repr(key)
