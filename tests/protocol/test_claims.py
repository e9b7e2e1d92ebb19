from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msal_msi_v2.errors import MsiV2ClientError
from msal_msi_v2.protocol.claims import merge_claims

NBF = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


@pytest.mark.parametrize(
    ("challenge", "capabilities", "expected"),
    [
        (None, None, None),
        ("", [], None),
        (NBF, None, NBF),
        (NBF, [], NBF),
        (None, ["CP1"], '{"access_token":{"xms_cc":{"values":["CP1"]}}}'),
        (None, ["CP1", "x"], '{"access_token":{"xms_cc":{"values":["CP1","x"]}}}'),
        (
            NBF,
            ["CP1"],
            '{"access_token":{"nbf":{"essential":true,"value":"1"},"xms_cc":{"values":["CP1"]}}}',
        ),
        (
            '{"id_token":{"a":1},"access_token":null}',
            ["CP1"],
            '{"id_token":{"a":1},"access_token":{"xms_cc":{"values":["CP1"]}}}',
        ),
        (
            '{"access_token":{"xms_cc":{"essential":true}}}',
            ["CP1"],
            '{"access_token":{"xms_cc":{"essential":true,"values":["CP1"]}}}',
        ),
    ],
)
def test_merge(challenge: str | None, capabilities: list[str] | None, expected: str | None) -> None:
    assert merge_claims(challenge, capabilities) == expected


@pytest.mark.parametrize(
    "challenge",
    ["x", "[]", '"text"', "5", "null", "{", '{"a": NaN}', "[" * 100_000, "{}{}", "\ud800"],
)
def test_what_is_not_a_json_object_is_refused(challenge: str) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        merge_claims(challenge, None)
    assert caught.value.error == "invalid_json_claims_format"


@pytest.mark.parametrize("challenge", ['{"access_token": 5}', '{"access_token":{"xms_cc":[]}}'])
def test_capabilities_never_overwrite_what_they_do_not_fit(challenge: str) -> None:
    with pytest.raises(MsiV2ClientError) as caught:
        merge_claims(challenge, ["CP1"])
    assert caught.value.error == "invalid_json_claims_format"


@given(st.text(), st.lists(st.text(), max_size=3))
def test_any_text_merges_or_is_refused(challenge: str, capabilities: list[str]) -> None:
    try:
        merge_claims(challenge, capabilities)
    except MsiV2ClientError as exc:
        assert exc.error == "invalid_json_claims_format"


objects = st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=4)


@given(objects, objects, st.lists(st.text(), min_size=1, max_size=3))
def test_nothing_of_the_challenge_is_lost(
    outer: dict[str, Any], inner: dict[str, Any], capabilities: list[str]
) -> None:
    inner.pop("xms_cc", None)
    merged = merge_claims(json.dumps({**outer, "access_token": inner}), capabilities)
    assert merged is not None
    expected = {**outer, "access_token": {**inner, "xms_cc": {"values": capabilities}}}
    assert json.loads(merged) == expected
