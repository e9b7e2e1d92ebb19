r"""``CurrentUser\My``: what is kept, found, replaced and removed, and that nothing of it raises."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer import CLIENT_ID, Issuer

from msal_key_attestation import create_platform
from msal_key_attestation._keys.mutexes import named_mutex
from msal_key_attestation._store import my_store
from msal_key_attestation._store.entry import issuer_of
from msal_key_attestation._store.my_store import (
    add_certificate,
    certificates_in,
    delete_certificate,
    friendly_name,
    open_my_store,
    set_friendly_name,
)
from msal_key_attestation.certificate_store import MyCertificateStore, mutex_name, purge_orphans
from msal_key_attestation.certificates import create_context, der_of, key_name_of, set_key_name
from msal_key_attestation.keyguard import Recipe, obtain_key
from msal_msi_v2.platforms import StoredCertificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msal_key_attestation._keys.ncrypt_key import NCryptKey

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")

ALIAS = "msal-test#att=1"
ENDPOINT, TENANT = "https://mtls.example", "72f988bf-86f1-41af-91ab-2d7cd011db47"
DAY, WEEK = timedelta(days=1), timedelta(days=7)


def clean() -> None:
    with open_my_store(writable=True) as my, certificates_in(my) as contexts:
        for context in contexts:
            if "msal-test" in friendly_name(context) or "msal-test" in issuer_of(context):
                delete_certificate(context)


@pytest.fixture
def store() -> Iterator[MyCertificateStore]:
    clean()
    yield MyCertificateStore()
    clean()


@pytest.fixture
def other_key(key: NCryptKey) -> Iterator[NCryptKey]:
    """A second key of the same host."""
    recipe = Recipe("Test", f"{key.name}-2", key.provider, 0, type(key))
    made = obtain_key(recipe, on_created=lambda: None)
    yield made
    made.delete()


def stored(der: bytes) -> StoredCertificate:
    return StoredCertificate(der, ENDPOINT, TENANT)


def tomorrow() -> datetime:
    return datetime.now(timezone.utc) + DAY


def kept() -> list[tuple[str, bytes]]:
    """Return friendly names and DER of what the tests have put into the store."""
    with open_my_store(writable=False) as my, certificates_in(my) as contexts:
        found = [(friendly_name(context), der_of(context)) for context in contexts]
    return [(name, der) for name, der in found if "msal-test" in name]


def add(der: bytes, name: str, key: NCryptKey | None) -> None:
    """Put a certificate into the store as someone else would."""
    with open_my_store(writable=True) as my, create_context(der) as context:
        set_friendly_name(context, name)
        if key is not None:
            set_key_name(context, key)
        add_certificate(my, context)


def name_of(alias: str = ALIAS, endpoint: str = ENDPOINT) -> str:
    return f"MSAL|alias={alias}|ep={endpoint}/{TENANT}"


def test_what_is_saved_is_loaded(store: MyCertificateStore, key: NCryptKey, issuer: Issuer) -> None:
    certificate = stored(issuer.issue(key.public_key()))
    store.save(ALIAS, certificate, key)
    assert store.load(ALIAS, key, expires_after=tomorrow()) == certificate
    assert kept() == [(name_of(), certificate.der)]


def test_it_names_its_key_so_that_others_find_it(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    store.save(ALIAS, stored(issuer.issue(key.public_key())), key)
    with open_my_store(writable=False) as my, certificates_in(my) as contexts:
        names = [key_name_of(one) for one in contexts if friendly_name(one) == name_of()]
    assert names == [(key.name, key.provider)]


def test_another_alias_finds_nothing(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    store.save(ALIAS, stored(issuer.issue(key.public_key())), key)
    assert store.load("msal-test#att=0", key, expires_after=tomorrow()) is None
    assert len(kept()) == 1


def test_one_that_ends_too_early_is_not_loaded(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    store.save(ALIAS, stored(issuer.issue(key.public_key(), lasts=DAY / 2)), key)
    assert store.load(ALIAS, key, expires_after=tomorrow()) is None
    assert store.load(ALIAS, key, expires_after=datetime.now(timezone.utc)) is not None


def test_the_newest_wins(store: MyCertificateStore, key: NCryptKey, issuer: Issuer) -> None:
    for lasts in (3 * DAY, WEEK, 2 * DAY):
        add(issuer.issue(key.public_key(), lasts=lasts), name_of(), key)
    best = max(kept(), key=lambda entry: ends(entry[1]))
    found = store.load(ALIAS, key, expires_after=tomorrow())
    assert found == stored(best[1])


def ends(der: bytes) -> datetime:
    return x509.load_der_x509_certificate(der).not_valid_after_utc


def test_saving_takes_the_place_of_earlier_ones(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    for lasts in (2 * DAY, 3 * DAY, WEEK):
        store.save(ALIAS, stored(issuer.issue(key.public_key(), lasts=lasts)), key)
        assert len(kept()) == 1
    assert ends(kept()[0][1]) > datetime.now(timezone.utc) + 6 * DAY


def test_a_later_one_stays(store: MyCertificateStore, key: NCryptKey, issuer: Issuer) -> None:
    later = stored(issuer.issue(key.public_key(), lasts=WEEK))
    store.save(ALIAS, later, key)
    store.save(ALIAS, stored(issuer.issue(key.public_key(), lasts=2 * DAY)), key)
    assert [der for _name, der in kept()] == [later.der]


def test_a_certificate_over_a_key_that_is_gone_is_removed(
    store: MyCertificateStore, key: NCryptKey, other_key: NCryptKey, issuer: Issuer
) -> None:
    add(issuer.issue(other_key.public_key()), name_of(), key)  # names a key that was replaced
    good = stored(issuer.issue(key.public_key(), lasts=2 * DAY))
    add(good.der, name_of(), key)
    assert store.load(ALIAS, key, expires_after=tomorrow()) == good
    assert [der for _name, der in kept()] == [good.der]


def test_an_orphan_that_ends_later_gives_way(
    store: MyCertificateStore, key: NCryptKey, other_key: NCryptKey, issuer: Issuer
) -> None:
    add(issuer.issue(other_key.public_key(), lasts=WEEK), name_of(), key)
    good = stored(issuer.issue(key.public_key(), lasts=2 * DAY))
    store.save(ALIAS, good, key)
    assert [der for _name, der in kept()] == [good.der]


def test_a_certificate_of_another_live_key_is_neither_used_nor_removed(
    store: MyCertificateStore, key: NCryptKey, other_key: NCryptKey, issuer: Issuer
) -> None:
    add(issuer.issue(other_key.public_key()), name_of(), other_key)
    assert store.load(ALIAS, key, expires_after=tomorrow()) is None
    assert len(kept()) == 1


@pytest.mark.parametrize("change", ["no key", "no guid", "no https", "cut short"])
def test_what_is_not_whole_is_passed_over(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer, change: str
) -> None:
    common_name = "not-a-guid" if change == "no guid" else CLIENT_ID
    name = name_of(endpoint="http://mtls.example" if change == "no https" else ENDPOINT)
    add(
        issuer.issue(key.public_key(), common_name=common_name),
        "MSAL|alias=msal-test#att=1" if change == "cut short" else name,
        None if change == "no key" else key,
    )
    assert store.load(ALIAS, key, expires_after=tomorrow()) is None
    assert len(kept()) == 1


def test_a_store_full_of_others_is_read(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    other = Issuer("msal-test other issuer")
    for number in range(30):
        add(other.issue(key.public_key(), common_name=f"other {number}"), "msal-test other", None)
    mine = stored(issuer.issue(key.public_key()))
    store.save(ALIAS, mine, key)
    assert store.load(ALIAS, key, expires_after=tomorrow()) == mine
    store.remove(ALIAS)
    assert len(kept()) == 30


def test_removing_forgets_one_alias(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    for alias in (ALIAS, "msal-test#att=0"):
        store.save(alias, stored(issuer.issue(key.public_key())), key)
    store.remove(ALIAS)
    assert [name for name, _der in kept()] == [name_of("msal-test#att=0")]


def test_it_lasts_beyond_the_process(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    store.save(ALIAS, stored(issuer.issue(key.public_key())), key)
    store.save("msal-test#att=0", stored(issuer.issue(key.public_key())), key)
    store.remove("msal-test#att=0")
    program = (
        "from msal_key_attestation._store.my_store import *\n"
        "with open_my_store(writable=False) as my, certificates_in(my) as found:\n"
        "    print([n for n in map(friendly_name, found) if 'msal-test' in n])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == str([name_of()]), done.stderr


@contextmanager
def mutex_held(alias: str) -> Iterator[None]:
    """Hold the alias's mutex, in another thread."""
    held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with named_mutex(mutex_name(alias), 10):
            held.set()
            may_end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        yield
    finally:
        may_end.set()
        thread.join(30)


