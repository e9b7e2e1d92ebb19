"""Runs tests in an unmodified Windows CPython under Wine, against an emulator on this side.

    python tests/wine/harness.py --python 3.11 --wheels dist -- -k keyguard

It needs Debian's wine64, libgnutls30 and gcc-mingw-w64-x86-64, and a Python with the emulator.
Everything that it makes is under build/wine; delete that to start from nothing.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import dlls
import emulation
from control import ControlServer
from layout import INTERPRETERS, Cache, Layout, lay_out, windows_path
from remote import CONTROL_VARIABLE
from wineprefix import SERVER, WINE, Hung, WinePrefix, make_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = "wine64 libgnutls30 gcc-mingw-w64-x86-64"
DEFAULT_TESTS = ("tests", "--ignore=tests/packaging")  # those are about the checkout, not Windows
_TRUST_SECONDS = 60
_HUNG_EXIT_CODE = 124  # as timeout(1)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tests, and return pytest's exit code; 124 when they hung, 2 when they cannot run."""
    options = parse(argv)
    try:
        check_machine()
        return run(options)
    except (MissingError, subprocess.SubprocessError) as exc:
        print(f"wine: {exc}", file=sys.stderr)
        return 2
    except Hung as exc:
        print(f"\nwine: HUNG: {exc}, and was killed with all its processes.", file=sys.stderr)
        return _HUNG_EXIT_CODE


class MissingError(Exception):
    """Something that the harness needs is not there; the message says how to get it."""


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default="3.11", choices=sorted(INTERPRETERS))
    parser.add_argument("--wheels", type=Path, required=True, help="a folder with our two wheels")
    parser.add_argument(
        "--source", action="store_true", help="import our packages from the checkout all the same"
    )
    parser.add_argument(
        "--plain", action="store_true", help="Wine's own ncrypt: a Windows without KeyGuard"
    )
    parser.add_argument(
        "--trust", type=Path, action="append", default=[], help="a PEM file of CAs to trust"
    )
    parser.add_argument("--timeout", type=float, default=600, help="of the whole run, in seconds")
    parser.add_argument(
        "--raw", action="store_true", help="the arguments are python's, not pytest's"
    )
    parser.add_argument("arguments", nargs="*", help="pytest's arguments, after --")
    return parser.parse_args(argv)


def check_machine() -> None:
    """See that what apt provides is there.

    Raises:
        MissingError: It is not.
    """
    programs = (str(WINE), str(SERVER), dlls.COMPILER)
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise MissingError(
            f"{', '.join(missing)} not found. On Debian 12:\n"
            f"    apt-get install --no-install-recommends {PACKAGES}"
        )


def find_wheels(folder: Path) -> list[Path]:
    """Return the newest wheel of each of our packages.

    Raises:
        MissingError: One is not there.
    """
    wheels = []
    for name in ("msal_msi_v2", "msal_key_attestation"):
        found = sorted(folder.glob(f"{name}-*.whl"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise MissingError(f"There is no wheel of {name} in {folder}.")
        wheels.append(found[-1].resolve())
    return wheels


def run(options: argparse.Namespace) -> int:
    """Lay everything out, start emulator and Windows, and run the tests in it."""
    started = time.monotonic()
    cache = Cache(CHECKOUT / "build" / "wine")
    template = cache.folder("prefix", WINE.stat().st_mtime, make=make_template)
    laid_out = lay_out(
        CHECKOUT,
        cache,
        options.python,
        find_wheels(options.wheels),
        source=options.source,
    )
    shims = [dlls.PRIMITIVES] if options.plain else [dlls.PRIMITIVES, dlls.NCRYPT]
    with ExitStack() as stack:
        windows = stack.enter_context(
            WinePrefix(template, (laid_out.dlls / dll.name for dll in shims))
        )
        emulator = stack.enter_context(emulation.running_emulator())
        trust(windows, laid_out, [Path(emulator.ca_bundle), *options.trust])
        environment = {
            "STANDIN_STATE": windows_path(windows.root / "standins"),
            "STANDIN_DLLS": windows_path(laid_out.dlls),
            CONTROL_VARIABLE: stack.enter_context(ControlServer(emulator)).url,
        }
        print(f"wine: ready after {time.monotonic() - started:.1f} s", flush=True)
        begun = time.monotonic()
        code, output = windows.run(
            command(laid_out, options),
            timeout=options.timeout,
            environment=environment,
            directory=CHECKOUT,
        )
        seconds = time.monotonic() - begun
    if not options.raw:
        print(f"wine: Windows CPython {options.python}: {summary(output)}")
    print(f"wine: exit code {code} after {seconds:.1f} s", flush=True)
    return code


def trust(windows: WinePrefix, laid_out: Layout, bundles: Iterable[Path]) -> None:
    """Let Windows trust the CAs of PEM files.

    Raises:
        MissingError: It does not; the message says why.
    """
    script = windows_path(Path(__file__).with_name("trust.py"))
    arguments = [script, *map(windows_path, bundles)]
    code, output = windows.run([str(laid_out.python), *arguments], timeout=_TRUST_SECONDS)
    if code != 0:
        raise MissingError(f"Windows does not trust the test CAs:\n{output.decode()}")


def command(laid_out: Layout, options: argparse.Namespace) -> list[str]:
    """Return the command line of the tests."""
    python = [str(laid_out.python), "-X", "utf8"]
    if options.raw:
        return [*python, *options.arguments]
    arguments = options.arguments or DEFAULT_TESTS
    print(f"wine: pytest {shlex.join(arguments)}", flush=True)
    return [*python, "-X", "faulthandler", "-m", "pytest", "-p", "no:cacheprovider", *arguments]


def summary(output: bytes) -> str:
    """Return pytest's last line: how many tests passed, failed, were skipped or deselected."""
    lines = re.sub(rb"\x1b\[[0-9;]*m", b"", output).decode(errors="replace").splitlines()
    counts = [line for line in lines if re.search(r"\d+ \w+.* in [\d.]+s", line)]
    return counts[-1].strip("= ") if counts else "pytest said nothing of how many tests there were"


if __name__ == "__main__":
    sys.exit(main())
