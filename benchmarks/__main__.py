"""Run all benchmarks, each in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys

from .measuring import conclude

NAMES = ("new_resource", "cached", "cold", "sessions", "imports", "memory")


def main() -> list[bool]:
    """Run them; return of each whether it went well."""
    commands = ([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]] for name in NAMES)
    return [subprocess.run(command, check=False).returncode == 0 for command in commands]


if __name__ == "__main__":
    conclude(*main())