def test_a_store_that_another_process_writes_is_left_after_300_ms(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    first = stored(issuer.issue(key.public_key(), lasts=2 * DAY))
    store.save(ALIAS, first, key)
    with mutex_held(ALIAS):
        begun = time.monotonic()
        store.save(ALIAS, stored(issuer.issue(key.public_key())), key)
        store.remove(ALIAS)
        assert 0.55 < time.monotonic() - begun < 5
        assert store.load(ALIAS, key, expires_after=tomorrow()) == first
    assert [der for _name, der in kept()] == [first.der]


@pytest.mark.parametrize("alias", ["", " ", "a|b", "a\nb", "a\0b"])
def test_an_alias_that_does_not_encode_is_not_kept(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer, alias: str
) -> None:
    store.save(alias, stored(issuer.issue(key.public_key())), key)
    assert store.load(alias, key, expires_after=tomorrow()) is None
    store.remove(alias)
    assert kept() == []


def test_a_key_of_this_process_alone_keeps_nothing_and_removes_nothing(
    store: MyCertificateStore, key: NCryptKey, issuer: Issuer
) -> None:
    store.save(ALIAS, stored(issuer.issue(key.public_key())), key)
    in_memory = rsa.generate_private_key(65537, 2048)
    store.save(ALIAS, stored(issuer.issue(in_memory.public_key())), in_memory)
    assert store.load(ALIAS, in_memory, expires_after=tomorrow()) is None
    assert len(kept()) == 1


def test_nothing_raises_and_all_is_logged(
    store: MyCertificateStore,
    key: NCryptKey,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.save(ALIAS, stored(b"no certificate"), key)
    assert "could not be written" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "msal_key_attestation"), monkeypatch.context() as broken:
        broken.setattr(my_store, "_PROVIDER", 4711)  # there is none of that number
        assert store.load(ALIAS, key, expires_after=tomorrow()) is None
        store.remove(ALIAS)
    assert caplog.text.count("CertOpenStore failed with") == 2


@pytest.mark.usefixtures("store")
def test_certificates_of_the_issuer_are_purged_once_the_key_is_new(key: NCryptKey) -> None:
    fragment = "managedidentitysnissuer.login.microsoft.com"
    add(Issuer(f"msal-test CN of {fragment.upper()}").issue(key.public_key()), "msal-test a", key)
    add(Issuer("msal-test another").issue(key.public_key()), "msal-test b", key)
    purge_orphans()
    assert [name for name, _der in kept()] == ["msal-test b"]


@pytest.mark.parametrize(
    ("value", "off"),
    [("1", True), ("true", True), ("TRUE", True), ("0", False), ("false", False), ("", False)],
)
def test_the_environment_switches_it_off(
    monkeypatch: pytest.MonkeyPatch, value: str, off: bool
) -> None:
    monkeypatch.setenv("MSAL_MI_DISABLE_PERSISTENT_CERT_CACHE", value)
    platform = create_platform()
    os.environ.pop("MSAL_MI_DISABLE_PERSISTENT_CERT_CACHE")
    assert (platform.certificate_store is None) is off
