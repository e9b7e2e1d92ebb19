"""Where ``AttestationClientLib.dll`` may come from, and what may be wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_dll import dll

from msal_key_attestation._attestation import pe
from msal_key_attestation._attestation.codes import is_passing, meaning
from msal_key_attestation._attestation.library import (
    LIBRARY_NAME,
    PACKAGE_DIRECTORY,
    find_library,
    library_places,
)
from msal_key_attestation.errors import NativeLibraryError

VARIABLE = "ATTESTATION_CLIENTLIB_PATH"


def test_the_argument_comes_before_the_environment_and_nothing_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "from-environment.dll"))
    assert library_places(tmp_path / "given.dll") == [tmp_path / "given.dll"]
    assert library_places() == [tmp_path / "from-environment.dll"]


@pytest.mark.parametrize("value", [None, ""])
def test_else_it_lies_beside_the_package_or_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    places = list(library_places())
    assert places[:2] == [
        PACKAGE_DIRECTORY / LIBRARY_NAME,
        Path(sys.executable).parent / LIBRARY_NAME,
    ]
    assert all(place.is_absolute() for place in places)


def test_neither_current_directory_nor_path_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / LIBRARY_NAME).write_bytes(dll())
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NativeLibraryError) as caught:
        find_library(library_places())
    assert str(tmp_path) not in caught.value.error_description


def test_a_missing_library_names_every_place(tmp_path: Path) -> None:
    places = [tmp_path / "a" / LIBRARY_NAME, tmp_path / "b" / LIBRARY_NAME]
    with pytest.raises(NativeLibraryError) as caught:
        find_library(places)
    assert caught.value.error == "attestation_package_broken"
    assert all(str(place) in caught.value.error_description for place in places)
    assert "install-native" in caught.value.error_description


def test_a_relative_path_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / LIBRARY_NAME).write_bytes(dll())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NativeLibraryError, match="not absolute"):
        find_library(library_places(LIBRARY_NAME))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (dll(0xAA64), "ARM64"),
        (dll(0x014C), "x86"),
        (dll(0x1234), "0x1234"),
        (b"", "not a Windows DLL"),
        (b"MZ", "not a Windows DLL"),
        (b"\x7fELF" + bytes(100), "not a Windows DLL"),
        (dll()[:66], "not a Windows DLL"),
    ],
)
def test_a_library_for_another_machine_is_named_as_such(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / LIBRARY_NAME
    path.write_bytes(content)
    with pytest.raises(NativeLibraryError) as caught:
        find_library([path])
    assert words in caught.value.error_description
    assert str(path) in caught.value.error_description


def test_the_x64_library_is_found(tmp_path: Path) -> None:
    path = tmp_path / LIBRARY_NAME
    path.write_bytes(dll())
    assert find_library([tmp_path / "none.dll", path]) == path
    assert pe.machine(dll()) == pe.X64


def test_every_code_has_a_meaning_of_its_own() -> None:
    meanings = [meaning(code) for code in range(-35, 0)]
    assert len(set(meanings)) == 35
    assert all("does not know" not in text for text in meanings)
    assert "does not know" in meaning(-36)


def test_only_the_network_passes() -> None:
    assert [code for code in range(-35, 0) if is_passing(code)] == [-7, -5, -4]
