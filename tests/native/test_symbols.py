"""Every function that is declared exists in its DLL: ABI mode would say so at first use only."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from msal_key_attestation._attestation import library
from msal_key_attestation._native import libs
from msal_key_attestation._native.libs import crypt32, ffi, kernel32

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="loads the DLLs of Windows")

CDEF = Path(__file__).resolve().parents[2] / "native" / "cdef"
SYSTEM_DLLS = ("kernel32", "advapi32", "ncrypt", "crypt32", "winhttp", "wintrust")


def functions(header: str) -> list[str]:
    text = re.sub(r"/\*.*?\*/", "", (CDEF / f"{header}.h").read_text(), flags=re.DOTALL)
    return re.findall(r"^(?!typedef).*?\*?(\w+)\(", text, re.MULTILINE)


def exports(library: object, name: str) -> bool:
    try:
        getattr(library, name)
    except ffi.error:
        return False
    return True


@pytest.mark.parametrize("dll", SYSTEM_DLLS)
def test_windows_exports_what_is_declared(dll: str) -> None:
    load: Callable[[], object] = getattr(libs, dll)
    library, names = load(), functions(dll)
    assert names
    assert [name for name in names if not exports(library, name)] == []


def test_the_check_finds_what_is_missing() -> None:
    assert not exports(crypt32(), "NCryptSignHash")


@pytest.mark.parametrize("dll", SYSTEM_DLLS)
def test_the_typed_views_show_what_is_declared(dll: str) -> None:
    views = {"kernel32": "Kernel32", "advapi32": "Advapi32", "ncrypt": "NCrypt"}
    views |= {"crypt32": "Crypt32", "winhttp": "WinHttp", "wintrust": "WinTrust"}
    view = getattr(libs, views[dll])
    assert {name for name in vars(view) if name[0].isupper()} == set(functions(dll))


def test_every_dll_comes_from_system32() -> None:
    ours = ffi.new("WCHAR[]", 260)
    assert kernel32().GetSystemDirectoryW(ours, 260)
    assert ffi.string(ours).lower() == str(Path(os.environ["SYSTEMROOT"], "system32")).lower()


def test_the_attestation_library_exports_what_is_declared() -> None:
    if "STANDIN_DLLS" not in os.environ:
        pytest.skip("there is no attestation library here")
    path = Path(os.environ["STANDIN_DLLS"], library.LIBRARY_NAME)
    loaded = library.load_library(path)
    assert [name for name in functions("attestation") if not exports(loaded, name)] == []
    assert set(functions("attestation")) == set(library._SYMBOLS)
