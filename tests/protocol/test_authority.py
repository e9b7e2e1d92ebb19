"""Hosts and tenants that callers name."""

from __future__ import annotations

import uuid

import pytest

from msal_msi_v2 import MsiV2ClientError
from msal_msi_v2.protocol.authority import check_tenant, https_origin

GUID = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example", "https://a.example"),
        ("https://A-1.example:8443/", "https://A-1.example:8443"),
        ("https://a.example:443", "https://a.example"),
        ("https://localhost:1", "https://localhost:1"),
        ("https://127.0.0.1", "https://127.0.0.1"),
        ("https://[::1]", "https://[::1]"),
        ("https://[::443]:8443", "https://[::443]:8443"),
    ],
)
def test_a_url_of_a_host_alone(url: str, origin: str) -> None:
    assert https_origin(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "a.example",
        "https://",
        "https://a.example/path",
        "https://a.example?x",
        "https://a.example#x",
        "https://user@a.example",
        "https://user:password@a.example",
        "https://a.example:",
        "https://a.example:x",
        "https://a.example:65536",
        "https://a..example",
        "https://a.example.",
        "https://evil.example\\.a.example",
        "https://evil.example%5c.a.example",
        "https://evil.example;.a.example",
        "https://evil.example .a.example",
        "https://evil.example\t.a.example",
        "https://a.example\n",
        "https://evil.example%00.a.example",
        "https://ev\N{LATIN SMALL LETTER LONG S}il.example",
        "https://[x",
        "https://[x]",
        "https://[::1].a.example",
        "https://[::1%25eth0]",
        "https://[:::::]",
        "https://::1",
        None,
        b"https://a.example",
    ],
)
def test_anything_else_is_none(url: object) -> None:
    assert https_origin(url) is None


@pytest.mark.parametrize("tenant", [GUID, uuid.UUID(GUID), "contoso.onmicrosoft.com"])
def test_a_tenant(tenant: object) -> None:
    assert check_tenant(tenant) == str(tenant)


@pytest.mark.parametrize(
    "tenant", ["common", "Organizations", "CONSUMERS", "", "a/b", ".", "a b", None, 5, b"x"]
)
def test_what_is_no_tenant_is_refused(tenant: object) -> None:
    with pytest.raises(MsiV2ClientError, match="one tenant") as caught:
        check_tenant(tenant)
    assert caught.value.error == "invalid_request"
