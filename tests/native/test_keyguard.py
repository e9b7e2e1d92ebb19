"""Opening, proving and creating the key, on hosts that behave and on hosts that do not."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hosts import has_standin, is_wine

from msal_key_attestation import create_platform, keyguard
from msal_key_attestation._keys import storage
from msal_key_attestation._keys.mutexes import named_mutex, user_sid
from msal_key_attestation._keys.ncrypt_key import KeyGuardKey, NCryptKey
from msal_key_attestation.keystore import WindowsKeyStore
from msal_msi_v2.strength import MtlsBindingStrength

if TYPE_CHECKING:
    from pathlib import Path

    from standins import Standins

    from msal_msi_v2.platforms import BindingKey

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")

SOFTWARE, KEYGUARD = MtlsBindingStrength.SOFTWARE, MtlsBindingStrength.KEYGUARD
NO_TPM = {"tpm.provider.status": 0x80090030}


class Host:
    """A host of the test's own: its stand-ins, its key store, and how often the key was renewed."""

    def __init__(self, standins: Standins) -> None:
        self.standins = standins
        self.renewed = 0

    def script(self, **names: Any) -> None:
        self.standins.script("ncrypt", **names)

    def store(self, *, lock_timeout: float = 10) -> WindowsKeyStore:
        return WindowsKeyStore(on_created=self._count, lock_timeout=lock_timeout)

    def get_key(self) -> BindingKey:
        """Return the key as a new process would get it."""
        return self.store().get_key()

    def made(self) -> tuple[int, int]:
        """Return how many keys were created, and how many overwritten."""
        count = self.standins.count
        return count("ncrypt", "created"), count("ncrypt", "overwritten")

    def _count(self) -> None:
        self.renewed += 1


@pytest.fixture
def host(standins: Standins) -> Host:
    return Host(standins)


def modulus(key: BindingKey) -> int:
    return key.private_key.public_key().public_numbers().n


def test_the_first_process_makes_a_keyguard_key_and_the_next_opens_it(host: Host) -> None:
    first, second = host.get_key(), host.get_key()
    assert first.strength is second.strength is KEYGUARD
    assert first.unavailable == ()
    assert modulus(first) == modulus(second)
    assert (host.made(), host.renewed) == ((1, 0), 1)
    (created,) = host.standins.calls("ncrypt", "created")
    assert created.fields["key"] == "KeyGuardRSAKey"
    assert int(created.fields["flags"], 16) == 0x00060000
    properties = {
        (call.fields["property"], call.fields["value"])
        for call in host.standins.calls("ncrypt", "set")
    }
    assert properties == {("Length", "2048"), ("Export Policy", "0")}


def test_a_store_returns_the_same_key_at_every_call(host: Host) -> None:
    store = host.store()
    assert store.get_key() is store.get_key()
    assert host.standins.count("ncrypt", "open") == 0
    assert host.standins.count("ncrypt", "create") == 1


