"""Which version of a certificate signs, and for how long without looking."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from signing_in import by_certificate, sign_in
from small_cloud import CLIENT_ID, HANG_UP, TENANTS, VAULT_TOKEN, SmallCloud, Version, issue

from msal_msi_v2 import KeyVaultError
from msal_msi_v2.assertions import KeyVaultCertificateAssertion
from msal_msi_v2.assertions.key_vault_certificate import PAUSE, REREAD_PERIOD

if TYPE_CHECKING:
    from fake_clock import FakeClock


def test_a_new_version_is_taken_up_within_the_period(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_certificate(cloud, options).bind(CLIENT_ID, TENANTS[0])
    old = jwt.get_unverified_header(assertion())["x5t#S256"]
    rotated = cloud.create()
    clock.offset += REREAD_PERIOD - 30
    assert jwt.get_unverified_header(assertion())["x5t#S256"] == old
    clock.offset += 31
    assert jwt.get_unverified_header(assertion())["x5t#S256"] == rotated.x5t_s256
    assert cloud.count("certificates") == 2


def test_a_new_version_is_taken_up_when_invalidated(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    assertion = by_certificate(cloud, options)
    assert "access_token" in sign_in(cloud, assertion)
    del cloud.registered[0]
    rotated = cloud.create()
    assert "AADSTS700027" in sign_in(cloud, assertion)["error_description"]
    assertion.invalidate()
    assert "access_token" in sign_in(cloud, assertion)
    assert jwt.get_unverified_header(cloud.assertions[-1])["x5t#S256"] == rotated.x5t_s256


@pytest.mark.parametrize("leg", ["/certificates/app", "/sign"])
def test_what_is_made_while_it_is_invalidated_is_not_kept(
    cloud: SmallCloud, options: dict[str, Any], leg: str
) -> None:
    assertion = by_certificate(cloud, options)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    rotated = cloud.create()

    def rotate(call: Any) -> None:
        if call.path.endswith(leg):
            cloud.wrong.clear()
            assertion.invalidate()

    cloud.versions["app"].pop()
    cloud.wrong.append(rotate)
    old = bound()
    cloud.versions["app"].append(rotated)
    new = bound()
    assert new != old
    assert jwt.get_unverified_header(new)["x5t#S256"] == rotated.x5t_s256


def test_what_is_made_while_it_is_invalidated_is_not_kept_under_the_same_version(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    assertion = by_certificate(cloud, options)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])

    def invalidate(_call: Any) -> None:
        cloud.wrong.clear()
        assertion.invalidate()

    cloud.wrong.append(invalidate)
    assert bound() != bound()


def test_a_pinned_version_stays(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    first = cloud.create()
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options, version=first.version)
    cloud.create()
    for _ in range(3):
        assert "access_token" in sign_in(cloud, assertion)
        clock.offset += REREAD_PERIOD
    named = {jwt.get_unverified_header(one)["x5t#S256"] for one in cloud.assertions}
    assert named == {first.x5t_s256}
    assert cloud.count("certificates") == 1
    assertion.invalidate()
    assert "access_token" in sign_in(cloud, assertion)
    assert cloud.count("certificates") == 2


def test_a_version_taken_out_of_use_gives_way_to_the_newest(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_certificate(cloud, options)
    assert "access_token" in sign_in(cloud, assertion)
    cloud.disabled.add(cloud.versions["app"][0].version)
    rotated = cloud.create()
    clock.offset += 600
    assert "access_token" in sign_in(cloud, assertion)
    assert jwt.get_unverified_header(cloud.assertions[-1])["x5t#S256"] == rotated.x5t_s256


def recreate(cloud: SmallCloud) -> Version:
    """Delete a certificate, and make another one of its name."""
    made = issue("app", 7)
    cloud.versions["app"] = [made]
    cloud.registered = [made.certificate]
    return made


def test_a_certificate_that_was_made_anew_takes_its_place(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    assertion = by_certificate(cloud, options)
    assert "access_token" in sign_in(cloud, assertion)
    made = recreate(cloud)
    clock.offset += 600
    assert "access_token" in sign_in(cloud, assertion)
    assert jwt.get_unverified_header(cloud.assertions[-1])["x5t#S256"] == made.x5t_s256
    assert cloud.count("certificates") == 2


def test_a_pinned_version_that_was_deleted_is_missed(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    version = cloud.create().version
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options, version=version)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    assert bound()
    recreate(cloud)
    clock.offset += 600
    with pytest.raises(KeyVaultError) as caught:
        bound()
    assert caught.value.error == "key_vault_not_found"
    assert cloud.count("certificates") == 1


def test_a_certificate_that_is_not_there_is_looked_for_once(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    assertion = KeyVaultCertificateAssertion(cloud.url, "missing", **options)
    with pytest.raises(KeyVaultError) as caught:
        assertion.bind(CLIENT_ID, TENANTS[0])()
    assert caught.value.error == "key_vault_not_found"
    assert cloud.count("certificates") == 1


# What cannot be read again


@pytest.fixture
def about_to_read_again(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> KeyVaultCertificateAssertion:
    """An assertion object that has just signed, and reads its certificate with the next call."""
    cloud.create()
    assertion = KeyVaultCertificateAssertion(cloud.url, "app", **options)
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    bound()
    clock.offset += REREAD_PERIOD - 60
    bound()
    clock.offset += 61
    cloud.calls.clear()
    return assertion


@pytest.mark.parametrize("status", [429, 500, 503, 400, 401, 403, 404, HANG_UP])
def test_a_certificate_that_cannot_be_read_again_is_kept_for_a_while(
    cloud: SmallCloud,
    clock: FakeClock,
    about_to_read_again: KeyVaultCertificateAssertion,
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    bound = about_to_read_again.bind(CLIENT_ID, TENANTS[0])
    cloud.wrong.append(
        lambda call: (status, {}, b"") if call.path.startswith("/certificates") else None
    )
    kept = bound()
    tries = cloud.count("certificates")
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "could not be read again" in caplog.text
    clock.offset += PAUSE - 1
    assert bound() == kept
    assert cloud.count("certificates") == tries, "not at once again"
    cloud.wrong.clear()
    rotated = cloud.create()
    clock.offset += 2
    assert jwt.get_unverified_header(bound())["x5t#S256"] == rotated.x5t_s256
    assert cloud.count("certificates") == tries + 1


def test_what_is_kept_signs_too(
    cloud: SmallCloud, clock: FakeClock, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    cloud.forbidden["certificates/get"] = "ForbiddenByRbac"
    for _ in range(3):
        assert "access_token" in sign_in(cloud, about_to_read_again)
        clock.offset += 600
    assert cloud.count("certificates") == cloud.count("sign") == 3


def test_a_credential_that_fails_meanwhile_spoils_nothing_that_is_kept(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[Exception] = []

    def credential(_resource: str) -> str:
        if failures:
            raise failures[0]
        return VAULT_TOKEN

    assertion = by_certificate(cloud, {**options, "credential": credential})
    bound = assertion.bind(CLIENT_ID, TENANTS[0])
    bound()
    clock.offset += REREAD_PERIOD - 60
    kept = bound()
    clock.offset += 61
    failures.append(LookupError("a secret of the caller's"))
    assert bound() == kept
    assert "LookupError" in caplog.text
    assert "secret" not in caplog.text
    clock.offset += 600
    with pytest.raises(LookupError):
        bound()


def test_what_is_invalidated_is_not_kept(
    cloud: SmallCloud, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    about_to_read_again.invalidate()
    cloud.forbidden["certificates/get"] = "ForbiddenByRbac"
    with pytest.raises(KeyVaultError) as caught:
        about_to_read_again.bind(CLIENT_ID, TENANTS[0])()
    assert caught.value.permission == "certificates/get"


def test_what_is_invalidated_while_it_cannot_be_read_is_not_kept(
    cloud: SmallCloud, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    def invalidate(call: Any) -> Any:
        if not call.path.startswith("/certificates"):
            return None
        about_to_read_again.invalidate()
        return 403, {}, b""

    cloud.wrong.append(invalidate)
    with pytest.raises(KeyVaultError):
        about_to_read_again.bind(CLIENT_ID, TENANTS[0])()


def test_whoever_comes_just_after_a_reading_takes_it(
    cloud: SmallCloud, clock: FakeClock, about_to_read_again: KeyVaultCertificateAssertion
) -> None:
    bound = about_to_read_again.bind(CLIENT_ID, TENANTS[0])
    with ThreadPoolExecutor(1) as other:
        clock.meanwhile = lambda: other.submit(bound).result()
        bound()
    assert clock.meanwhile is None, "there was somebody"
    assert cloud.count("certificates") == 1
