"""The console script ``msal-key-attestation``."""
# ruff: noqa: T201 - a program prints

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ._attestation.authenticode import check_signature
from ._attestation.library import LIBRARY_NAME, PACKAGE_DIRECTORY
from ._attestation.nupkg import PackageError, read_library
from .errors import KeyAttestationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = "Install Microsoft's attestation library beside this package."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit code: 0, or 1 where the package is refused."""
    options = _parser().parse_args(arguments)
    try:
        library = read_library(options.package, options.sha256)
        installed = install(library, options.target)
    except (PackageError, KeyAttestationError) as exc:
        print(f"Refused: {exc}", file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"{options.target} cannot be written to: {exc}", file=sys.stderr)
        return 1
    print(f"Installed {installed}")
    if not _is_windows():
        print("Its signature was not checked: that takes Windows.", file=sys.stderr)
    return 0


def install(library: bytes, target: Path) -> Path:
    """Put the library into a directory, whole or not at all.

    Args:
        library: The bytes of the DLL.
        target: An existing directory.

    Raises:
        NativeCallError: On Windows: its signature is missing, or not trusted.
        OSError: The directory cannot be written to.
    """
    descriptor, name = tempfile.mkstemp(suffix=".dll", dir=target)
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(library)
        if _is_windows():
            check_signature(scratch)
        return scratch.replace(target / LIBRARY_NAME)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def _is_windows() -> bool:
    return sysconfig.get_platform().startswith("win")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="msal-key-attestation", description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "install-native",
        help=f"take {LIBRARY_NAME} out of a NuGet package file that you have",
        description=f"Takes the x64 {LIBRARY_NAME} out of a package file "
        "Microsoft.Azure.Security.KeyGuardAttestation.*.nupkg, checks it, on Windows also its "
        "Authenticode signature, and puts it where this package looks for it.",
    )
    command.add_argument("package", type=Path, metavar="FILE.nupkg")
    command.add_argument("--sha256", metavar="HEX", help="what the package file must hash to")
    command.add_argument(
        "--target", type=Path, default=PACKAGE_DIRECTORY, metavar="DIR", help="put it there instead"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
