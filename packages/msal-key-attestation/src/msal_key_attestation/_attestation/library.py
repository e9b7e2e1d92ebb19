"""Finding and loading ``AttestationClientLib.dll``, and naming what is wrong with it.

It is loaded from an absolute path only: the one given, else the package's own directory, else the
interpreter's. What it needs in turn comes from its own directory or System32. The current
directory and ``PATH`` are never looked at.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msal_key_attestation._native.constants import LoadLibraryFlag, Win32Error
from msal_key_attestation._native.libs import ffi, kernel32, ncrypt
from msal_key_attestation._native.status import describe, last_error
from msal_key_attestation.errors import NativeLibraryError

from . import pe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msal_key_attestation._native.libs import AttestationLibrary, CData

LIBRARY_NAME = "AttestationClientLib.dll"
LIBRARY_VARIABLE = "ATTESTATION_CLIENTLIB_PATH"
PACKAGE_DIRECTORY = Path(__file__).resolve().parents[1]
_SYMBOLS = (
    "InitAttestationLib",
    "AttestKeyGuardImportKey",
    "FreeAttestationToken",
    "UninitAttestationLib",
)
_GET_IT = "Get it with: msal-key-attestation install-native FILE.nupkg"


def library_places(library_path: str | os.PathLike[str] | None = None) -> Sequence[Path]:
    """Return the places where the DLL may be, best first; the environment is read now.

    Args:
        library_path: Where it is, absolute. ``None``: what ``ATTESTATION_CLIENTLIB_PATH`` says,
            else the package's own directory, else the interpreter's. Whoever names a place gets
            that file or an error, never another file.
    """
    given = os.fspath(library_path) if library_path else os.environ.get(LIBRARY_VARIABLE)
    if given:
        return [Path(given)]
    directories = (PACKAGE_DIRECTORY, Path(sys.executable).parent, Path(sys.base_exec_prefix))
    return [directory / LIBRARY_NAME for directory in dict.fromkeys(directories)]


def find_library(places: Sequence[Path]) -> Path:
    """Return the path of the DLL to load.

    Raises:
        NativeLibraryError: It is at none of the places, which the text names, or the one that is
            there is not for x64, or a place is not absolute.
    """
    for place in places:
        if not place.is_absolute():
            raise _broken(f"The path {str(place)!r} of {LIBRARY_NAME} is not absolute.")
        if place.is_file():
            _check_architecture(place)
            return place
    looked_at = ", ".join(str(place) for place in places)
    raise _broken(f"{LIBRARY_NAME} was not found. Looked at: {looked_at}. {_GET_IT}")


def load_library(path: Path) -> AttestationLibrary:
    """Load the DLL and make sure that it exports all that is needed.

    Raises:
        NativeLibraryError: It does not load, or lacks a function.
    """
    ncrypt()  # first, so that the DLL imports the one that our key handles are from: System32's
    flags = (
        LoadLibraryFlag.LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR
        | LoadLibraryFlag.LOAD_LIBRARY_SEARCH_SYSTEM32
    )
    module = kernel32().LoadLibraryExW(str(path), ffi.NULL, flags)
    if not module:
        raise _broken(f"{path} does not load: {_why_not_loaded(last_error())}")
    library = ffi.dlopen(module)
    missing = [name for name in _SYMBOLS if not _exports(library, name)]
    if missing:
        raise _broken(
            f"{path} is not the library that it should be: it lacks {', '.join(missing)}. {_GET_IT}"
        )
    return cast("AttestationLibrary", library)


def _check_architecture(path: Path) -> None:
    try:
        with path.open("rb") as file:
            found = pe.machine(file.read(pe.HEADER_SIZE))
    except OSError as exc:
        raise _broken(f"{path} cannot be read: {exc.strerror or exc}.") from exc
    if found != pe.X64:
        raise _broken(f"{path} is {pe.machine_name(found)}; the x64 library is needed. {_GET_IT}")


def _why_not_loaded(code: int) -> str:
    if code == Win32Error.ERROR_MOD_NOT_FOUND:
        return (
            f"{describe(code)}. A DLL that it needs is missing, most often the Microsoft Visual "
            "C++ runtime: install https://aka.ms/vs/17/release/vc_redist.x64.exe"
        )
    return f"{describe(code)}. {_GET_IT}"


def _exports(library: CData, name: str) -> bool:
    try:
        getattr(library, name)
    except ffi.error:
        return False
    return True


def _broken(text: str) -> NativeLibraryError:
    return NativeLibraryError("attestation_package_broken", text)
