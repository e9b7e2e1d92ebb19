"""How often a vault is asked again, and how long it is waited for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from small_cloud import CHALLENGE, HANG_UP, SmallCloud, error
from urllib3.util import Retry
from vault_calls import always, asked_tokens, bound, certificate_of, challenged, failing

from msal_msi_v2 import KeyVaultError
from msal_msi_v2.assertions import KeyVaultCertificateAssertion, rest
from msal_msi_v2.errors import TransportError, TransportFailure

if TYPE_CHECKING:
    from fake_clock import FakeClock


def test_a_throttled_vault_is_waited_for_as_it_says(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    answers = [always(429, Retry_After="7"), always(429), always(503)]
    cloud.wrong.append(lambda call: answers.pop(0)(call) if answers else None)
    assert certificate_of(cloud, options)()
    assert clock.sleeps == [7.0, 2.0, 4.0]


def test_a_throttled_vault_is_given_up_in_the_end(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    cloud.wrong.append(always(429, error("Throttled", "slow down")))
    found = failing(cloud, options)
    assert (found.error, found.is_retryable) == ("key_vault_throttled", True)
    assert clock.sleeps == [1.0, 2.0, 4.0]


def test_a_long_wait_is_the_callers(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    cloud.wrong.append(always(429, Retry_After="3600"))
    assert failing(cloud, options).error == "key_vault_throttled"
    assert clock.sleeps == []


def test_a_failing_vault(cloud: SmallCloud, options: dict[str, Any], clock: FakeClock) -> None:
    cloud.wrong.append(always(500, b"<html>"))
    found = failing(cloud, options)
    assert (found.error, found.is_retryable) == ("key_vault_unavailable", True)
    assert len(clock.sleeps) == 3


@pytest.mark.parametrize("asked", ["Wed, 21 Oct 2015 07:28:00 GMT", "-5"])
def test_a_wait_that_is_over_is_none(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, asked: str
) -> None:
    answers = [always(503, Retry_After=asked)]
    cloud.wrong.append(lambda call: answers.pop(0)(call) if answers else None)
    assert certificate_of(cloud, options)()
    assert clock.sleeps == [0.0]


def test_the_waits_of_one_call_add_up_to_no_more_than_the_longest(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    cloud.wrong.append(always(429, Retry_After="20"))
    assert failing(cloud, options).error == "key_vault_throttled"
    assert clock.sleeps == [20.0]


def test_the_wait_for_the_challenge_counts_too(
    cloud: SmallCloud, detour: requests.Session, slept: list[float]
) -> None:
    busy = always(429, Retry_After="16")
    answers = [busy, challenged(CHALLENGE), busy]
    cloud.wrong.append(lambda call: answers.pop(0)(call) if answers else None)
    with pytest.raises(KeyVaultError) as caught:
        asked_tokens(cloud, detour)
    assert caught.value.error == "key_vault_throttled"
    assert slept == [16.0]


def test_a_session_that_retries_by_itself_is_left_to_do_so(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    session = requests.Session()
    retry = Retry(2, status_forcelist=[503], allowed_methods=None, raise_on_status=False)
    session.mount("https://", HTTPAdapter(max_retries=retry))
    cloud.wrong.append(always(503))
    found = failing(cloud, options, http_client=session)
    assert found.error == "key_vault_unavailable"
    assert (len(cloud.calls), clock.sleeps) == (3, [])
    session.close()


def test_a_session_that_raises_for_status_does_no_harm(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    session = requests.Session()
    session.hooks["response"].append(lambda answer, **_: answer.raise_for_status())
    cloud.forbidden["keys/sign"] = "ForbiddenByRbac"
    assert failing(cloud, options, http_client=session).permission == "keys/sign"
    assert cloud.legs() == ["certificates", "sign"]
    session.close()


@pytest.mark.parametrize("leg", ["/certificates", "/keys"])
def test_a_connection_that_breaks_is_made_again(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, leg: str
) -> None:
    left = [HANG_UP, HANG_UP]
    cloud.wrong.append(
        lambda call: (left.pop(), {}, b"") if left and call.path.startswith(leg) else None
    )
    assert certificate_of(cloud, options)()
    assert clock.sleeps == [1.0, 2.0]


def test_silence_is_broken_by_another_try(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", (5.0, 0.3))
    over = threading.Event()

    def be_silent(_call: Any) -> Any:
        cloud.wrong.clear()
        over.wait(20)
        return HANG_UP, {}, b""

    cloud.wrong.append(be_silent)
    assert certificate_of(cloud, options)()
    over.set()
    assert clock.sleeps == [1.0]


def test_a_vault_that_is_not_there(options: dict[str, Any], clock: FakeClock) -> None:
    assertion = KeyVaultCertificateAssertion("https://localhost:9", "app", **options)
    with pytest.raises(TransportError) as caught:
        bound(assertion)()
    assert caught.value.correlation_id
    assert "localhost" in str(caught.value)
    assert clock.sleeps == [1.0, 2.0, 4.0]


def test_a_credential_that_reaches_nobody_is_not_asked_again(
    cloud: SmallCloud, options: dict[str, Any], clock: FakeClock
) -> None:
    def fails(_resource: str) -> str:
        raise TransportError(TransportFailure.CONNECT, "it has tried long enough itself")

    with pytest.raises(TransportError, match="long enough"):
        certificate_of(cloud, options, credential=fails)()
    assert clock.sleeps == []


def test_a_throttled_challenge(
    cloud: SmallCloud, detour: requests.Session, slept: list[float]
) -> None:
    cloud.wrong.append(always(429))
    with pytest.raises(KeyVaultError) as caught:
        asked_tokens(cloud, detour)
    assert caught.value.error == "key_vault_throttled"
    assert slept == [1.0, 2.0, 4.0]
