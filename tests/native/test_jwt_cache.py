"""How long a JWT is kept, and how often one is made."""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING

import pytest

from msal_key_attestation._attestation.jwt_cache import JwtCache, expiry

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_000_000.0


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


class Maker:
    """Counts what it makes; each JWT differs from the one before."""

    def __init__(self, lasts: float = 3600) -> None:
        self.made = 0
        self.lasts = lasts

    def __call__(self) -> str:
        self.made += 1
        return jwt({"exp": NOW + self.lasts, "n": self.made})


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_it_is_served_until_five_minutes_before_its_end() -> None:
    clock, make = Clock(), Maker(lasts=3600)
    cache = JwtCache(clock)
    first = cache.get("key", make)
    clock.now += 3600 - 301
    assert cache.get("key", make) == first
    clock.now += 1
    assert cache.get("key", make) != first
    assert make.made == 2


def test_keys_share_nothing() -> None:
    cache, make = JwtCache(lambda: NOW), Maker()
    assert cache.get(("a", None), make) != cache.get(("a", "narrowed"), make)


def test_fresh_replaces_what_is_kept() -> None:
    cache, make = JwtCache(lambda: NOW), Maker()
    first = cache.get("key", make)
    second = cache.get("key", make, fresh=True)
    assert second != first
    assert cache.get("key", make) == second


def test_a_failure_is_not_kept() -> None:
    cache, make = JwtCache(lambda: NOW), Maker()

    def fail() -> str:
        raise RuntimeError("no")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            cache.get("key", fail)
    assert cache.get("key", make)


@pytest.mark.parametrize(
    "text",
    [
        "opaque",
        "a.b",
        "e30.!!!.x",
        "e30.bm90IGpzb24.x",
        jwt([]),
        jwt({}),
        jwt({"exp": "1"}),
        jwt({"exp": True}),
        jwt({"exp": None}),
        "e30." + base64.urlsafe_b64encode(b'{"exp": 1e999}').rstrip(b"=").decode() + ".x",
        "e30." + base64.urlsafe_b64encode(b"[" * 100_000).rstrip(b"=").decode() + ".x",
    ],
)
def test_without_a_readable_end_it_is_used_once(text: str) -> None:
    assert expiry(text) is None
    cache, make = JwtCache(lambda: NOW), Maker()

    def make_text() -> str:
        make()
        return text

    assert [cache.get("key", make_text) for _ in range(2)] == [text, text]
    assert make.made == 2


def in_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)


@pytest.mark.parametrize("fresh", [False, True])
def test_however_many_ask_at_once_it_is_made_once(fresh: bool) -> None:
    cache, make, asked, may_end = JwtCache(lambda: NOW), Maker(), [], threading.Event()

    def slow() -> str:
        may_end.wait(30)
        return make()

    def ask() -> None:
        asked.append(cache.get("key", slow, fresh=fresh))

    ender = threading.Timer(0.3, may_end.set)
    ender.start()
    in_threads(20, ask)
    assert len(asked) == 20
    assert len(set(asked)) == 1
    assert make.made == 1


def test_a_failure_is_shared_by_those_who_waited_for_it() -> None:
    cache, calls, failures, may_end = JwtCache(lambda: NOW), [], [], threading.Event()

    def fail() -> str:
        calls.append(1)
        may_end.wait(30)
        raise RuntimeError("no")

    def ask() -> None:
        with pytest.raises(RuntimeError) as caught:
            cache.get("key", fail)
        failures.append(caught.value)

    threading.Timer(0.3, may_end.set).start()
    in_threads(10, ask)
    assert len(failures) == 10
    assert len(calls) == 1


def test_an_interruption_is_nobody_elses() -> None:
    cache, make, interrupted, waiting = JwtCache(lambda: NOW), Maker(), [], threading.Event()

    def interrupt() -> str:
        waiting.wait(30)
        raise KeyboardInterrupt

    def ask_first() -> None:
        try:
            cache.get("key", interrupt)
        except KeyboardInterrupt:
            interrupted.append(1)

    first = threading.Thread(target=ask_first)
    first.start()
    threading.Timer(0.3, waiting.set).start()
    assert cache.get("key", make)  # waits for the first, then does it itself
    first.join(timeout=30)
    assert interrupted == [1]
    assert make.made == 1


def test_what_has_ended_is_not_kept_for_ever() -> None:
    clock = Clock()
    cache = JwtCache(clock)
    for number in range(100):
        cache.get(number, Maker(lasts=clock.now - NOW + 600))
        clock.now += 3600
    assert len(cache._kept) <= 1
