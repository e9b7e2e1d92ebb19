"""Runs anywhere: scripts the stand-in DLLs, and reads what they did; see native/README.md.

::

    standins = Standins(tmp_path)
    monkeypatch.setenv("STANDIN_STATE", str(standins.state))
    standins.script("ncrypt", isolation="off", **{"tpm.provider.status": 0x80090030})
    ...
    assert standins.count("ncrypt", "created") == 1
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MACHINE_OFFSET = 4  # of the machine type in a COFF header, after its signature
_HEADER_POINTER = 0x3C  # where a PE file says where its COFF header is
_MACHINE_ARM64 = b"\x64\xaa"


@dataclass(frozen=True)
class Call:
    """One line of a stand-in's log.

    Attributes:
        pid: The process.
        function: What was called, in the stand-in's words, e.g. ``create``.
        fields: What it was called with, and what it answered.
    """

    pid: int
    function: str
    fields: Mapping[str, str]

    @property
    def status(self) -> int:
        """What was answered: a ``SECURITY_STATUS``, or the attestation library's result."""
        return int(self.fields.get("status") or self.fields["result"], 0)


class Standins:
    """The state of one pretended host: a folder, the value of ``STANDIN_STATE``.

    Attributes:
        state: That folder.
    """

    def __init__(self, state: Path) -> None:
        self.state = state
        state.mkdir(parents=True, exist_ok=True)

    @classmethod
    def current(cls) -> Standins:
        """Return the host that this process's environment names.

        Raises:
            KeyError: It names none.
        """
        return cls(Path(os.environ["STANDIN_STATE"]))

    def script(self, dll: str, **names: int | str | Sequence[int]) -> None:
        """Say how a stand-in behaves from now on, in place of what was said before.

        Args:
            dll: ``ncrypt`` or ``attestation``.
            names: The names of the script and their values; a sequence gives one per call.
        """
        lines = [f"{name}={_text(value)}\n" for name, value in names.items()]
        scratch = self.state / f"{dll}.script.{os.getpid()}"
        scratch.write_text("".join(lines), encoding="utf-8", newline="\n")
        scratch.replace(self.state / f"{dll}.script")  # at once: a call may be reading it

    def calls(self, dll: str, function: str | None = None, *, pid: int | None = None) -> list[Call]:
        """Return the calls so far: in order for a process, one process after the other.

        Args:
            dll: ``ncrypt`` or ``attestation``.
            function: Only the calls of this one.
            pid: Only the calls of this process.
        """
        found = []
        for log in sorted(self.state.glob(f"{dll}.*.log")):
            process = int(log.name.split(".")[1])
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
                name, *rest = line.split("\t")
                fields = dict(field.partition("=")[::2] for field in rest)
                found.append(Call(process, name, fields))
        return [
            call
            for call in found
            if (function is None or call.function == function) and (pid is None or call.pid == pid)
        ]

    def count(self, dll: str, function: str) -> int:
        """Return how many calls of a function succeeded, in all processes."""
        return sum(call.status == 0 for call in self.calls(dll, function))

    def open_handles(self) -> dict[int, int]:
        """Return how many ncrypt handles each process opened and has not freed.

        Freed, or the process ended without: a log does not tell.
        """
        balance: Counter[int] = Counter()
        for call in self.calls("ncrypt"):
            if call.fields.get("status") == "0x00000000":
                opens = call.function in {"provider", "open", "create"}
                balance[call.pid] += opens - (call.function in {"free", "delete"})
        return dict(balance)


def _text(value: int | str | Sequence[int]) -> str:
    if isinstance(value, (int, str)):
        return str(value)
    return ",".join(map(str, value))


def attestation_library() -> Path:
    """Return the path of the stand-in AttestationClientLib.dll.

    Raises:
        KeyError: This is not a run of the harness.
    """
    return Path(os.environ["STANDIN_DLLS"], "AttestationClientLib.dll")


def without_symbol(target: Path) -> Path:
    """Write an attestation library that lacks ``FreeAttestationToken``, and return its path."""
    return _patched(target, b"FreeAttestationToken\0", b"FreeAttestationTokem\0")


def without_runtime(target: Path) -> Path:
    """Write an attestation library that imports a DLL which is nowhere, and return its path."""
    return _patched(target, b"WINHTTP.dll\0", b"VCRNONE.dll\0")


def of_another_machine(target: Path) -> Path:
    """Write an attestation library for ARM64, and return its path."""
    content = bytearray(attestation_library().read_bytes())
    header = int.from_bytes(content[_HEADER_POINTER : _HEADER_POINTER + 4], "little")
    offset = header + _MACHINE_OFFSET
    content[offset : offset + 2] = _MACHINE_ARM64
    return _write(target, bytes(content))


def _patched(target: Path, old: bytes, new: bytes) -> Path:
    content = attestation_library().read_bytes()
    if content.count(old) != 1:
        raise ValueError(f"The library holds {old!r} {content.count(old)} times.")
    return _write(target, content.replace(old, new))


def _write(target: Path, content: bytes) -> Path:
    path = target / "AttestationClientLib.dll"
    path.write_bytes(content)
    return path
