"""Everything that is opened is given back, once; and a leak would be seen."""

from __future__ import annotations

import gc
import sys
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from memory import peak_memory

from msal_key_attestation._keys.mutexes import named_mutex, user_sid
from msal_key_attestation._native import handles
from msal_key_attestation._native.handles import Owned
from msal_key_attestation._winhttp import session as session_module
from msal_key_attestation._winhttp.session import Session
from msal_key_attestation.certificate_store import MyCertificateStore
from msal_key_attestation.certificates import BoundCertificate
from msal_key_attestation.keystore import WindowsKeyStore
from msal_key_attestation.winhttp import WinHttpTransport
from msal_msi_v2.platforms import StoredCertificate, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from issuer import Issuer
    from standins import Standins
    from tls_server import TlsServer

    from msal_key_attestation._keys.ncrypt_key import NCryptKey

needs_windows = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")
MIB = 1 << 20
PATIENT = Timeout(connect=20, read=20)


class Freed:
    """Remembers what was freed."""

    def __init__(self) -> None:
        self.values: list[int] = []

    def __call__(self, value: int) -> bool:
        self.values.append(value)
        return True


def test_it_is_freed_once_however_often_it_is_closed() -> None:
    freed = Freed()
    owned = Owned("thing", 42, freed)
    with owned:
        assert owned.value == 42
    owned.close()
    del owned
    gc.collect()
    assert freed.values == [42]


