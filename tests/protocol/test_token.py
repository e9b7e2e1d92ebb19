from __future__ import annotations

import base64
import contextlib
import json
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_msi_v2 import __version__
from msal_msi_v2.binding import Binding, BindingCertificate
from msal_msi_v2.errors import MsiV2Error, MsiV2ServiceError
from msal_msi_v2.protocol import token
from msal_msi_v2.protocol.messages import Response

GUID = "6f2f6d5e-9d0c-4f0a-8f43-0d2b7a7d3f11"
BINDING = Binding(cast("BindingCertificate", None), "https://h:1/base", "ten/ant", "client")
VALID = {"access_token": "opaque", "token_type": "mtls_pop", "expires_in": 86399}


def parse(payload: Any, status: int = 200) -> token.TokenResponse:
    return token.parse_response(Response(status, {}, json.dumps(payload).encode()))


def jwt(claims: Any) -> str:
    parts = (b"{}", json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    "resource",
    [
        "https://vault.azure.net",
        "https://vault.azure.net/",
        "https://vault.azure.net/.default",
        "https://vault.azure.net//.default",
    ],
)
def test_scope(resource: str) -> None:
    assert token.scope_of(resource) == "https://vault.azure.net/.default"


def test_request_is_the_documented_one() -> None:
    request = token.build_request(BINDING, "https://r/", GUID, '{"a":"b&c"}')
    assert (request.method, request.url) == (
        "POST",
        "https://h:1/base/ten%2Fant/oauth2/v2.0/token",
    )
    assert request.body is not None
    assert parse_qsl(request.body, strict_parsing=True) == [
        ("grant_type", "client_credentials"),
        ("client_id", "client"),
        ("scope", "https://r/.default"),
        ("token_type", "mtls_pop"),
        ("claims", '{"a":"b&c"}'),
    ]
    headers = dict(request.headers)
    assert headers.pop("x-client-OS")
    assert headers == {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "client-request-id": GUID,
        "return-client-request-id": "true",
        "x-client-SKU": "msal-msi-v2",
        "x-client-Ver": __version__,
        "x-ms-lib-capability": "retry-after, h429",
    }


def test_no_claims_no_member() -> None:
    assert "claims" not in (token.build_request(BINDING, "https://r", GUID).body or "")


def test_response_is_read() -> None:
    assert parse(VALID) == token.TokenResponse("opaque", "mtls_pop", 86399)
    assert "opaque" not in repr(parse(VALID))


@pytest.mark.parametrize(
    ("value", "seconds"), [(3599, 3599), ("3599", 3599), (3599.9, 3599), (" 5 ", 5)]
)
def test_lifetimes_may_be_numbers_or_strings(value: Any, seconds: int) -> None:
    read = parse({**VALID, "expires_in": value, "refresh_in": value})
    assert (read.expires_in, read.refresh_in) == (seconds, seconds)


@pytest.mark.parametrize("value", [0, -1, "0", "", "soon", None, True, [], "9" * 5000, 1e999, " "])
def test_a_token_without_a_lifetime_is_refused(value: Any) -> None:
    with pytest.raises(MsiV2ServiceError) as caught:
        parse({**VALID, "expires_in": value})
    assert caught.value.error == "managed_identity_request_failed"


@pytest.mark.parametrize("value", [0, -1, "soon", None, True])
def test_a_refresh_time_that_makes_no_sense_is_left_out(value: Any) -> None:
    assert parse({**VALID, "refresh_in": value}).refresh_in is None


@pytest.mark.parametrize("access_token", ["a\r\nX-Injected: 1", "a b", "\x7f"])
def test_a_token_that_would_break_a_header_is_refused(access_token: str) -> None:
    with pytest.raises(MsiV2ServiceError, match="characters"):
        parse({**VALID, "access_token": access_token})


@pytest.mark.parametrize(
    ("token_type", "code"),
    [
        (..., "token_type_missing"),
        (None, "token_type_missing"),
        ("", "token_type_missing"),
        (5, "token_type_missing"),
        ("Bearer", "token_type_mismatch"),
        ("pop", "token_type_mismatch"),
    ],
)
def test_any_other_token_is_refused(token_type: Any, code: str) -> None:
    payload = {**VALID, "token_type": token_type}
    if token_type is ...:
        del payload["token_type"]
    with pytest.raises(MsiV2ServiceError) as caught:
        parse(payload)
    assert caught.value.error == code


