"""``msal-key-attestation install-native``: a package that nothing vouches for."""

from __future__ import annotations

import hashlib
import struct
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from fake_dll import dll

from msal_key_attestation._attestation import nupkg
from msal_key_attestation.cli import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "AttestationClientLib.dll"
PLACE = f"runtimes/win-x64/native/{NAME}"
on_linux = pytest.mark.skipif(
    sys.platform == "win32", reason="on Windows what is installed must be signed"
)


def package(directory: Path, entries: Mapping[str, bytes]) -> Path:
    path = directory / "package.nupkg"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def install(path: Path, target: Path, *more: str) -> int:
    target.mkdir(exist_ok=True)
    return main(["install-native", str(path), "--target", str(target), *more])


@on_linux
def test_the_x64_library_is_put_in_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = package(
        tmp_path, {"a.nuspec": b"<x/>", PLACE: dll(), f"runtimes/win-arm64/{NAME}": dll(0xAA64)}
    )
    target = tmp_path / "target"
    assert install(path, target) == 0
    assert (target / NAME).read_bytes() == dll()
    assert [file.name for file in target.iterdir()] == [NAME]
    said = capsys.readouterr()
    assert str(target / NAME) in said.out
    assert "signature was not checked" in said.err


@on_linux
def test_it_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for tail in (b"old", b"new"):
        assert install(package(tmp_path, {PLACE: dll(tail=tail)}), target) == 0
    assert (target / NAME).read_bytes() == dll(tail=b"new")


@on_linux
def test_two_copies_of_the_same_are_one(tmp_path: Path) -> None:
    path = package(tmp_path, {PLACE: dll(), f"build/{NAME}": dll()})
    assert install(path, tmp_path / "target") == 0


@on_linux
def test_the_package_can_be_pinned(tmp_path: Path) -> None:
    path = package(tmp_path, {PLACE: dll()})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert install(path, tmp_path / "target", "--sha256", digest.upper()) == 0


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, "holds no"),
        ({"a/b.dll": dll()}, "holds no"),
        ({PLACE: dll(0x014C)}, "holds no"),
        ({PLACE: b"not a dll"}, "holds no"),
        ({PLACE: b""}, "holds no"),
        ({PLACE: dll(tail=b"a"), f"other/{NAME}": dll(tail=b"b")}, "several"),
        ({f"../{NAME}": dll()}, "strange path"),
        ({f"a/../../{NAME}": dll()}, "strange path"),
        ({f"/etc/{NAME}": dll()}, "strange path"),
        ({f"c:/{NAME}": dll()}, "strange path"),
        ({f"a\\..\\{NAME}": dll()}, "strange path"),
    ],
)
def test_what_is_not_one_plain_x64_library_is_refused(
    tmp_path: Path, entries: dict[str, bytes], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    assert install(package(tmp_path, entries), target) == 1
    assert words in capsys.readouterr().err
    assert list(target.iterdir()) == []


def test_another_hash_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = package(tmp_path, {PLACE: dll()})
    target = tmp_path / "target"
    assert install(path, target, "--sha256", "0" * 64) == 1
    assert "SHA-256" in capsys.readouterr().err
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"<html>"])
def test_what_is_no_package_is_refused(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "package.nupkg"
    path.write_bytes(content)
    assert install(path, tmp_path / "target") == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_missing_file_and_directory_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install-native", str(tmp_path / "none.nupkg")]) == 1
    assert "none.nupkg" in capsys.readouterr().err
    path = package(tmp_path, {PLACE: dll()})
    assert main(["install-native", str(path), "--target", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nupkg, "_LARGEST_LIBRARY", 1 << 20)
    path = package(tmp_path, {PLACE: dll(tail=bytes(2 << 20))})
    assert path.stat().st_size < 1 << 16
    with pytest.raises(nupkg.PackageError, match="larger than"):
        nupkg.read_library(path)


def test_an_entry_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path, {PLACE: dll(tail=bytes(1000))})
    data = path.read_bytes()
    size = struct.pack("<I", len(dll(tail=bytes(1000))))
    path.write_bytes(data.replace(size, struct.pack("<I", 100)))
    with pytest.raises(nupkg.PackageError):
        nupkg.read_library(path)


@pytest.mark.skipif(sys.platform != "win32", reason="only Windows checks signatures")
def test_an_unsigned_library_is_refused_on_windows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    assert install(package(tmp_path, {PLACE: dll()}), target) == 1
    assert "WinVerifyTrust" in capsys.readouterr().err
    assert list(target.iterdir()) == []