def test_many_threads_make_one_key(host: Host) -> None:
    host.script(**{"create.delay": 200})
    store, keys = host.store(), list[int]()
    threads = [
        threading.Thread(target=lambda: keys.append(modulus(store.get_key()))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(keys) == 12
    assert len(set(keys)) == 1
    assert host.made() == (1, 0)


@pytest.mark.parametrize(
    "dead",
    [
        {},
        {"dead.sign": 0x80090020},
        {"dead.sign": 0x80090016},
        {"dead.open": 0x8009003A},
        {"dead.export": 0x8009003A},
    ],
)
def test_after_a_reboot_the_dead_key_is_overwritten(host: Host, dead: dict[str, int]) -> None:
    before = host.get_key()
    host.script(boot=1, **dead)
    after = host.get_key()
    assert after.strength is KEYGUARD
    assert modulus(after) != modulus(before)
    assert (host.made(), host.renewed) == ((1, 1), 2)


@pytest.mark.parametrize(
    "status", [0x80090010, 0x8009000E, 0x80070005, 0x800706BA, 0x80090029, 0x80090039, 0x80890014]
)
@pytest.mark.parametrize("function", ["open", "sign"])
def test_a_key_that_may_be_well_is_not_overwritten(host: Host, function: str, status: int) -> None:
    before = host.get_key()
    host.script(**{f"ksp.{function}.status": status}, **NO_TPM)
    denied = host.get_key()
    assert denied.strength is SOFTWARE
    assert f"0x{status:08X}" in denied.unavailable[0]
    host.script()
    assert modulus(host.get_key()) == modulus(before)
    assert host.made() == (1, 0)


def test_a_passing_failure_to_open_says_nothing_of_the_key(host: Host) -> None:
    host.get_key()
    host.script(**{"ksp.open.status": 0x80090020}, **NO_TPM)
    assert "NCryptOpenKey" in host.get_key().unavailable[0]
    assert host.made() == (1, 0)


def test_a_key_that_dies_in_use_is_made_anew_at_the_next_call(host: Host) -> None:
    store = host.store()
    first = store.get_key()
    host.script(boot=1)
    with pytest.raises(ValueError, match="NCryptSignHash"):
        sign(first)
    second = store.get_key()
    assert second is not first
    sign(second)
    assert host.made() == (1, 1)
    assert store.get_key() is second


def test_a_failure_that_passes_does_not_cost_the_key(host: Host) -> None:
    store = host.store()
    first = store.get_key()
    host.script(**{"sign.status": 0x8009000E})
    with pytest.raises(ValueError, match="0x8009000E"):
        sign(first)
    host.script()
    assert store.get_key() is first
    sign(first)


def sign(key: BindingKey) -> bytes:
    return key.private_key.sign(
        b"data", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )


def test_a_key_replaced_behind_our_back_is_the_key_of_the_next_process(host: Host) -> None:
    before = host.get_key()
    recipe = keyguard.KEYGUARD
    storage.create_key(recipe.provider, recipe.name, recipe.flags | 0x80).close()
    after = host.get_key()
    assert after.strength is KEYGUARD
    assert modulus(after) != modulus(before)
    assert host.made() == (1, 1)  # the one who replaced it


def test_a_signature_of_another_key_is_not_given_out(host: Host) -> None:
    key = host.get_key().private_key
    assert isinstance(key, KeyGuardKey)
    other = host.get_key().private_key
    key._public_key = rsa.generate_private_key(65537, 2048).public_key()
    with pytest.raises(ValueError, match="0x80090006"):
        key.check_alive()
    assert key.is_dead
    assert other is not key


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"isolation": "off"}, "0x80890014"),
        ({"isolation": "off", "isolation.status": 0x80090029}, "0x80090029"),
        ({"ksp.finalize.status": 0x80090020}, "0x80090020"),
        ({"isolation": "missing"}, "without isolating"),
        ({"isolation": "zero"}, "without isolating"),
        ({"ksp.provider.status": 0x8009001E}, "0x8009001E"),
    ],
)
def test_without_virtualization_the_tpm_keeps_the_key(
    host: Host, script: dict[str, Any], words: str
) -> None:
    host.script(**script)
    key = host.get_key()
    assert key.strength is SOFTWARE
    assert "HardwareRSAKey" in repr(key.private_key)
    assert len(key.unavailable) == 1
    assert key.unavailable[0].startswith("KeyGuard: ")
    assert words in key.unavailable[0]
    assert modulus(host.get_key()) == modulus(key)


def test_a_key_that_came_out_unisolated_does_not_stay(host: Host) -> None:
    host.script(isolation="missing", **NO_TPM)
    assert host.get_key().strength is SOFTWARE
    host.script()
    assert host.get_key().strength is KEYGUARD
    assert host.made()[1] == 0


def test_an_unisolated_key_of_others_is_left_alone(host: Host) -> None:
    recipe = keyguard.KEYGUARD
    storage.create_key(recipe.provider, recipe.name, 0).close()
    host.script(**NO_TPM)
    key = host.get_key()
    assert "does not isolate" in key.unavailable[0]
    assert host.made() == (1, 0)


