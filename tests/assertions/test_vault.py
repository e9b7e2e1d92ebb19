"""What can go wrong with a vault, each with its error."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from small_cloud import SmallCloud, issue
from vault_calls import always, bound, certificate_of, failing

from msal_msi_v2 import KeyVaultError, MsiV2ClientError, MsiV2Error
from msal_msi_v2.assertions import (
    BearerCredential,
    KeyVaultCertificateAssertion,
    KeyVaultKeyAssertion,
    SignedAssertion,
)

if TYPE_CHECKING:
    from fake_clock import FakeClock


@pytest.mark.parametrize(
    ("permission", "action", "role"),
    [
        ("certificates/get", "Microsoft.KeyVault/vaults/certificates/read", "Key Vault Reader"),
        ("keys/sign", "Microsoft.KeyVault/vaults/keys/sign/action", "Key Vault Crypto User"),
    ],
)
@pytest.mark.parametrize("reason", ["ForbiddenByRbac", "AccessDenied", "ForbiddenByPolicy"])
def test_a_missing_permission_is_named(
    cloud: SmallCloud,
    options: dict[str, Any],
    permission: str,
    action: str,
    role: str,
    reason: str,
) -> None:
    cloud.forbidden[permission] = reason
    found = failing(cloud, options)
    assert found.error == "key_vault_access_denied"
    assert (found.permission, found.reason, found.status_code) == (permission, reason, 403)
    assert action in str(found)
    assert role in str(found)
    assert not found.is_retryable


def test_a_permission_that_is_taken_away_is_missed_at_the_next_assertion(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    ask = certificate_of(cloud, options)
    assert ask()
    cloud.forbidden["keys/sign"] = "ForbiddenByRbac"
    assert ask(), "from the cache"
    clock.offset += 600
    with pytest.raises(KeyVaultError) as caught:
        ask()
    assert caught.value.permission == "keys/sign"
    cloud.forbidden.clear()
    assert ask()


def test_a_closed_network_is_not_called_a_permission(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    cloud.forbidden["certificates/get"] = "ForbiddenByFirewall"
    found = failing(cloud, options)
    assert (found.error, found.permission) == ("key_vault_access_denied", None)
    assert "firewall" in str(found)


def test_a_disabled_key(cloud: SmallCloud, options: dict[str, Any]) -> None:
    cloud.disabled.add(cloud.create().version)
    found = failing(cloud, options)
    assert (found.error, found.reason) == ("key_vault_key_unusable", "KeyDisabled")
    assert cloud.count("certificates") == 2, "is there a newer one by now?"


def test_a_pinned_version_that_is_disabled_is_not_read_again(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    made = cloud.create()
    cloud.disabled.add(made.version)
    assert failing(cloud, options, version=made.version).error == "key_vault_key_unusable"
    assert cloud.count("certificates") == 1


def test_a_version_that_is_not_there(cloud: SmallCloud, options: dict[str, Any]) -> None:
    cloud.create()
    found = failing(cloud, options, version="f" * 32)
    assert (found.error, found.status_code) == ("key_vault_not_found", 404)


def test_a_token_that_is_refused(cloud: SmallCloud, options: dict[str, Any]) -> None:
    found = failing(cloud, options, credential=lambda _resource: "another")
    assert (found.error, found.status_code) == ("key_vault_unauthorized", 401)


@pytest.mark.parametrize(
    "answer",
    [
        always(302, Location="https://evil.example/"),
        always(200, b"not json"),
        always(200, []),
        always(200, {"kid": "https://contoso.vault.azure.net/keys/a/b"}),
        always(200, {"cer": "!", "kid": "x"}),
        always(200, b" " * (1024 * 1024 + 1)),
        always(418),
    ],
)
def test_answers_of_another_shape(cloud: SmallCloud, options: dict[str, Any], answer: Any) -> None:
    cloud.wrong.append(answer)
    found = failing(cloud, options)
    assert found.error == "key_vault_request_failed"
    assert len(cloud.calls) == 1, "not sent again, nor elsewhere"


def test_a_signature_of_another_shape(cloud: SmallCloud, options: dict[str, Any]) -> None:
    cloud.wrong.append(
        lambda call: (
            (200, {}, {"kid": "x", "value": "%%%"}) if call.path.startswith("/keys") else None
        )
    )
    assert failing(cloud, options).error == "key_vault_request_failed"


def test_a_certificate_whose_key_is_elsewhere(cloud: SmallCloud, options: dict[str, Any]) -> None:
    made = cloud.create()
    answer = {
        **cloud.describe(made, cloud.url),
        "kid": f"https://evil.example/keys/app/{made.version}",
    }
    cloud.wrong.append(always(200, answer))
    assert failing(cloud, options).error == "key_vault_request_failed"
    assert len(cloud.calls) == 1


def test_a_certificate_of_another_version_than_the_pinned_one(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    pinned, other = cloud.create(), cloud.create()
    cloud.wrong.append(
        lambda call: (
            (200, {}, cloud.describe(other, cloud.url))
            if call.path.startswith("/certificates")
            else None
        )
    )
    found = failing(cloud, options, version=pinned.version)
    assert found.error == "key_vault_request_failed"
    assert cloud.count("sign") == 0


def test_a_certificate_that_is_not_rsa(cloud: SmallCloud, options: dict[str, Any]) -> None:
    made = cloud.create()
    old = made.certificate
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(old.subject, old.subject, key.public_key(), 1)
    builder = builder.not_valid_before(old.not_valid_before_utc)
    other = builder.not_valid_after(old.not_valid_after_utc).sign(key, hashes.SHA256())
    object.__setattr__(made, "certificate", other)
    with pytest.raises(KeyVaultError, match="RSA") as caught:
        certificate_of(cloud, options)()
    assert caught.value.error == "key_vault_key_unusable"


def wrong_key(cloud: SmallCloud) -> None:
    """Have the vault sign with another key than the certificate's, and not say so."""
    made, other = cloud.versions["app"][-1], issue("app")

    def sign(call: Any) -> Any:
        if not call.path.endswith("/sign"):
            return None
        object.__setattr__(other, "version", made.version)
        return 200, {}, cloud.sign(other, json.loads(call.body), cloud.url)

    cloud.wrong.append(sign)


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_another_key_than_the_certificates(
    cloud: SmallCloud, options: dict[str, Any], algorithm: Any
) -> None:
    made = cloud.create()
    wrong_key(cloud)
    arguments = {**options, "algorithm": algorithm}
    by_key = KeyVaultKeyAssertion(cloud.key_id(made), **arguments, certificate=made.certificate)
    by_name = KeyVaultCertificateAssertion(cloud.url, "app", **arguments)
    own = SignedAssertion(issue("other").key, made.certificate, algorithm=algorithm)
    for assertion in (by_key, by_name, own):
        with pytest.raises(MsiV2ClientError, match=made.thumbprint) as caught:
            bound(assertion)()
        assert caught.value.error == "assertion_key_mismatch"
        assert caught.value.correlation_id


