"""Neither assertions nor the vault's tokens are in a log, an exception or a repr."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

import msal
import pytest
import requests
from small_cloud import (
    CLIENT_ID,
    HANG_UP,
    RESOURCE,
    TENANTS,
    VAULT_TOKEN,
    SmallCloud,
    b64url,
    error,
)

from msal_msi_v2 import MsiV2Error
from msal_msi_v2.assertions import (
    BearerCredential,
    KeyVaultCertificateAssertion,
    ManagedIdentityAssertion,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def pieces(secret: str) -> list[str]:
    return [secret[start : start + 30] for start in range(0, len(secret) - 29, 15)]


def leaked(text: str, *secrets: str) -> list[str]:
    return [piece for secret in secrets for piece in pieces(secret) if piece in text]


def everything_about(raised: BaseException) -> str:
    seen = [*traceback.format_exception(raised)]
    current: BaseException | None = raised
    while current is not None:
        seen += [str(current), repr(current), repr(vars(current)), repr(current.args)]
        seen.append(repr(vars(getattr(current, "request", None) or object).get("headers")))
        current = current.__cause__ or current.__context__
    return "\n".join(seen)


def records(caplog: pytest.LogCaptureFixture) -> str:
    return caplog.text + "\n".join(repr(vars(record)) for record in caplog.records)


def assertion_of(cloud: SmallCloud, options: dict[str, Any]) -> KeyVaultCertificateAssertion:
    cloud.create(exportable=True)
    return KeyVaultCertificateAssertion(cloud.url, "app", **options)


def test_logs_and_reprs_of_a_full_run(
    cloud: SmallCloud, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assertion = assertion_of(cloud, options)
    app = msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential={"client_assertion": assertion},
        authority=f"{cloud.url}/{TENANTS[0]}",
        instance_discovery=False,
        verify=cloud.ca_bundle,
    )
    assert "access_token" in app.acquire_token_for_client(["https://r/.default"])
    (made,) = cloud.assertions
    cache = assertion._cache
    shown = [assertion, cache, *cache._kept.values(), assertion._signer(), assertion._connection]
    shown += [BearerCredential(msal), ManagedIdentityAssertion(lambda _: "x"), assertion._reading]
    text = records(caplog) + "\n".join(repr(one) for one in shown)
    assert "exportable" in text, "there is something to look through"
    assert leaked(text, made, VAULT_TOKEN) == []
    assert leaked(f"x{made}x", made)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("leg", ["/certificates", "/keys"])
def test_exceptions_when_the_vault_echoes_what_it_was_sent(
    cloud: SmallCloud,
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    status: int,
    leg: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    token = ".".join(b64url(bytes([letter]) * 60) for letter in b"abc")

    def echo(call: Any) -> Any:
        if not call.path.startswith(leg):
            return None
        return status, {}, error("x", f"{call.headers['authorization']} {call.body!r}")

    cloud.wrong.append(echo)
    real: Callable[..., Any] = cloud.answer

    def let_in(call: Any) -> Any:
        found = real(call)
        return found if found[0] != 401 or leg in call.path else real(_with_token(call))

    cloud.answer = let_in  # type: ignore[method-assign]
    assertion = assertion_of(cloud, {**options, "credential": lambda _resource: token})
    with pytest.raises(MsiV2Error) as caught:
        assertion.bind(CLIENT_ID, TENANTS[0])()
    assert leaked(everything_about(caught.value) + records(caplog), token) == []


def _with_token(call: Any) -> Any:
    call.headers["authorization"] = f"Bearer {VAULT_TOKEN}"
    return call


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\0"])
def test_exceptions_about_tokens_that_no_header_takes(
    cloud: SmallCloud, options: dict[str, Any], caplog: pytest.LogCaptureFixture, end: str
) -> None:
    caplog.set_level(logging.DEBUG)
    given = lambda _resource: VAULT_TOKEN + end  # noqa: E731 - a credential
    assertion = assertion_of(cloud, {**options, "credential": given})
    with pytest.raises(MsiV2Error) as caught:
        assertion.bind(CLIENT_ID, TENANTS[0])()
    assert leaked(everything_about(caught.value) + records(caplog), VAULT_TOKEN) == []
    assert cloud.calls == []


def test_causes_hold_no_request_that_shows_a_token(
    cloud: SmallCloud, options: dict[str, Any]
) -> None:
    cloud.wrong.append(lambda _call: (HANG_UP, {}, b""))
    with pytest.raises(MsiV2Error) as caught:
        assertion_of(cloud, options).bind(CLIENT_ID, TENANTS[0])()
    cause = caught.value.__cause__
    assert isinstance(cause, requests.ConnectionError)
    assert cause.request is not None, "there is something to look through"
    assert leaked(everything_about(caught.value), VAULT_TOKEN) == []
    assert {call.headers["authorization"] for call in cloud.calls} == {f"Bearer {VAULT_TOKEN}"}


def test_exceptions_of_connections(
    cloud: SmallCloud, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assertion = KeyVaultCertificateAssertion(
        "https://localhost:9", "app", lambda _resource: VAULT_TOKEN, resource=RESOURCE
    )
    with pytest.raises(MsiV2Error) as caught:
        assertion.bind(CLIENT_ID, TENANTS[0])()
    assert leaked(everything_about(caught.value) + records(caplog), VAULT_TOKEN) == []
    assert options
    assert cloud.calls == []
