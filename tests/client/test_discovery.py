"""Finding msal-key-attestation: real packages on a real path, imported by a new interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from msal_msi_v2.discovery import discover_platform, default_platform
from msal_msi_v2.requirements import require_attestor
platform = discover_platform()
try:
    require_attestor(platform)
    told = {}
except Exception as exc:
    told = {"error": exc.error, "text": str(exc), "cause": type(exc.__cause__).__name__}
told["shared"] = default_platform() is default_platform()
told["unavailable"] = " ".join(platform.key_store.get_key().unavailable)
print(json.dumps(told))
"""


def discover(path: Path, source: str | None) -> dict[str, Any]:
    """Discover with a package of this source first on the path; ``None``: with none at all."""
    blocked = "import sys; sys.modules['msal_key_attestation'] = None\n" if source is None else ""
    if source is not None:
        (path / "msal_key_attestation.py").write_text(source)
    command = [sys.executable, "-c", blocked + PROGRAM, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def test_not_installed(tmp_path: Path) -> None:
    told = discover(tmp_path, None)
    assert told["error"] == "attestation_package_missing"
    assert "pip install msal-msi-v2[attestation]" in told["text"]
    assert "not installed" in told["unavailable"]


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_dependency", "ModuleNotFoundError"),
        ("raise OSError('DLL load failed')", "OSError"),
        ("1/0", "ZeroDivisionError"),
        ("x = 1", "AttributeError"),
        ("def create_platform(): raise OSError('no handle')", "OSError"),
    ],
)
def test_installed_but_broken(tmp_path: Path, source: str, cause: str) -> None:
    told = discover(tmp_path, source)
    assert (told["error"], told["cause"]) == ("attestation_package_broken", cause)
    assert cause in told["text"], "the cause is named"


def test_not_supported_here(tmp_path: Path) -> None:
    told = discover(
        tmp_path,
        "from msal_msi_v2 import MsiV2ClientError\n"
        "def create_platform():\n"
        "    raise MsiV2ClientError('attestation_not_supported', 'Needs x64 Windows.')\n",
    )
    assert told["error"] == "attestation_not_supported"
    assert "Needs x64 Windows." in told["unavailable"]


def test_one_platform_for_the_process(tmp_path: Path) -> None:
    assert discover(tmp_path, None)["shared"]


def test_a_working_package_is_used(tmp_path: Path) -> None:
    told = discover(
        tmp_path,
        "from msal_msi_v2.software import SoftwareKeyStore\n"
        "class Platform:\n"
        "    key_store, attestor = SoftwareKeyStore(), object()\n"
        "create_platform = Platform\n",
    )
    assert told == {"shared": True, "unavailable": ""}
