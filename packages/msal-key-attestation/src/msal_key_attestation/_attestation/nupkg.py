"""Takes ``AttestationClientLib.dll`` out of a NuGet package file, for which nothing vouches yet."""

from __future__ import annotations

import hashlib
import hmac
import zipfile
from typing import TYPE_CHECKING

from . import pe
from .library import LIBRARY_NAME

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST_PACKAGE = 256 << 20
_LARGEST_LIBRARY = 64 << 20
_ENCRYPTED = 0x1


class PackageError(Exception):
    """The package is refused; the text says why."""


def read_library(package: Path, sha256: str | None = None) -> bytes:
    """Return the x64 library out of a package.

    Args:
        package: A ``.nupkg`` file, which is a ZIP archive.
        sha256: The SHA-256 that the package file must have, in hex.

    Raises:
        PackageError: The file is not what it should be, or holds no such library, or several.
    """
    try:
        if package.stat().st_size > _LARGEST_PACKAGE:
            raise PackageError(f"{package} is larger than {_LARGEST_PACKAGE >> 20} MiB.")
        _check_hash(package, sha256)
        with zipfile.ZipFile(package) as archive:
            return _only_library(archive, package)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as exc:
        raise PackageError(f"{package} cannot be read: {exc}") from exc


def _check_hash(package: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    digest = hashlib.sha256()
    with package.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    if not hmac.compare_digest(digest.hexdigest(), sha256.strip().lower()):
        raise PackageError(f"The SHA-256 of {package} is {digest.hexdigest()}, not {sha256}.")


def _only_library(archive: zipfile.ZipFile, package: Path) -> bytes:
    named = [
        entry
        for entry in archive.infolist()
        if entry.filename.replace("\\", "/").lower().rpartition("/")[2] == LIBRARY_NAME.lower()
    ]
    libraries = {data: entry.filename for entry in named if _is_x64(data := _read(archive, entry))}
    if not libraries:
        raise PackageError(f"{package} holds no {LIBRARY_NAME} for x64.")
    if len(libraries) > 1:
        found = ", ".join(sorted(libraries.values()))
        raise PackageError(f"{package} holds several, and none is the right one for sure: {found}.")
    return next(iter(libraries))


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return an entry, whose name must be a plain relative path and whose size sane."""
    parts = entry.filename.split("/")
    if "\\" in entry.filename or ":" in entry.filename or {"", ".", ".."}.intersection(parts):
        raise PackageError(f"The package holds an entry with a strange path: {entry.filename!r}.")
    if entry.flag_bits & _ENCRYPTED or entry.file_size > _LARGEST_LIBRARY:
        raise PackageError(f"{entry.filename} is encrypted, or larger than 64 MiB.")
    with archive.open(entry) as stream:
        data = stream.read(_LARGEST_LIBRARY + 1)  # what the entry says of its size proves nothing
    if len(data) > _LARGEST_LIBRARY:
        raise PackageError(f"{entry.filename} is larger than it says.")
    return data


def _is_x64(data: bytes) -> bool:
    return pe.machine(data[: pe.HEADER_SIZE]) == pe.X64