def test_with_a_thumbprint_alone_another_key_is_not_noticed(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    made = cloud.create()
    wrong_key(cloud)
    assertion = KeyVaultKeyAssertion(cloud.key_id(made), **options, thumbprint_sha256=made.x5t_s256)
    assert bound(assertion)(), "so Entra is the first to know; the documentation says so"


def says_it_signed_with(cloud: SmallCloud, key_id: str) -> None:
    def sign(call: Any) -> Any:
        if not call.path.endswith("/sign"):
            return None
        made = cloud.versions["app"][-1]
        return 200, {}, {**cloud.sign(made, json.loads(call.body), cloud.url), "kid": key_id}

    cloud.wrong.append(sign)


@pytest.mark.parametrize(
    "key_id",
    [
        "{host}/keys/app/00000000000000000000000000000002",
        "{host}/keys/other/{version}",
        "https://evil.example/keys/app/{version}",
        "{host}/keys/app",
        "{host}/certificates/app/{version}",
    ],
)
def test_a_vault_that_signs_with_another_key_and_says_so(
    cloud: SmallCloud, options: dict[str, Any], key_id: str
) -> None:
    made = cloud.create()
    says_it_signed_with(cloud, key_id.format(host=cloud.url, version=made.version))
    assert failing(cloud, options).error == "key_vault_request_failed"
    alone = KeyVaultKeyAssertion(cloud.key_id(made), **options, thumbprint_sha256=made.x5t_s256)
    with pytest.raises(KeyVaultError, match="not the one") as caught:
        bound(alone)()
    assert caught.value.error == "key_vault_request_failed"


def test_a_vault_may_write_the_keys_id_in_other_cases(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    says_it_signed_with(cloud, cloud.key_id(cloud.create()).upper())
    assert certificate_of(cloud, options)()


def test_an_exportable_key_is_warned_of_once_a_version(
    cloud: SmallCloud, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cloud.create(exportable=True)
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options)
    for _ in range(2):
        bound(assertion)()
        assertion.invalidate()
    cloud.create(exportable=False)
    bound(assertion)()
    (record,) = [one for one in caplog.records if "exportable" in one.message]
    assert record.levelno == logging.WARNING
    assert cloud.versions["app"][0].version in record.message


def test_an_unsigned_credential_failure_passes_as_it_is(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    def fails(_resource: str) -> str:
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        certificate_of(cloud, options, credential=fails)()


def test_msals_failure_becomes_ours(cloud: SmallCloud, options: dict[str, Any]) -> None:
    client = msal.ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session()
    )
    client.acquire_token_for_client = lambda **_: {"error": "no_identity", "error_description": "x"}
    with pytest.raises(MsiV2Error) as caught:
        certificate_of(cloud, options, credential=BearerCredential(client))()
    assert caught.value.error == "no_identity"
    assert caught.value.correlation_id
