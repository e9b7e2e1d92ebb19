"""Sessions of the caller's, in the children that a process forks."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from fake_clock import FakeClock
from forking import held_by_another_thread, locks_of, works_in_a_child
from recording_server import recording_server
from requests.adapters import BaseAdapter, HTTPAdapter

from msal_msi_v2.http.borrowed import renew_connections
from msal_msi_v2.imds import ImdsClient
from msal_msi_v2.platforms import Timeout
from msal_msi_v2.protocol.messages import Request


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_waits_for_no_lock_that_a_thread_of_its_parent_held() -> None:
    session = requests.Session()
    with recording_server() as server:
        client = ImdsClient(session, Timeout(connect=5, read=5), FakeClock())
        request = Request("GET", server.url, {}, {})
        client.send(request)
        with held_by_another_thread(*locks_of(session, server.url)):
            assert works_in_a_child(lambda: client.send(request))
        client.send(request)
    assert len(server.asked) == 3
    session.close()


class Stubborn(BaseAdapter):
    """One with no pools at all."""

    def send(self, *_: Any, **__: Any) -> Any:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


class Poolless(HTTPAdapter):
    """One that takes nothing of its base but the name."""

    def __init__(self) -> None:
        pass


def test_adapters_of_other_kinds_stay_as_they_are() -> None:
    session = requests.Session()
    session.mount("a://", Stubborn())
    session.mount("b://", Poolless())
    renew_connections(session)
    renew_connections(object())


def test_new_connections_trust_whom_the_old_ones_did() -> None:
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=3, pool_block=True)
    session.mount("https://", adapter)
    for manager in (adapter.poolmanager, adapter.proxy_manager_for("http://127.0.0.1:9")):
        manager.connection_pool_kw["assert_fingerprint"] = "00" * 32
        before = manager.connection_from_url("https://localhost")
        renew_connections(session)
        after = manager.connection_from_url("https://localhost")
        assert after is not before
        assert (after.assert_fingerprint, after.block) == ("00" * 32, True)
        assert manager.pools._maxsize == 3
    assert adapter.proxy_manager_for("http://127.0.0.1:9") is manager
