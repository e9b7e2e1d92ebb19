"""Asking for assertions that a vault signs, and what the vault answers in place of the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from small_cloud import CLIENT_ID, TENANTS, VAULT_TOKEN, SmallCloud, issue

from msal_msi_v2 import KeyVaultError, MsiV2ServiceError
from msal_msi_v2.assertions import KeyVaultCertificateAssertion

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests


HOST = "https://contoso.vault.azure.net"


def bound(assertion: Any) -> Callable[[], str]:
    made: Callable[[], str] = assertion.bind(CLIENT_ID, TENANTS[0])
    return made


def certificate_of(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> Callable[[], str]:
    if not cloud.versions:
        cloud.create()
    return bound(KeyVaultCertificateAssertion(cloud.url, "app", **{**options, **more}))


def always(status: int, payload: Any = b"", **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _call: (status, names, payload)


def failing(cloud: SmallCloud, options: dict[str, Any], **more: Any) -> KeyVaultError:
    with pytest.raises(KeyVaultError) as caught:
        certificate_of(cloud, options, **more)()
    assert isinstance(caught.value, MsiV2ServiceError)
    assert caught.value.correlation_id
    assert any(
        call.headers["x-ms-client-request-id"] == caught.value.correlation_id
        for call in cloud.calls
    )
    return caught.value


def challenged(text: str | None) -> Any:
    headers = {} if text is None else {"WWW-Authenticate": text}
    return lambda _call: (401, headers, b"")


def asked_tokens(cloud: SmallCloud, detour: requests.Session, host: str = HOST) -> list[str]:
    """Ask for an assertion, and return the resources that tokens were asked for."""
    asked: list[str] = []

    def credential(resource: str) -> str:
        asked.append(resource)
        return VAULT_TOKEN

    cloud.versions["app"] = [issue("app")]
    assertion = KeyVaultCertificateAssertion(host, "app", credential, http_client=detour)
    try:
        bound(assertion)()
    finally:
        shown = [call.headers.get("authorization") for call in cloud.calls]
        assert set(shown) <= {None, f"Bearer {VAULT_TOKEN}"}
        assert shown[0] is None, "the first request shows nothing"
        if not asked:
            assert set(shown) == {None}
    return asked
