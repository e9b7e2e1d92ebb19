"""Client assertions signed by a key that Windows keeps."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import jwt
import msal
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from small_cloud import CLIENT_ID, TENANTS, SmallCloud

from msal_key_attestation._keys.ncrypt_key import KeyGuardKey
from msal_key_attestation.keystore import WindowsKeyStore
from msal_msi_v2 import BindingCertificate, MsiV2ClientError, MtlsBindingStrength
from msal_msi_v2.assertions import SignedAssertion
from msal_msi_v2.protocol.certificate import load_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from issuer import Issuer
    from standins import Standins

    from msal_key_attestation._keys.ncrypt_key import NCryptKey

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    with SmallCloud(tmp_path / "ca.pem") as found:
        yield found


def sign_in(cloud: SmallCloud, assertion: SignedAssertion, tenant: str) -> dict[str, Any]:
    app = msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential={"client_assertion": assertion},
        authority=f"{cloud.url}/{tenant}",
        instance_discovery=False,
        verify=cloud.ca_bundle,
    )
    result: dict[str, Any] = app.acquire_token_for_client(["https://r/.default"])
    return result


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_msal_signs_in_with_a_key_that_windows_keeps(
    cloud: SmallCloud, issuer: Issuer, key: NCryptKey, algorithm: Any
) -> None:
    certificate = issuer.bind(key)
    cloud.registered.append(load_certificate(certificate.der))
    assertion = SignedAssertion(certificate.private_key, certificate, algorithm=algorithm)
    for tenant in TENANTS:
        assert sign_in(cloud, assertion, tenant)["access_token"] == f"token of {tenant}"
    assert jwt.get_unverified_header(cloud.assertions[0])["alg"] == algorithm


def test_msal_signs_in_with_a_keyguard_key(
    cloud: SmallCloud, issuer: Issuer, standins: Standins
) -> None:
    del standins
    found = WindowsKeyStore(on_created=lambda: None).get_key()
    assert found.strength is MtlsBindingStrength.KEYGUARD
    assert isinstance(found.private_key, KeyGuardKey)
    der = issuer.issue(found.private_key.public_key())
    certificate = BindingCertificate(der, found.private_key, found.strength)
    cloud.registered.append(load_certificate(der))
    assertion = SignedAssertion(certificate.private_key, certificate)
    assert sign_in(cloud, assertion, TENANTS[0])["access_token"] == f"token of {TENANTS[0]}"
    with pytest.raises((TypeError, ValueError, NotImplementedError)):
        found.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_another_certificate_than_the_keys_is_noticed(issuer: Issuer, key: NCryptKey) -> None:
    other = issuer.issue(rsa.generate_private_key(65537, 2048).public_key())
    with pytest.raises(MsiV2ClientError) as caught:
        SignedAssertion(key, other).bind(CLIENT_ID, TENANTS[0])()
    assert caught.value.error == "assertion_key_mismatch"
