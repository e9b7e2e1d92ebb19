"""A request's URL and headers: what is sent as given, and what is refused unsent."""

from __future__ import annotations

import pytest

from msal_key_attestation._winhttp.target import (
    check_method,
    content_length,
    header_block,
    parse_target,
)
from msal_msi_v2.errors import MsiV2ClientError


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://host", "host", 443, "/"),
        ("https://HOST.example:8443/a/b?c=d&e=%2F", "host.example", 8443, "/a/b?c=d&e=%2F"),
        ("https://host/é?q=ü#fragment", "host", 443, "/%C3%A9?q=%C3%BC"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://[::1]:8443/", "[::1]", 8443, "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str) -> None:
    assert parse_target(url) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "http://host/",
        "ftp://host/",
        "//host/",
        "https://",
        "https://user:secret@host/",
        "https://user@host/",
        "https://host:99999/",
        "https://host:x/",
        "https://host/a b",
        "https://host/\r\nHost: evil",
        "https://host/\t",
        "https://[::1/",
        f"https://{'ü' * 70}/",
    ],
)
def test_a_url_that_is_not_https_or_is_ambiguous_is_refused(url: str) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        parse_target(url)
    assert caught.value.error == "invalid_request"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "G\0", "GÉT"])
def test_a_method_that_would_break_the_framing_is_refused(method: str) -> None:
    with pytest.raises(MsiV2ClientError):
        check_method(method)


def test_headers_go_out_in_order_with_repetitions() -> None:
    block = header_block([("A", "1"), ("B", ""), ("A", "é")])
    assert block == "A: 1\r\nB: \r\nA: é\r\n"


@pytest.mark.parametrize(
    "header", [("", "x"), ("A B", "x"), ("A:", "x"), ("A", "x\r\nB: y"), ("A", "x\0"), ("A", "€")]
)
def test_a_header_that_would_break_the_framing_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        header_block([header])
    assert caught.value.error == "invalid_request"


@pytest.mark.parametrize(
    ("value", "length"), [("7", 7), (" 7 ", 7), ("-1", None), ("x", None), ("", None)]
)
def test_a_length_is_read_where_it_is_one(value: str, length: int | None) -> None:
    assert content_length([("X", "1"), ("CONTENT-length", value)]) == length
    assert content_length([]) is None
