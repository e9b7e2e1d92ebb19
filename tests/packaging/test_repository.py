"""What the repository promises about itself: its commands, and text that holds on every machine."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = "python3 -m venv .venv && .venv/bin/python -m pip install --quiet nox && .venv/bin/nox -s"

# One character in brackets each, so that this file is not what they find.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e])/\w|[A-Z]:\\{1,2}User[s]\\")


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def published_files() -> list[Path]:
    """List what git tracks or would track, or nothing outside a git checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [path for name in listed.stdout.split("\0") if (path := ROOT / name).is_file()]


def test_ci_ends_with_the_readmes_test_command() -> None:
    command = f"{SETUP} tests"
    assert lines(".ci/run")[-1] == command
    assert command in lines("README.md")


def test_the_readme_shows_the_demo() -> None:
    assert f"{SETUP} demo" in lines("README.md")


def test_ci_runs_every_session() -> None:
    session = re.compile(r"^@nox\.session\n(?:@.*\n)*def (\w+)", re.MULTILINE)
    defined = session.findall("\n".join(lines("noxfile.py")))
    (steps,) = (line for line in lines(".ci/run") if line.startswith("for session in "))
    run = {word.strip("';").partition("(")[0] for word in steps.split()}
    assert {"tests", "wine"} <= set(defined)
    # The last line has the tests; figures and hours of storm are for those who ask for them.
    assert set(defined) - run == {"tests", "bench", "soak"}


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no executable bit")
def test_ci_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_no_file_speaks_of_one_machine() -> None:
    files = published_files()
    if not files:
        pytest.skip("not a git checkout")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        if (match := MACHINE_PATHS.search(path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert found == []
