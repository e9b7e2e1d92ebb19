"""Certificate contexts that sign with a key of ours, and who owns what of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from msal_key_attestation._native import handles
from msal_key_attestation._native.constants import CertProperty
from msal_key_attestation._native.libs import ffi
from msal_key_attestation._store.my_store import friendly_name, set_friendly_name
from msal_key_attestation.certificates import (
    BoundCertificate,
    create_context,
    der_of,
    get_property,
    key_name_of,
)
from msal_key_attestation.errors import NativeCallError

if TYPE_CHECKING:
    from issuer import Issuer

    from msal_key_attestation._keys.ncrypt_key import NCryptKey

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")


def test_it_carries_its_key_in_the_ways_that_hosts_want(key: NCryptKey, issuer: Issuer) -> None:
    der = issuer.issue(key.public_key())
    certificate = BoundCertificate(der, key)
    owned = certificate._context
    context = get_property(owned, CertProperty.CERT_KEY_CONTEXT_PROP_ID)
    assert context is not None
    key_context = ffi.from_buffer("CERT_KEY_CONTEXT *", context)
    assert key_context.hNCryptKey == key.handle
    assert key_context.dwKeySpec == 0xFFFFFFFF
    assert key_name_of(owned) == (key.name, key.provider)
    certificate.close()


def test_closing_it_leaves_the_key_open(key: NCryptKey, issuer: Issuer) -> None:
    der = issuer.issue(key.public_key())
    for _ in range(3):
        certificate = BoundCertificate(der, key)
        certificate.close()
        certificate.close()
    key.check_alive()


@pytest.mark.parametrize("der", [b"", b"no certificate", b"\x30\x82\x01\x00"])
def test_what_is_no_certificate_is_refused(key: NCryptKey, der: bytes) -> None:
    with pytest.raises(NativeCallError) as caught:
        BoundCertificate(der, key)
    assert caught.value.api == "CertCreateCertificateContext"


def test_der_comes_back_as_it_went_in(key: NCryptKey, issuer: Issuer) -> None:
    der = issuer.issue(key.public_key())
    with create_context(der) as context:
        assert der_of(context) == der
        assert get_property(context, CertProperty.CERT_FRIENDLY_NAME_PROP_ID) is None


def test_a_friendly_name_keeps_every_character(key: NCryptKey, issuer: Issuer) -> None:
    name = "MSAL|alias=ü€𐍈|ep=https://e/" + "x" * 500
    with create_context(issuer.issue(key.public_key())) as context:
        assert friendly_name(context) == ""
        set_friendly_name(context, name)
        assert friendly_name(context) == name


def test_nothing_is_left_open(key: NCryptKey, issuer: Issuer) -> None:
    der = issuer.issue(key.public_key())
    BoundCertificate(der, key).close()
    before = handles.counts()["certificate context"]
    for _ in range(50):
        BoundCertificate(der, key).close()
    after = handles.counts()["certificate context"]
    assert after.opened - before.opened == after.freed - before.freed == 50
