from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from msal_msi_v2.errors import MsiV2ServiceError
from msal_msi_v2.protocol.certificate import check_certificate

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
KEY = rsa.generate_private_key(65537, 2048)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])


def issue(key: Any = KEY, start: timedelta = timedelta(0), end: timedelta = timedelta(7)) -> bytes:
    builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 5, NOW + start, NOW + end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


DER = issue()


def check(encoded: str) -> bytes:
    return check_certificate(encoded, KEY.public_key(), NOW)


def refused(encoded: str) -> MsiV2ServiceError:
    with pytest.raises(MsiV2ServiceError) as caught:
        check(encoded)
    assert caught.value.error == "invalid_certificate"
    return caught.value


def encode(der: bytes) -> str:
    return base64.b64encode(der).decode()


def test_a_good_certificate_passes() -> None:
    assert check(encode(DER)) == DER


def test_line_breaks_in_base64_do_no_harm() -> None:
    assert check(base64.encodebytes(DER).decode()) == DER


@pytest.mark.parametrize("encoded", ["", "!", "QUJD", encode(DER)[:-8], encode(DER[:-1]), "ä"])
def test_what_is_no_certificate_is_refused(encoded: str) -> None:
    assert "cannot be read" in str(refused(encoded))


@pytest.mark.parametrize(
    "other",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())],
    ids=["rsa", "ec"],
)
def test_another_key_is_refused(other: Any) -> None:
    assert "another key" in str(refused(encode(issue(other))))


def test_validity() -> None:
    minute = timedelta(minutes=1)
    assert check(encode(issue(start=4 * minute)))  # clocks differ
    assert "not valid before" in str(refused(encode(issue(start=6 * minute))))
    assert check(encode(issue(start=-9 * minute, end=minute)))
    assert "expired" in str(refused(encode(issue(start=-9 * minute, end=timedelta(0)))))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(position=st.integers(0, len(DER) - 1), value=st.integers(0, 255))
def test_a_flipped_byte_passes_whole_or_is_refused(position: int, value: int) -> None:
    mutated = bytearray(DER)
    mutated[position] = value
    try:
        assert check(encode(bytes(mutated))) == mutated
    except MsiV2ServiceError as exc:
        assert exc.error == "invalid_certificate"


@given(st.text())
def test_any_text_is_refused(encoded: str) -> None:
    refused(encoded)
