"""A Windows of one's own: a Wine prefix for one run, and programs in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from typing_extensions import Self

WINE = Path("/usr/lib/wine/wine64")
SERVER = Path("/usr/lib/wine/wineserver64")
# Wine's own programs for .NET and HTML would offer to download themselves.
_NO_ADDONS = "mscoree,mshtml="
_COPIED = {"windows", "system32"}
_BOOT_SECONDS = 120


class Hung(Exception):  # noqa: N818 - what happened to the program
    """A program did not end in time, and was killed with all that it had started."""


def make_template(target: Path) -> None:
    """Make a prefix that is copied for every run.

    Raises:
        subprocess.CalledProcessError: Wine does not start.
    """
    environment = _environment(target)
    # Wine's services outlive the command and keep its output open: a pipe would never end.
    subprocess.run(
        [str(WINE), "wineboot", "-i"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_BOOT_SECONDS,
        check=True,
    )
    _stop_server(environment)


class WinePrefix:
    """A running copy of a prefix; a context manager.

    The copy has a registry, users and named objects of its own, and so certificates, keys and
    mutexes too. The files of Windows itself, 700 MB, are links to the template's.

    Attributes:
        root: Its folder, deleted at the end; scratch files of a run go here.
    """

    def __init__(self, template: Path, system_dlls: Iterable[Path]) -> None:
        """Describe the copy.

        Args:
            template: What is copied.
            system_dlls: DLLs for its system folder, in place of Wine's of the same names.
        """
        self._template = template
        self._system_dlls = tuple(system_dlls)
        self.root = Path(tempfile.mkdtemp(prefix="run-", dir=template.parent))
        self._environment = _environment(self.root, self._system_dlls)

    def __enter__(self) -> Self:
        for name in (".update-timestamp", "system.reg", "user.reg", "userdef.reg"):
            shutil.copy(self._template / name, self.root / name)
        for name in ("dosdevices", "drive_c/users"):
            shutil.copytree(self._template / name, self.root / name, symlinks=True)
        for name in ("drive_c", "drive_c/windows", "drive_c/windows/system32"):
            _link_missing(self._template / name, self.root / name)
        for dll in self._system_dlls:
            target = self.root / "drive_c" / "windows" / "system32" / dll.name
            target.unlink(missing_ok=True)
            shutil.copy(dll, target)
        self._boot()
        return self

    def __exit__(self, *exc_info: object) -> None:
        _stop_server(self._environment)
        shutil.rmtree(self.root, ignore_errors=True)

    def _boot(self) -> None:
        """Start Wine's services with their output closed, before a program whose output is read."""
        subprocess.run(
            [str(WINE), "cmd", "/c", "exit"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_BOOT_SECONDS,
            check=True,
        )

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> tuple[int, bytes]:
        """Run a program with its output shown as it comes.

        Args:
            command: The program, a path of this system, and its arguments.
            timeout: In seconds.
            environment: Variables to add to this process's.
            directory: Where it starts.

        Returns:
            The exit code, and the output, of which the program's errors are part.

        Raises:
            Hung: It did not end in time.
        """
        process = subprocess.Popen(
            [str(WINE), *command],
            env={**self._environment, **(environment or {})},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # never a regular file, which Windows Python cannot use here
            stderr=subprocess.STDOUT,
        )
        output = bytearray()
        reader = threading.Thread(target=_relay, args=(process, output))
        reader.start()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Hung(f"{command[0]} (process {process.pid}) ran for {timeout:g} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                _stop_server(self._environment)  # and with it what the program had started
                process.wait()
            reader.join(timeout=10)
        return code, bytes(output)


def _relay(process: subprocess.Popen[bytes], output: bytearray) -> None:
    stream = process.stdout
    if stream is None:
        return
    while data := os.read(stream.fileno(), 65536):
        output += data
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _link_missing(source: Path, target: Path) -> None:
    """Give a folder links to what another one holds, but to the folders that are copied deeper."""
    target.mkdir(exist_ok=True)
    for entry in source.iterdir():
        if entry.name not in _COPIED and not (target / entry.name).exists():
            (target / entry.name).symlink_to(entry)


def _environment(prefix: Path, system_dlls: Iterable[Path] = ()) -> dict[str, str]:
    """Return this process's environment, for programs in a prefix."""
    native = [f"{dll.stem}=n" for dll in system_dlls]  # Wine prefers its own
    overrides = ";".join([_NO_ADDONS, *native])
    ours = {
        "WINEPREFIX": str(prefix),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": overrides,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINE")}
    return {**inherited, **ours}


def _stop_server(environment: Mapping[str, str]) -> None:
    """End every Windows process of one prefix; harmless when there is none."""
    with suppress(subprocess.TimeoutExpired):
        for option in ("-k", "-w"):
            subprocess.run(
                [str(SERVER), option],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_BOOT_SECONDS,
                check=False,
            )
