"""The declarations agree with the real Windows headers, and the check of that finds mistakes."""

from __future__ import annotations

import enum
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from msal_key_attestation._native import constants

NATIVE = Path(__file__).resolve().parents[2] / "native"
COMPILER = shutil.which("x86_64-w64-mingw32-gcc")
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="about the checkout, with mingw-w64"),
]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="gcc-mingw-w64-x86-64 is not here")
DLL_HEADERS = ("kernel32", "advapi32", "ncrypt", "crypt32", "winhttp", "wintrust", "attestation")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of native/ for a test to spoil."""
    shutil.copytree(NATIVE / "cdef", tmp_path / "cdef")
    shutil.copy(NATIVE / "abi_probe.c", tmp_path)
    return tmp_path


def probe(directory: Path) -> subprocess.CompletedProcess[str]:
    assert COMPILER is not None
    options = ["-std=c11", "-fsyntax-only", "-Werror"]
    return subprocess.run(
        [COMPILER, *options, str(directory / "abi_probe.c")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="ascii")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="ascii")


@needs_compiler
def test_the_declarations_agree_with_the_headers() -> None:
    done = probe(NATIVE)
    assert done.returncode == 0, done.stderr


@needs_compiler
@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("cdef/types.h", "typedef uint32_t DWORD;", "typedef uint64_t DWORD;", "size of DWORD"),
        ("cdef/types.h", "typedef int32_t LONG;", "typedef uint32_t LONG;", "sign of LONG"),
        (
            "cdef/structs.h",
            "NCRYPT_KEY_HANDLE hNCryptKey;",
            "DWORD hNCryptKey;",
            "member hNCryptKey of CERT_KEY_CONTEXT",
        ),
        (
            "cdef/structs.h",
            "    DWORD cbPrime2;\n",
            "    WORD cbPrime2[4];\n",
            "BCRYPT_RSAKEY_BLOB",
        ),
        (
            "cdef/structs.h",
            "    DWORD dwProvType;\n    DWORD dwFlags;",
            "    DWORD dwFlags;\n    DWORD dwProvType;",
            "of CRYPT_KEY_PROV_INFO",
        ),
        ("cdef/attestation.h", "    void *context;\n", "", "AttestationLogInfo"),
        (
            "cdef/ncrypt.h",
            "NCryptFinalizeKey(NCRYPT_KEY_HANDLE hKey, DWORD dwFlags)",
            "NCryptFinalizeKey(DWORD hKey, DWORD dwFlags)",
            "conflicting types for .NCryptFinalizeKey",
        ),
        (
            "cdef/winhttp.h",
            "BOOL WinHttpCloseHandle",
            "DWORD WinHttpCloseHandle",
            "conflicting types for .WinHttpCloseHandle",
        ),
        (
            "cdef/kernel32.h",
            "BOOL bInitialOwner, const WCHAR *lpName",
            "const WCHAR *lpName, BOOL bInitialOwner",
            "conflicting types for .CreateMutexW",
        ),
        (
            "cdef/attestation.h",
            "char **token",
            "char *token",
            "conflicting types for .AttestKeyGuardImportKey",
        ),
        (
            "abi_probe.c",
            "CONSTANT(NCRYPT_SILENT_FLAG, 0x00000040u)",
            "CONSTANT(NCRYPT_SILENT_FLAG, 0x00000080u)",
            "value of NCRYPT_SILENT_FLAG",
        ),
    ],
)
def test_a_mistake_is_found(checkout: Path, file: str, old: str, new: str, words: str) -> None:
    spoil(checkout / file, old, new)
    done = probe(checkout)
    assert done.returncode != 0
    assert re.search(words, done.stderr), done.stderr


def probed_constants() -> dict[str, int]:
    text = (NATIVE / "abi_probe.c").read_text(encoding="ascii")
    return {name: int(value, 16) for name, value in re.findall(r"CONSTANT\((\w+), (\w+?)u\)", text)}


def test_every_constant_of_the_headers_is_probed_with_the_value_that_is_used() -> None:
    kinds = [
        kind
        for kind in vars(constants).values()
        if isinstance(kind, enum.EnumMeta) and kind.__module__ == constants.__name__
    ]
    kinds.remove(constants.AttestationLogLevel)  # in no header
    members: dict[str, Any] = {}
    for kind in kinds:
        members.update(kind.__members__)
    used = {name: int(member) for name, member in members.items()}
    assert len(used) > 90
    assert probed_constants() == used


def declared(pattern: str, *headers: str) -> list[Any]:
    text = "\n".join(
        (NATIVE / "cdef" / f"{name}.h").read_text(encoding="ascii") for name in headers
    )
    return re.findall(pattern, re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL), re.MULTILINE)


def test_every_type_struct_and_member_is_probed() -> None:
    text = (NATIVE / "abi_probe.c").read_text(encoding="ascii")
    types = declared(r"^typedef (?!struct)[\w ]+? \*?(\w+);", "types")
    assert len(types) > 20
    assert [name for name in types if not re.search(rf"SAME_(SIZE|INTEGER)\({name}\)", text)] == []
    structs = declared(r"^typedef struct \w+ \{([^}]*)\} (\w+);", "structs")
    members = {(name, member) for body, name in structs for member in _members(body)}
    missing = {
        (name, member)
        for name, member in members
        if not re.search(
            rf"SAME_MEMBER\({name}, {member}\)|offsetof\(cdef_{name}, {member}\)", text
        )
    }
    assert len(members) == 50
    assert missing == set()


def _members(body: str) -> list[str]:
    return re.findall(r"(\w+)(?:\[\d+\])?;", body)


def test_every_function_of_every_dll_is_probed() -> None:
    text = (NATIVE / "abi_probe.c").read_text(encoding="ascii")
    for header in DLL_HEADERS:
        assert f'#include "cdef/{header}.h"' in text
    assert {path.stem for path in (NATIVE / "cdef").glob("*.h")} == {
        "types",
        "structs",
        *DLL_HEADERS,
    }
    for name in declared(r"(\w+)\(", "attestation"):
        assert text.count(f" {name}(") == 1  # once more, by hand


def test_widths_are_fixed() -> None:
    words = declared(
        r"\b(?:unsigned|signed|short|int|long|wchar_t|size_t)\b", "types", "structs", *DLL_HEADERS
    )
    assert words == []


def test_the_committed_module_is_what_the_declarations_generate() -> None:
    cffi = pytest.importorskip("cffi")
    if cffi.__version__ != "2.1.1":
        pytest.skip("the text of the module depends on the version of cffi")
    done = subprocess.run(
        [sys.executable, str(NATIVE / "generate_ffi.py"), "--check"], check=False, timeout=60
    )
    assert done.returncode == 0
