from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_msi_v2.protocol.refusal import challenged_claims, is_expired

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"},"x":"?>~~"}}'
PLAIN = base64.b64encode(CLAIMS.encode()).decode()
URL_SAFE = base64.urlsafe_b64encode(CLAIMS.encode()).decode()


@pytest.mark.parametrize(
    "challenge",
    [
        f'Bearer realm="", error="insufficient_claims", claims="{PLAIN}"',
        f'mtls_pop error="insufficient_claims",claims="{URL_SAFE}"',
        f'Bearer error="insufficient_claims", claims="{URL_SAFE.rstrip("=")}"',
        f"PoP Claims={URL_SAFE.rstrip('=')}",
        f'Basic realm="a, b=c", Bearer claims = "{PLAIN}", error="insufficient_claims"',
    ],
)
def test_claims_are_found_in_every_form(challenge: str) -> None:
    assert challenged_claims(["Negotiate", challenge]) == CLAIMS


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Bearer",
        'Bearer realm="claims"',
        'Bearer claims="!!!"',
        f'Bearer claims="{base64.b64encode(b"no json").decode()}"',
        f'Bearer claims="{base64.b64encode(b"[]").decode()}"',
        f'Bearer claims="{base64.b64encode(bytes([255, 254])).decode()}"',
        'Bearer error="invalid_token", error_description="claims are fine"',
        f'Bearer realm="say \\"claims={PLAIN}\\" "',
    ],
)
def test_what_are_no_claims_is_passed_over(challenge: str) -> None:
    assert challenged_claims([challenge]) is None


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    claims = challenged_claims([text, f'Bearer claims="{text}"'])
    assert claims is None or isinstance(json.loads(claims), dict)
    is_expired([text])


@pytest.mark.parametrize("piece", ["a", " ", "a ", "a=", 'a="', 'a="\\', "a = "])
def test_a_long_challenge_takes_no_longer_for_each_letter(piece: str) -> None:
    begun = time.process_time()
    challenged_claims([piece * 50_000])
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("challenge", "expected"),
    [
        ('Bearer error="invalid_token", error_description="expired"', True),
        ("mtls_pop error=invalid_token", True),
        ('Bearer error="insufficient_scope"', False),
        ('Bearer error_description="invalid_token"', False),
        ("mtls_pop", False),
    ],
)
def test_a_token_of_no_use_any_more_is_told_by_its_code(challenge: str, expected: bool) -> None:
    assert is_expired([challenge]) is expected
