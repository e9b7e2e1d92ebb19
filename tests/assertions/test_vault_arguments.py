"""What vaults, keys and certificates are named by."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from small_cloud import CLIENT_ID, TENANTS, SmallCloud, b64url
from vault_calls import HOST, bound

from msal_msi_v2 import MsiV2ClientError
from msal_msi_v2.assertions import KeyVaultCertificateAssertion, KeyVaultKeyAssertion


@pytest.mark.parametrize(
    "url",
    [
        "http://contoso.vault.azure.net",
        "contoso.vault.azure.net",
        "https://",
        "https://contoso.vault.azure.net/secrets",
        "https://contoso.vault.azure.net?x=y",
        "https://contoso.vault.azure.net#x",
        "https://user@contoso.vault.azure.net",
        "https://[x",
        "https://[::1].vault.azure.net",
        None,
    ],
)
def test_what_is_no_vaults_url_is_refused(url: Any, options: dict[str, Any]) -> None:
    with pytest.raises(MsiV2ClientError, match="https and a host alone"):
        KeyVaultCertificateAssertion(url, "app", **options)


@pytest.mark.parametrize(
    "key_id",
    [
        f"{HOST}/keys/name",
        f"{HOST}/secrets/name/1",
        f"{HOST}/keys/name/1/sign",
        f"{HOST}/keys/name/1?x=y",
        f"{HOST}/keys/na%2Fme/1",
        f"{HOST}/keys//1",
        "http://contoso.vault.azure.net/keys/name/1",
        "https://[x/keys/name/1",
    ],
)
def test_what_is_no_key_id_is_refused(key_id: str, options: dict[str, Any]) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        KeyVaultKeyAssertion(key_id, **options, thumbprint_sha256="0" * 64)
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize(
    "wrong",
    [
        {"certificate_name": "../keys/x"},
        {"certificate_name": ""},
        {"version": "1/2"},
        {"algorithm": "HS256"},
        {"credential": 5},
        {"credential": requests},
        {"resource": "https://graph.microsoft.com"},
        {"resource": "https://[x"},
        {"resource": 5},
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], options: dict[str, Any]) -> None:
    arguments = {"vault_url": HOST, "certificate_name": "app", **options, **wrong}
    with pytest.raises(MsiV2ClientError) as caught:
        KeyVaultCertificateAssertion(**arguments)
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"thumbprint": "0" * 40},
        {"thumbprint_sha256": "0" * 40},
        {"thumbprint_sha256": "not one"},
        {"thumbprint_sha256": b"0" * 64},
        {"thumbprint": b"0" * 40, "algorithm": "RS256"},
        {"thumbprint_sha256": "0" * 64, "thumbprint": "0" * 40},
        {"certificate": "no certificate"},
        {"certificate": 5},
    ],
)
def test_the_certificate_of_a_key_is_named_in_one_way(
    names: dict[str, Any], options: dict[str, Any]
) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        KeyVaultKeyAssertion(f"{HOST}/keys/name/1", **options, **names)
    assert caught.value.error == "invalid_request"


def test_thumbprints_in_all_their_forms(cloud: SmallCloud, options: dict[str, Any]) -> None:
    made = cloud.create()
    sha256 = made.certificate.fingerprint(hashes.SHA256())
    forms: list[dict[str, Any]] = [
        {"thumbprint_sha256": made.x5t_s256},
        {"thumbprint_sha256": sha256.hex(":").upper()},
        {"thumbprint": made.thumbprint, "algorithm": "RS256"},
        {"thumbprint": b64url(bytes.fromhex(made.thumbprint)), "algorithm": "RS256"},
        {"thumbprint_sha256": made.x5t_s256, "algorithm": "RS256"},
        {"certificate": made.certificate.public_bytes(Encoding.PEM).decode()},
    ]
    public = f"https://login.microsoftonline.com/{TENANTS[0]}/oauth2/v2.0/token"
    for form in forms:
        assertion = KeyVaultKeyAssertion(cloud.key_id(made), **options, **form)
        cloud.check(bound(assertion)(), CLIENT_ID, [public])


def test_a_session_that_verifies_nobody_is_refused(options: dict[str, Any]) -> None:
    session = requests.Session()
    session.verify = False
    with pytest.raises(MsiV2ClientError, match="verify"):
        KeyVaultCertificateAssertion(HOST, "app", **{**options, "http_client": session})
