"""The friendly name that MSAL .NET and this library share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_key_attestation._store.friendly_name import FriendlyName, decode, encode
from msal_key_attestation.certificate_store import mutex_name

NAME = FriendlyName("system_assigned_managed_identity#att=1", "https://mtls.login", "tenant")
TEXT = "MSAL|alias=system_assigned_managed_identity#att=1|ep=https://mtls.login/tenant"
PARTS = st.text(
    st.characters(exclude_characters="|/=\r\n\0", exclude_categories=["Z", "C"]), min_size=1
)


def test_it_is_written_as_msal_net_writes_it() -> None:
    assert encode(NAME) == TEXT
    assert (
        encode(NAME._replace(alias="  a ", endpoint="https://e/"))
        == "MSAL|alias=a|ep=https://e/tenant"
    )


@pytest.mark.parametrize("part", ["", "  ", "a|b", "a\rb", "a\nb", "a\0b"])
@pytest.mark.parametrize("field", FriendlyName._fields)
def test_a_part_that_would_break_it_is_not_written(field: str, part: str) -> None:
    assert encode(NAME._replace(**{field: part})) is None


def test_it_is_read_with_fields_of_later_versions() -> None:
    assert decode(TEXT) == NAME
    assert decode("MSAL|x|later=1|ep=https://mtls.login/tenant|alias=a") == NAME._replace(alias="a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MSAL|",
        "msal|alias=a|ep=https://e/t",
        "MSAL|alias=a",
        "MSAL|ep=https://e/t",
        "MSAL|alias=a|ep=nothing",
        "MSAL|alias=a|ep=https://e/",
        "My certificate",
        "MSAL|alias=|ep=https://e/t",
    ],
)
def test_another_certificates_name_is_not_one(text: str) -> None:
    assert decode(text) is None


@given(PARTS, PARTS, PARTS)
def test_what_is_written_is_read(alias: str, host: str, tenant: str) -> None:
    name = FriendlyName(alias, f"https://{host}", tenant)
    text = encode(name)
    assert text is not None
    assert decode(text) == name


def test_the_mutex_is_msal_nets() -> None:
    """The first half of SHA-256 of the alias in upper case, in lower-case hex."""
    expected = "MSAL_MI_P_adaa6d59acf590ccb2f3a82f812f22c2"
    assert mutex_name(" system_assigned_managed_identity ") == expected
    assert mutex_name("System_Assigned_Managed_Identity") == expected
    assert mutex_name("another") != expected
