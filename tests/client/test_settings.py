from __future__ import annotations

from typing import Any

import msal
import pytest
import requests

from msal_msi_v2 import ManagedIdentityClient, MsiV2ClientError
from msal_msi_v2.platforms import Timeout
from msal_msi_v2.settings import read_settings


def test_default_timeouts_are_the_documented_ones() -> None:
    settings = read_settings(requests.Session(), None)
    assert settings.imds_timeout == Timeout(connect=2, read=10)
    assert settings.token_timeout == Timeout(connect=30, read=30)


@pytest.mark.parametrize(
    ("given", "expected"), [(5, Timeout(5, 5)), (0.5, Timeout(0.5, 0.5)), ((1, 2), Timeout(1, 2))]
)
def test_a_timeout_replaces_both(given: Any, expected: Timeout) -> None:
    settings = read_settings(requests.Session(), given)
    assert (settings.imds_timeout, settings.token_timeout) == (expected, expected)


@pytest.mark.parametrize(
    "given", [0, -1, "5", True, float("nan"), float("inf"), (1,), (1, 2, 3), (1, None), [1, 2]]
)
def test_anything_else_is_refused_when_the_client_is_made(given: Any) -> None:
    with pytest.raises(MsiV2ClientError, match="timeout is") as caught:
        ManagedIdentityClient(
            msal.SystemAssignedManagedIdentity(), http_client=requests.Session(), timeout=given
        )
    assert caught.value.error == "invalid_request"
