"""Install the built wheels where nothing else is: `python check_install.py DIST`.

The extra `attestation` has to find the sibling by its name, as it will for a user, and a constraint
makes it the one in DIST; the installed metadata confirms where both came from. The rest comes from
wherever pip is configured to look.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROBE = """
import importlib.metadata, json, pathlib, sys
import msal_key_attestation, msal_msi_v2

for module in (msal_key_attestation, msal_msi_v2):
    distribution = importlib.metadata.distribution(module.__name__.replace("_", "-"))
    origin = json.loads(distribution.read_text("direct_url.json") or "{}").get("url", "an index")
    file = pathlib.Path(module.__file__).resolve()
    assert file.is_relative_to(pathlib.Path(sys.prefix).resolve()), f"imported from {file}"
    assert origin in sys.argv[1:], f"installed from {origin}"
    assert module.__version__ == distribution.version, module.__name__
    print(module.__name__, module.__version__, "from", origin.rpartition("/")[2])
"""


def check(wheels: list[Path], directory: Path) -> None:
    """Install `wheels` into an empty environment in `directory`, import and run them from there."""
    environment = directory / "environment"
    venv.create(environment, with_pip=True)
    scripts = environment / ("Scripts" if sys.platform == "win32" else "bin")
    native, core = (wheel.resolve().as_uri() for wheel in wheels)
    constraints = directory / "constraints.txt"
    constraints.write_text(f"msal-key-attestation @ {native}\n", encoding="utf-8")
    what = ["--quiet", "--constraint", str(constraints), f"msal-msi-v2[attestation] @ {core}"]
    # From `directory`, and isolated, so that the checkout cannot be what answers.
    python = [str(scripts / "python"), "-I"]
    for command in (
        [*python, "-m", "pip", "install", *what],
        [*python, "-m", "pip", "check"],
        [*python, "-c", PROBE, native, core],
        [str(scripts / "msal-msi-v2"), "--help"],
    ):
        subprocess.run(command, cwd=directory, check=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        check(sorted(Path(sys.argv[1]).glob("*.whl")), Path(scratch))
