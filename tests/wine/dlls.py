"""The DLLs that stand in for what Wine lacks, compiled with mingw-w64."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMPILER = "x86_64-w64-mingw32-gcc"
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-static-libgcc", "-s")


@dataclass(frozen=True)
class Dll:
    """A DLL to build.

    Attributes:
        name: Its file name.
        sources: C sources and the export list, under ``native/``.
        libraries: What it links to, in the order that the linker needs: mingw's ``ncrypt``
            claims bcrypt's functions for itself, so it comes last.
    """

    name: str
    sources: tuple[str, ...]
    libraries: tuple[str, ...]


NCRYPT = Dll(
    "ncrypt.dll",
    (
        "standins/ncrypt.c",
        "standins/properties.c",
        "standins/keystore.c",
        "standins/container.c",
        "standins/rsablob.c",
        "standins/standin.c",
        "standins/ncrypt.def",
    ),
    ("bcrypt", "advapi32"),
)
ATTESTATION = Dll(
    "AttestationClientLib.dll",
    (
        "standins/attestation.c",
        "standins/evidence.c",
        "standins/post.c",
        "standins/standin.c",
        "standins/attestation.def",
    ),
    ("bcrypt", "winhttp", "ncrypt"),
)
PRIMITIVES = Dll(
    "bcryptprimitives.dll",
    ("shims/bcryptprimitives.c", "shims/bcryptprimitives.def"),
    ("advapi32",),
)


def sources(native: Path) -> Iterator[Path]:
    """Yield every file that a DLL is made of, headers included."""
    for folder in ("standins", "shims"):
        yield from sorted((native / folder).glob("*.[ch]"))
        yield from sorted((native / folder).glob("*.def"))


def build(native: Path, target: Path) -> None:
    """Compile all DLLs into an emptied folder.

    Raises:
        subprocess.CalledProcessError: The compiler complains; it has said why.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for dll in (NCRYPT, ATTESTATION, PRIMITIVES):
        inputs = [str(native / source) for source in dll.sources]
        libraries = [f"-l{library}" for library in dll.libraries]
        output = str(target / dll.name)
        subprocess.run([COMPILER, *_FLAGS, "-o", output, *inputs, *libraries], check=True)
