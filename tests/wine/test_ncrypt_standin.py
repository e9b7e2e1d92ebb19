"""The stand-in ncrypt.dll behaves as tests of the product rely on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from winapi import (
    ISOLATED,
    KEYGUARD,
    NTE_BAD_FLAGS,
    NTE_BAD_KEY_STATE,
    NTE_BAD_KEYSET,
    NTE_EXISTS,
    NTE_INVALID_HANDLE,
    NTE_NOT_FOUND,
    NTE_NOT_SUPPORTED,
    OVERWRITE,
    PER_BOOT,
    PKCS1,
    PLATFORM,
    PSS,
    SILENT,
    Failed,
    Key,
    NCrypt,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from standins import Standins

NAME = "a key's name, with ümlaut"
HASHES = {"SHA256": hashes.SHA256(), "SHA384": hashes.SHA384(), "SHA512": hashes.SHA512()}
OPEN_IN_A_PROCESS = f"""
import winapi
ncrypt = winapi.NCrypt()
key = ncrypt.open(ncrypt.provider(), {NAME!r})
print(key.sign(b"message").hex(), format(key.public_key().public_numbers().n, "x"))
"""


@pytest.fixture
def ncrypt(standins: Standins) -> NCrypt:
    assert standins.state.exists()
    return NCrypt()


@pytest.fixture
def ksp(ncrypt: NCrypt) -> Iterator[int]:
    handle = ncrypt.provider()
    yield handle
    ncrypt.free(handle)


def status_of(function: Callable[[], object]) -> int:
    with pytest.raises(Failed) as caught:
        function()
    return caught.value.status


def run_in_a_process(code: str) -> str:
    completed = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return completed.stdout.decode()


@pytest.mark.parametrize("algorithm", HASHES)
@pytest.mark.parametrize("flags", [PSS, PKCS1])
def test_signatures_verify(ncrypt: NCrypt, ksp: int, algorithm: str, flags: int) -> None:
    used = HASHES[algorithm]
    schemes = {
        PSS: padding.PSS(padding.MGF1(used), used.digest_size),
        PKCS1: padding.PKCS1v15(),
    }
    with ncrypt.create(ksp, NAME) as key:
        signature = key.sign(b"message", flags, algorithm)
        key.public_key().verify(signature, b"message", schemes[flags], used)


def test_salts_are_as_long_as_asked_for_or_refused(ncrypt: NCrypt, ksp: int) -> None:
    with ncrypt.create(ksp, NAME) as key:
        signature = key.sign(b"message", salt=100)
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 100)
        key.public_key().verify(signature, b"message", pss, hashes.SHA256())
        assert status_of(lambda: key.sign(b"message", salt=20)) == NTE_NOT_SUPPORTED


def test_a_key_says_what_it_is(ncrypt: NCrypt, ksp: int) -> None:
    with ncrypt.create(ksp, NAME) as key:
        assert key.number("Virtual Iso") == 1
        assert key.number("Length") == 2048
        assert key.number("Export Policy") == 0
        assert key.text("Name") == NAME
        assert key.text("Algorithm Name") == "RSA"
        assert status_of(lambda: key.number("No Such Property")) == NTE_NOT_SUPPORTED
        assert ncrypt.lib.NCryptIsKeyHandle(key.handle)
        assert not ncrypt.lib.NCryptIsKeyHandle(ksp)


def test_the_length_is_settable_until_the_key_is_finalized(ncrypt: NCrypt, ksp: int) -> None:
    with ncrypt.begin(ksp, NAME) as key:
        key.set_number("Length", 3072)
        assert status_of(lambda: key.sign(b"")) == NTE_BAD_KEY_STATE
        ncrypt.call("NCryptFinalizeKey", key.handle, 0)
        assert key.public_key().key_size == 3072
        assert status_of(lambda: key.set_number("Length", 2048)) == NTE_BAD_KEY_STATE


@pytest.mark.parametrize(
    "blob_type", ["RSAPRIVATEBLOB", "RSAFULLPRIVATEBLOB", "PKCS8_PRIVATEKEY", "CAPIPRIVATEBLOB"]
)
def test_nothing_private_is_exported(
    ncrypt: NCrypt, ksp: int, standins: Standins, blob_type: str
) -> None:
    with ncrypt.create(ksp, NAME) as key:
        assert status_of(lambda: key.export(blob_type)) == NTE_NOT_SUPPORTED
    assert len(standins.calls("ncrypt", "export.private")) == 1


def test_a_key_lasts_across_handles_and_processes(ncrypt: NCrypt, ksp: int) -> None:
    with ncrypt.create(ksp, NAME) as key:
        public_key = key.public_key()
    with ncrypt.open(ksp, NAME) as key:
        assert key.public_key() == public_key
    signature, modulus = run_in_a_process(OPEN_IN_A_PROCESS).split()
    assert int(modulus, 16) == public_key.public_numbers().n
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    public_key.verify(bytes.fromhex(signature), b"message", pss, hashes.SHA256())


def test_a_key_that_was_never_finalized_is_not_there(ncrypt: NCrypt, ksp: int) -> None:
    ncrypt.begin(ksp, NAME).__exit__()
    assert status_of(lambda: ncrypt.open(ksp, NAME)) == NTE_BAD_KEYSET


def test_existing_keys_are_overwritten_only_on_request(
    ncrypt: NCrypt, ksp: int, standins: Standins
) -> None:
    with ncrypt.create(ksp, NAME) as old:
        assert status_of(lambda: ncrypt.create(ksp, NAME)) == NTE_EXISTS
        with ncrypt.create(ksp, NAME, KEYGUARD | OVERWRITE) as new:
            assert new.public_key() != old.public_key()
            old.sign(b"an open handle keeps its material")
            with ncrypt.open(ksp, NAME) as reopened:
                assert reopened.public_key() == new.public_key()
    assert standins.count("ncrypt", "created") == 1
    assert standins.count("ncrypt", "overwritten") == 1


def test_the_second_of_two_creators_finds_out_when_finalizing(ncrypt: NCrypt, ksp: int) -> None:
    with ncrypt.begin(ksp, NAME) as first, ncrypt.begin(ksp, NAME) as second:
        ncrypt.call("NCryptFinalizeKey", first.handle, 0)
        finalize = lambda: ncrypt.call("NCryptFinalizeKey", second.handle, 0)  # noqa: E731 - as an argument
        assert status_of(finalize) == NTE_EXISTS


def test_providers_do_not_share_keys(ncrypt: NCrypt, ksp: int) -> None:
    tpm = ncrypt.provider(PLATFORM)
    with ncrypt.create(tpm, NAME, SILENT) as key:
        key.sign(b"message")
        assert status_of(lambda: key.number("Virtual Iso")) == NTE_NOT_FOUND
    assert status_of(lambda: ncrypt.open(ksp, NAME)) == NTE_BAD_KEYSET
    assert status_of(lambda: ncrypt.create(tpm, NAME, KEYGUARD)) == NTE_BAD_FLAGS
    ncrypt.free(tpm)


def test_a_deleted_key_is_gone(ncrypt: NCrypt, ksp: int) -> None:
    key = ncrypt.create(ksp, NAME)
    ncrypt.call("NCryptDeleteKey", key.handle, 0)
    assert status_of(lambda: ncrypt.open(ksp, NAME)) == NTE_BAD_KEYSET
    assert status_of(lambda: key.sign(b"")) == NTE_INVALID_HANDLE


def test_hosts_do_not_share_keys(
    ncrypt: NCrypt, ksp: int, monkeypatch: pytest.MonkeyPatch, standins: Standins
) -> None:
    ncrypt.create(ksp, NAME).__exit__()
    monkeypatch.setenv("STANDIN_STATE", str(standins.state / "another"))
    assert status_of(lambda: ncrypt.open(ksp, NAME)) == NTE_BAD_KEYSET


def test_unknown_flags_are_refused(ncrypt: NCrypt, ksp: int) -> None:
    assert status_of(lambda: ncrypt.create(ksp, NAME, 0x8)) == NTE_BAD_FLAGS
    assert status_of(lambda: ncrypt.open(ksp, NAME, ISOLATED)) == NTE_BAD_FLAGS


@pytest.mark.parametrize("flags", [KEYGUARD, ISOLATED, PER_BOOT])
def test_virtualization_off(ncrypt: NCrypt, ksp: int, standins: Standins, flags: int) -> None:
    standins.script("ncrypt", isolation="off")
    assert status_of(lambda: ncrypt.create(ksp, NAME, flags)) == 0x80890014
    standins.script("ncrypt", isolation="off", **{"isolation.status": NTE_NOT_SUPPORTED})
    assert status_of(lambda: ncrypt.create(ksp, NAME, flags)) == NTE_NOT_SUPPORTED
    ncrypt.create(ksp, NAME, SILENT).__exit__()


def test_isolation_silently_missing(ncrypt: NCrypt, ksp: int, standins: Standins) -> None:
    standins.script("ncrypt", isolation="missing")
    with ncrypt.create(ksp, NAME) as key:
        assert status_of(lambda: key.number("Virtual Iso")) == NTE_NOT_FOUND
    standins.script("ncrypt", isolation="zero")
    with ncrypt.create(ksp, "another") as key:
        assert key.number("Virtual Iso") == 0


def test_a_reboot_takes_the_material_and_leaves_the_key(
    ncrypt: NCrypt, ksp: int, standins: Standins
) -> None:
    ncrypt.create(ksp, NAME).__exit__()
    standins.script("ncrypt", boot=1)
    with ncrypt.open(ksp, NAME) as key:
        assert status_of(lambda: key.sign(b"")) == 0x8009003A
    standins.script("ncrypt", boot=1, **{"dead.open": NTE_BAD_KEYSET})
    assert status_of(lambda: ncrypt.open(ksp, NAME)) == NTE_BAD_KEYSET
    with ncrypt.create(ksp, NAME, KEYGUARD | OVERWRITE) as key:
        key.sign(b"made in this boot")


@pytest.mark.parametrize(
    ("function", "attempt"),
    [
        ("open", lambda ncrypt, ksp: ncrypt.open(ksp, NAME)),
        ("create", lambda ncrypt, ksp: ncrypt.create(ksp, NAME, KEYGUARD | OVERWRITE)),
        ("finalize", lambda ncrypt, ksp: ncrypt.create(ksp, NAME, KEYGUARD | OVERWRITE)),
        ("sign", lambda ncrypt, ksp: ncrypt.open(ksp, NAME).sign(b"")),
        ("export", lambda ncrypt, ksp: ncrypt.open(ksp, NAME).public_key()),
        ("provider", lambda ncrypt, _: ncrypt.provider()),
        ("get", lambda ncrypt, ksp: ncrypt.open(ksp, NAME).number("Length")),
    ],
)
def test_any_function_fails_as_scripted_and_then_no_more(
    ncrypt: NCrypt,
    ksp: int,
    standins: Standins,
    function: str,
    attempt: Callable[[NCrypt, int], object],
) -> None:
    ncrypt.create(ksp, NAME).__exit__()
    standins.script("ncrypt", **{f"{function}.status": [0x80090010, 0x800705AA, 0]})
    assert status_of(lambda: attempt(ncrypt, ksp)) == 0x80090010
    assert status_of(lambda: attempt(ncrypt, ksp)) == 0x800705AA
    attempt(ncrypt, ksp)
    attempt(ncrypt, ksp)
    statuses = [call.status for call in standins.calls("ncrypt", function)]
    assert [status for status in statuses if status] == [0x80090010, 0x800705AA]


def test_one_provider_fails_and_the_other_does_not(ncrypt: NCrypt, standins: Standins) -> None:
    standins.script("ncrypt", **{"tpm.provider.status": 0x80090030})
    assert status_of(lambda: ncrypt.provider(PLATFORM)) == 0x80090030
    ncrypt.free(ncrypt.provider())


def test_slow_functions_do_not_hold_up_others(ncrypt: NCrypt, ksp: int, standins: Standins) -> None:
    with ncrypt.create(ksp, NAME) as key:
        standins.script("ncrypt", **{"sign.delay": 300})
        started = time.monotonic()
        signers = [threading.Thread(target=key.sign, args=(b"",)) for _ in range(4)]
        for one in signers:
            one.start()
        for one in signers:
            one.join()
        assert (
            0.3 <= time.monotonic() - started < 0.9
        )  # two calls each would be 0.6, were both slow


def test_handles_are_counted(ncrypt: NCrypt, standins: Standins) -> None:
    before = ncrypt.lib.StandinOpenHandles()
    provider = ncrypt.provider()
    key = ncrypt.create(provider, NAME)
    assert ncrypt.lib.StandinOpenHandles() == before + 2
    assert standins.open_handles() == {os.getpid(): 2}
    ncrypt.free(key.handle)
    ncrypt.free(provider)
    assert ncrypt.lib.StandinOpenHandles() == before
    assert standins.open_handles() == {os.getpid(): 0}
    assert status_of(lambda: ncrypt.free(provider)) == NTE_INVALID_HANDLE


def test_a_freed_key_is_let_go(ncrypt: NCrypt, ksp: int) -> None:
    advapi32 = load("advapi32.dll")
    key = ncrypt.create(ksp, NAME)
    ncrypt.free(key.handle)
    assert not advapi32.CryptReleaseContext(key.handle, 0)  # which it also is, and was done


def test_logs_of_all_processes_count(ncrypt: NCrypt, ksp: int, standins: Standins) -> None:
    ncrypt.create(ksp, NAME).__exit__()
    run_in_a_process(OPEN_IN_A_PROCESS)
    (call,) = standins.calls("ncrypt", "sign")
    assert call.pid != os.getpid()
    assert call.fields["key"] == NAME
    assert standins.count("ncrypt", "open") == 1


def test_threads_create_one_key(ncrypt: NCrypt, ksp: int, standins: Standins) -> None:
    outcomes: list[int | Key] = []

    def create() -> None:
        try:
            outcomes.append(ncrypt.create(ksp, NAME))
        except Failed as failed:
            outcomes.append(failed.status)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome == NTE_EXISTS for outcome in outcomes) == 5
    assert standins.count("ncrypt", "created") == 1
