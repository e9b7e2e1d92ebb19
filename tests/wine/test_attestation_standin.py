"""The stand-in AttestationClientLib.dll behaves as tests of the product rely on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import jwt
import pytest
import standins as makers
from winapi import Key, NCrypt, ffi, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from remote import RemoteEmulator
    from standins import Standins

CLIENT_ID = b"3c6e0b8a-9c15-4f2a-8d7e-5b4a39281706"


class Line(NamedTuple):
    level: int
    thread: int
    message: str


def read(text: Any) -> bytes:
    """Return a C string."""
    content = ffi.string(text)
    assert isinstance(content, bytes)
    return content


class Attestation:
    """The library, with a callback that keeps what it is told.

    Attributes:
        lines: What it was told.
        slowness: How long a call of it takes, in seconds.
        calls_begun: How often it was called.
    """

    def __init__(self) -> None:
        self.lib = load(makers.attestation_library())
        self.lines: list[Line] = []
        self.slowness = 0.0
        self.calls_begun = 0
        self._callback = ffi.callback("LogCallback", self._log)
        self._info = ffi.new("AttestationLogInfo *", {"log": self._callback})

    def _log(
        self, _context: Any, _tag: Any, level: int, _where: Any, _line: int, text: Any
    ) -> None:
        self.calls_begun += 1
        time.sleep(self.slowness)
        self.lines.append(Line(level, threading.get_ident(), read(text).decode()))

    def init(self) -> int:
        result: int = self.lib.InitAttestationLib(self._info)
        return result

    def attest(self, endpoint: bytes, key: Key, payload: Any = b"{}") -> tuple[int, bytes | None]:
        token = ffi.new("char **")
        result = self.lib.AttestKeyGuardImportKey(
            endpoint, b"", payload, key.handle, token, CLIENT_ID
        )
        if token[0] == ffi.NULL:
            return result, None
        text = read(token[0])
        self.lib.FreeAttestationToken(token[0])
        return result, text


@pytest.fixture
def key(standins: Standins) -> Iterator[Key]:
    assert standins.state.exists()
    ncrypt = NCrypt()
    provider = ncrypt.provider()
    with ncrypt.create(provider, "key") as made:
        yield made
    ncrypt.free(provider)


@pytest.fixture
def library(standins: Standins) -> Iterator[Attestation]:
    assert standins.state.exists()
    library = Attestation()
    assert library.init() == 0
    yield library
    library.lib.UninitAttestationLib()


@pytest.fixture
def endpoint(emulator: RemoteEmulator) -> bytes:
    url: str = emulator.attestation_plain_url
    return url.encode()


def test_the_emulator_attests_the_key(
    library: Attestation, key: Key, emulator: RemoteEmulator, endpoint: bytes, standins: Standins
) -> None:
    result, token = library.attest(endpoint + b"/", key)
    assert (result, library.lib.StandinOutstandingTokens()) == (0, 0)
    assert token is not None
    claims = jwt.decode(token.decode(), options={"verify_signature": False})
    (attested,) = claims["x-ms-runtime"]["keys"]
    modulus = int.from_bytes(jwt.utils.base64url_decode(attested["n"]), "big")
    assert modulus == key.public_key().public_numbers().n
    (request,) = emulator.requests_to("attestation")
    assert (request.status, request.query) == (200, {"api-version": "2020-10-01"})
    assert b'"proof"' in request.body
    (call,) = standins.calls("attestation", "attest")
    assert call.fields["client_payload"] == "{}"
    assert token.decode() not in str(standins.calls("attestation"))


def test_without_init_nothing_works(standins: Standins, key: Key, endpoint: bytes) -> None:
    assert Attestation().attest(endpoint, key) == (-1, None)
    standins.script("attestation", **{"init.result": -35})
    assert Attestation().init() == -35


def test_a_null_payload_is_refused(library: Attestation, key: Key, endpoint: bytes) -> None:
    assert library.attest(endpoint, key, ffi.NULL) == (-8, None)


def test_what_the_service_says_becomes_a_code(
    library: Attestation, key: Key, emulator: RemoteEmulator, endpoint: bytes
) -> None:
    from msal_msi_v2.emulator import Status  # noqa: PLC0415 - beside its only use

    for status, code in {400: -6, 401: -6, 500: -3}.items():
        emulator.faults.add("attestation", Status(status))
        assert library.attest(endpoint, key) == (code, None)
    emulator.faults.add("attestation", Status(200, body={"no": "jwt"}))
    assert library.attest(endpoint, key) == (-2, None)
    assert library.attest(b"https://localhost:1", key) == (-3, None)
    assert library.attest(b"http://127.0.0.1:9", key) == (-3, None)


def test_a_key_that_cannot_sign(
    library: Attestation, key: Key, endpoint: bytes, standins: Standins
) -> None:
    standins.script("ncrypt", boot=1)
    assert library.attest(endpoint, key) == (-12, None)


@pytest.mark.parametrize("code", [-1, -14, -26, -35, 7])
def test_any_code(
    library: Attestation, key: Key, endpoint: bytes, standins: Standins, code: int
) -> None:
    standins.script("attestation", **{"attest.result": [code, 0]})
    assert library.attest(endpoint, key) == (code, None)
    assert library.attest(endpoint, key)[0] == 0


@pytest.mark.parametrize(
    ("mode", "token"), [("null", None), ("empty", b""), ("blank", b" \t\r\n"), ("e.y.J", b"e.y.J")]
)
def test_success_with_any_token(
    library: Attestation, key: Key, standins: Standins, mode: str, token: bytes | None
) -> None:
    standins.script("attestation", **{"attest.token": mode})
    assert library.attest(b"http://127.0.0.1:9", key) == (0, token)


def test_slow(library: Attestation, key: Key, standins: Standins) -> None:
    standins.script("attestation", **{"attest.delay": 200, "attest.result": -1})
    started = time.monotonic()
    library.attest(b"http://127.0.0.1:9", key)
    assert time.monotonic() - started >= 0.15  # its clock is coarse


def test_the_callback_on_every_level_and_thread(
    library: Attestation, key: Key, standins: Standins
) -> None:
    talk: dict[str, int | str] = {"log.levels": 1, "log.thread": 1, "log.message": "a message"}
    standins.script("attestation", **{"attest.result": -1}, **talk)
    library.attest(b"http://127.0.0.1:9", key)
    assert [line.level for line in library.lines] == [0, 1, 2, 3, 2]
    assert {line.message for line in library.lines} == {"a message"}
    *here, elsewhere = (line.thread for line in library.lines)
    assert set(here) == {threading.get_ident()}
    assert elsewhere != threading.get_ident()


def test_the_callback_after_the_return(standins: Standins, key: Key) -> None:
    library = Attestation()
    library.slowness = 0.05
    library.init()
    standins.script("attestation", **{"attest.result": -1, "log.late": 1})
    library.attest(b"http://127.0.0.1:9", key)
    deadline = time.monotonic() + 10
    while library.calls_begun < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    library.lib.UninitAttestationLib()
    assert library.calls_begun == len(library.lines)  # none is under way any more
    time.sleep(0.1)
    assert library.calls_begun == len(library.lines)


def test_calls_and_tokens_are_counted(library: Attestation, key: Key, standins: Standins) -> None:
    standins.script("attestation", **{"attest.token": "text"})
    token = ffi.new("char **")
    library.lib.AttestKeyGuardImportKey(b"http://x", b"", b"{}", key.handle, token, CLIENT_ID)
    assert library.lib.StandinOutstandingTokens() == 1
    library.lib.FreeAttestationToken(token[0])
    library.lib.FreeAttestationToken(token[0])
    assert library.lib.StandinOutstandingTokens() == 0
    freed = [call.fields["result"] for call in standins.calls("attestation", "free")]
    assert freed == ["freed", "not a token of ours"]
    assert standins.count("attestation", "init") == standins.count("attestation", "attest") == 1


def test_a_library_without_a_symbol(tmp_path: Path) -> None:
    lib = load(makers.without_symbol(tmp_path))
    assert lib.InitAttestationLib
    with pytest.raises(AttributeError, match="FreeAttestationToken"):
        _ = lib.FreeAttestationToken


@pytest.mark.parametrize(
    ("make", "winerror"), [(makers.of_another_machine, 193), (makers.without_runtime, 126)]
)
def test_libraries_that_do_not_load(
    tmp_path: Path, make: Callable[[Path], Path], winerror: int
) -> None:
    with pytest.raises(OSError, match=f"error {winerror:#x}"):
        load(make(tmp_path))