def test_threads_that_close_at_once_free_once() -> None:
    for _ in range(50):
        freed = Freed()
        owned = Owned("thing", 1, freed)
        threads = [threading.Thread(target=owned.close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert freed.values == [1]


def test_a_closed_one_cannot_be_used() -> None:
    owned = Owned("thing", 1, lambda _it: True)
    owned.close()
    with pytest.raises(ValueError, match="thing is closed"):
        assert owned.value


def test_a_free_that_raises_is_not_tried_again() -> None:
    def fail(_value: Any) -> bool:
        raise RuntimeError("no")

    owned = Owned("thing", 1, fail)
    with pytest.raises(RuntimeError):
        owned.close()
    owned.close()


def test_what_was_handed_over_is_not_freed_here() -> None:
    freed = Freed()
    owned = Owned("thing", 7, freed)
    assert owned.disarm() == 7
    owned.close()
    assert freed.values == []


def test_what_is_forgotten_is_freed_all_the_same_and_counted() -> None:
    freed = Freed()
    Owned("forgotten thing", 7, freed)
    gc.collect()
    assert freed.values == [7]
    assert handles.counts()["forgotten thing"] == handles.Count(opened=1, freed=1, forgotten=1)


def test_a_free_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Owned("thing", 7, lambda _it: False).close()
    assert "did not free a thing" in caplog.text


def test_the_collector_may_come_in_anywhere() -> None:
    def collect(frame: Any, _event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename == handles.__file__:
            Owned("garbage", 7, lambda _it: True)  # which nobody keeps
        return collect

    def work() -> None:
        sys.settrace(collect)
        for _ in range(20):
            Owned("collected thing", 7, lambda _it: True).close()
        sys.settrace(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    counts = handles.counts()
    assert counts["collected thing"] == handles.Count(20, 20, 0)
    opened, freed, forgotten = counts["garbage"]
    assert opened == freed == forgotten > 100
    assert handles.counts() == counts


def leaked(work: Callable[[], object], times: int) -> dict[str, int]:
    """Return how many of each kind nobody closed over some calls, where any were left."""
    gc.collect()
    before = handles.counts()
    for _ in range(times):
        work()
    gc.collect()
    nothing = handles.Count(0, 0, 0)
    left = {}
    for kind, after in handles.counts().items():
        grown = [now - then for now, then in zip(after, before.get(kind, nothing), strict=True)]
        opened, freed, forgotten = grown
        left[kind] = opened - freed + (0 if kind == "ncrypt object" else forgotten)
    return {kind: count for kind, count in left.items() if count}


@needs_windows
def test_a_deliberate_leak_is_seen(key: NCryptKey, issuer: Issuer) -> None:
    der, kept = issuer.issue(key.public_key()), list[BoundCertificate]()
    assert leaked(lambda: kept.append(BoundCertificate(der, key)), 10) == {
        "certificate context": 10
    }
    for certificate in kept:
        certificate.close()
    assert leaked(lambda: BoundCertificate(der, key), 10) == {"certificate context": 10}


@needs_windows
def test_thousands_of_cycles_leave_nothing(key: NCryptKey, issuer: Issuer) -> None:
    der = issuer.issue(key.public_key())

    def cycle() -> None:
        BoundCertificate(der, key).close()
        with named_mutex("msal-test", 1) as held:
            assert held
        user_sid()

    cycle()
    assert leaked(cycle, 1000) == {}
    before = peak_memory()
    assert leaked(cycle, 3000) == {}
    assert peak_memory() - before < 4 * MIB


@needs_windows
def test_keys_leave_nothing(standins: Standins) -> None:
    def cycle() -> None:
        key: Any = WindowsKeyStore(on_created=lambda: None).get_key().private_key
        key.close()

    assert leaked(cycle, 100) == {}
    standins.script("ncrypt", isolation="off", **{"tpm.open.status": 0x80090010})
    assert leaked(lambda: WindowsKeyStore(on_created=lambda: None).get_key(), 3) == {}
    assert set(standins.open_handles().values()) == {0}


@needs_windows
def test_failed_creations_leave_nothing(standins: Standins) -> None:
    failures: list[dict[str, Any]] = [
        {"isolation": "missing"},
        {"ksp.set.status": 0x80090020},
        {"ksp.finalize.status": 0x80090020},
        {"ksp.export.status": 0x80090020},
        {"ksp.sign.status": 0x80090020},
    ]
    for names in failures:
        standins.script("ncrypt", **names, **{"tpm.provider.status": 0x80090030})
        assert leaked(lambda: WindowsKeyStore(on_created=lambda: None).get_key(), 3) == {}, names
    assert set(standins.open_handles().values()) == {0}


@needs_windows
def test_requests_leave_nothing(tls: TlsServer, key: NCryptKey, issuer: Issuer) -> None:
    certificate, transport = issuer.bind(key), WinHttpTransport()

    def cycle() -> None:
        response = transport.request("GET", tls.url, certificate=certificate, timeout=PATIENT)
        assert b"".join(response.iter_bytes()) == b"OK"
        response.close()

    cycle()
    assert leaked(cycle, 1000) == {}
    before = peak_memory()
    assert leaked(cycle, 1000) == {}
    assert peak_memory() - before < 4 * MIB
    transport.close()
    counts = handles.counts()
    assert counts["internet handle"].opened == counts["internet handle"].freed


@needs_windows
def test_responses_that_nobody_closes_are_closed_when_forgotten(
    tls: TlsServer, key: NCryptKey, issuer: Issuer
) -> None:
    certificate, transport = issuer.bind(key), WinHttpTransport()

    def forget() -> None:
        transport.request("GET", tls.url, certificate=certificate, timeout=PATIENT)

    forget()
    before = handles.counts()["internet handle"]
    for _ in range(20):
        forget()
    after = handles.counts()["internet handle"]
    assert after.opened - after.freed == before.opened - before.freed
    transport.close()


@needs_windows
def test_a_session_is_released_wherever_the_collector_comes_in(
    key: NCryptKey, issuer: Issuer
) -> None:
    certificate = issuer.bind(key)
    session = Session(certificate.der, key, None)

    def collect(frame: Any, _event: str, _argument: Any) -> Any:
        ours = frame.f_code.co_filename == session_module.__file__
        while ours and len(session._shares) > 1:
            session.release()  # as a response does that nobody has closed
        return collect

    def work() -> None:
        for _ in range(10):
            session.use()
        sys.settrace(collect)
        session.use()
        session.release()
        sys.settrace(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    with pytest.raises(ValueError, match="closed"):
        assert session.handle


@needs_windows
def test_the_store_leaves_nothing(key: NCryptKey, issuer: Issuer) -> None:
    store, alias = MyCertificateStore(), "msal-test#handles"
    der = issuer.issue(key.public_key())

    def cycle() -> None:
        store.save(alias, StoredCertificate(der, "https://e", "t"), key)
        assert store.load(alias, key, expires_after=datetime.now(timezone.utc))
        store.remove(alias)

    assert leaked(cycle, 50) == {}
