"""The first bytes of a Windows executable: is it one, and for which processor."""

from __future__ import annotations

import struct

X64 = 0x8664
_MACHINES = {0x014C: "x86 (32-bit)", X64: "x64", 0xAA64: "ARM64", 0x01C4: "ARM (32-bit)"}
_DOS_HEADER_SIZE = 64
_OFFSET_OF_PE_OFFSET = 0x3C

HEADER_SIZE = 4096
"""How many bytes of a file are enough for ``machine()``."""


def machine(header: bytes) -> int | None:
    """Return the machine type of a PE file, or ``None`` if it is no such file.

    Args:
        header: The file's first bytes; ``HEADER_SIZE`` of them, or all.
    """
    if len(header) < _DOS_HEADER_SIZE or header[:2] != b"MZ":
        return None
    (start,) = struct.unpack_from("<I", header, _OFFSET_OF_PE_OFFSET)
    if header[start : start + 4] != b"PE\0\0" or len(header) < start + 6:
        return None
    (found,) = struct.unpack_from("<H", header, start + 4)
    return int(found)


def machine_name(found: int | None) -> str:
    """Return what people call a machine type."""
    if found is None:
        return "not a Windows DLL"
    return _MACHINES.get(found, f"machine type 0x{found:04X}")