def test_without_a_tpm_the_key_is_in_memory_and_both_reasons_are_kept(host: Host) -> None:
    host.script(isolation="off", **NO_TPM)
    key = host.get_key()
    assert key.strength is SOFTWARE
    assert not isinstance(key.private_key, NCryptKey)
    assert [reason.partition(":")[0] for reason in key.unavailable] == ["KeyGuard", "TPM"]
    assert "0x80890014" in key.unavailable[0]
    assert "0x80090030" in key.unavailable[1]
    assert host.renewed == 0


def test_a_key_made_without_our_lock_is_opened_not_overwritten(host: Host) -> None:
    """NTE_EXISTS: someone else made it between our look and our creation."""
    theirs = host.get_key()
    host.script(**{"open.status": [0x80090016, 0x80090016, 0]})
    assert modulus(host.get_key()) == modulus(theirs)
    (refused,) = [call for call in host.standins.calls("ncrypt", "create") if call.status]
    assert refused.status == 0x8009000F
    assert host.made() == (1, 0)


def test_a_dead_key_made_without_our_lock_is_overwritten(host: Host) -> None:
    host.get_key()
    host.script(boot=1, **{"open.status": [0x80090016, 0x80090016, 0]})
    assert host.get_key().strength is KEYGUARD
    assert host.made() == (1, 1)


class Locked:
    """Another thread that holds the creation lock."""

    def __init__(self) -> None:
        self._held, self._may_end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with named_mutex(f"MSAL_MI_K_{user_sid()}", 10) as held:
            assert held
            self._held.set()
            self._may_end.wait(60)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._held.wait(30)

    def __exit__(self, *_exc: object) -> None:
        self._may_end.set()
        self._thread.join(30)


def test_no_lock_in_time_is_an_error_that_may_pass(host: Host) -> None:
    store = host.store(lock_timeout=0.2)
    with Locked(), pytest.raises(ValueError, match="held the lock") as caught:
        store.get_key()
    assert getattr(caught.value, "is_retryable", False)
    assert host.made() == (0, 0)
    assert store.get_key().strength is KEYGUARD


def test_no_lock_in_time_does_not_matter_once_there_is_a_key(host: Host) -> None:
    theirs = host.get_key()
    host.script(**{"open.status": [0x80090016, 0]})
    with Locked():
        assert modulus(host.store(lock_timeout=0.2).get_key()) == modulus(theirs)
    assert host.made() == (1, 0)


PROGRAM = """
import pathlib, sys, time
from msal_key_attestation.keystore import WindowsKeyStore
ready, go = map(pathlib.Path, sys.argv[1:])
store = WindowsKeyStore(on_created=lambda: None)
ready.write_text("ready")
while not go.exists():
    time.sleep(0.01)
key = store.get_key()
print(key.strength.name, key.private_key.public_key().public_numbers().n)
"""


@pytest.mark.parametrize("reboots", [0, 1])
def test_two_processes_make_one_key(host: Host, tmp_path: Path, reboots: int) -> None:
    if reboots:
        host.get_key()
    host.script(boot=reboots, **{"create.delay": 300, "finalize.delay": 700, "open.delay": 50})
    go, processes = tmp_path / "go", []
    for number in range(2):
        ready = tmp_path / f"ready-{number}"
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(ready), str(go)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_for(ready)
    go.write_text("go")
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert outputs[0] == outputs[1]
    assert outputs[0][0] == b"KEYGUARD"
    assert host.made() == (1, reboots)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_plain_wine_has_no_keyguard_and_says_so() -> None:
    if has_standin() or not is_wine():
        pytest.skip("about Wine's own ncrypt.dll")
    platform = create_platform()
    key = platform.key_store.get_key()
    assert key.strength is SOFTWARE
    assert [reason.partition(":")[0] for reason in key.unavailable] == ["KeyGuard", "TPM"]
    assert platform.transport is None
    sign(key)
