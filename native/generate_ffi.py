"""Write ``_native/_ffi.py`` from the declarations in ``cdef/``; no compiler is needed.

    python native/generate_ffi.py            write the module
    python native/generate_ffi.py --check    fail if the committed module is another one

The text depends on the version of cffi, so this one alone will do; see ``CFFI``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from pathlib import Path

import cffi

CFFI = "2.1.1"
HERE = Path(__file__).resolve().parent
HEADERS = (
    "types",
    "structs",
    "kernel32",
    "advapi32",
    "ncrypt",
    "crypt32",
    "winhttp",
    "wintrust",
    "attestation",
)
MODULE = "msal_key_attestation._native._ffi"
TARGET = HERE.parent / "packages/msal-key-attestation/src/msal_key_attestation/_native/_ffi.py"


def generate() -> str:
    """Return the text of the module."""
    builder = cffi.FFI()
    for name in HEADERS:
        builder.cdef((HERE / "cdef" / f"{name}.h").read_text(encoding="ascii"))
    builder.set_source(MODULE, None)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "_ffi.py"
        with contextlib.redirect_stdout(io.StringIO()):  # it says what it does
            builder.emit_python_code(str(path))
        return path.read_text(encoding="ascii")


def main(arguments: list[str] | None = None) -> int:
    """Write or check the module; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(arguments).check
    if cffi.__version__ != CFFI:
        print(f"cffi is {cffi.__version__}; install cffi=={CFFI}", file=sys.stderr)
        return 2
    text = generate()
    if not check:
        TARGET.write_text(text, encoding="ascii", newline="\n")
        return 0
    if not TARGET.is_file() or TARGET.read_text(encoding="ascii") != text:
        print(f"{TARGET} is stale; run: python {Path(__file__).name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