def test_the_type_may_be_in_any_case() -> None:
    assert parse({**VALID, "token_type": "MTLS_PoP"}).access_token == "opaque"


@pytest.mark.parametrize(
    ("status", "payload", "code", "retryable", "aadsts"),
    [
        (401, {"error": "invalid_client", "error_codes": [7]}, "invalid_client", False, [7]),
        (401, {"error": "x", "error_description": "AADSTS7000215: no"}, "x", False, [7000215]),
        (400, {"error": "invalid_scope"}, "invalid_scope", False, []),
        (400, {"error": "a b"}, "managed_identity_request_failed", False, []),
        (400, {"error": 5}, "managed_identity_request_failed", False, []),
        (400, [], "managed_identity_request_failed", False, []),
        (429, {}, "service_not_available", True, []),
        (503, {"error": "temporarily_unavailable"}, "temporarily_unavailable", True, []),
        (500, "text", "service_not_available", True, []),
        (302, {}, "managed_identity_request_failed", False, []),
    ],
)  # fmt: skip
def test_refusals(status: int, payload: Any, code: str, retryable: bool, aadsts: list[int]) -> None:
    with pytest.raises(MsiV2ServiceError) as caught:
        parse(payload, status)
    error = caught.value
    assert (error.error, error.status_code, error.is_retryable) == (code, status, retryable)
    assert list(error.error_codes) == aadsts


@pytest.mark.parametrize("access_token", ["opaque", "a.b", "a.b.c", "a.b.c.d.e", "a.W10.c", ""])
def test_an_opaque_token_passes(access_token: str) -> None:
    token.check_cnf(access_token, "thumb")


@pytest.mark.parametrize(
    "claims", [{}, {"cnf": None}, {"cnf": "thumb"}, {"cnf": {}}, {"cnf": {"x5t#S256": "other"}}]
)
def test_a_readable_token_bound_to_anything_else_is_refused(claims: Any) -> None:
    with pytest.raises(MsiV2ServiceError) as caught:
        token.check_cnf(jwt(claims), "thumb")
    assert caught.value.error == "cnf_mismatch"


def test_a_bound_token_passes() -> None:
    token.check_cnf(jwt({"cnf": {"x5t#S256": "thumb"}}), "thumb")


@given(
    name=st.sampled_from([*VALID, "refresh_in", "error"]),
    value=st.none() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    status=st.sampled_from([200, 200, 400, 401, 429, 503]),
)
def test_mutated_answers_raise_ours_or_parse(name: str, value: Any, status: int) -> None:
    with contextlib.suppress(MsiV2Error):
        parse({**VALID, name: value}, status)


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    st.integers(1, 10**9),
    st.none() | st.integers(1, 10**9),
)
def test_valid_answers_round_trip(access_token: str, life: int, refresh: int | None) -> None:
    payload = {
        "access_token": access_token,
        "token_type": "mtls_pop",
        "expires_in": life,
        "refresh_in": refresh,
    }
    assert vars(parse(payload)) == payload


@given(body=st.binary(max_size=200))
def test_any_bytes_raise_ours_and_quote_no_token(body: bytes) -> None:
    with pytest.raises(MsiV2Error):
        token.parse_response(Response(200, {}, body))


@given(access_token=st.text())
def test_any_token_passes_or_mismatches(access_token: str) -> None:
    try:
        token.check_cnf(access_token, "thumb")
    except MsiV2ServiceError as exc:
        assert exc.error == "cnf_mismatch"


@pytest.mark.parametrize(
    "body", [b'{"access_token": "eyJsecret', b'{"access_token": "eyJsecret\xff"}']
)
def test_a_broken_answer_leaves_no_token_in_the_exception(body: bytes) -> None:
    with pytest.raises(MsiV2ServiceError) as caught:
        token.parse_response(Response(200, {}, body))
    current: BaseException | None = caught.value
    while current is not None:
        assert "eyJsecret" not in repr(current) + str(vars(current))
        assert current.__context__ is current.__cause__
        current = current.__cause__
