"""Just enough of a DLL to be told from other files."""

from __future__ import annotations

import struct

from msal_key_attestation._attestation import pe


def dll(machine: int = pe.X64, tail: bytes = b"") -> bytes:
    header = b"MZ" + bytes(58) + struct.pack("<I", 64)
    return header + b"PE\0\0" + struct.pack("<H", machine) + bytes(200) + tail
