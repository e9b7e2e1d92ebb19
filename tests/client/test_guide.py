"""The programs of the guide, run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import msal_msi_v2.emulator

if TYPE_CHECKING:
    from msal_msi_v2.emulator import MsiV2Emulator

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"requests": "requests", "httpx": "httpx", "azure-sdk": "azure.keyvault.secrets"}


def blocks(page: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_guides_test_passes(tmp_path: Path) -> None:
    (program,) = [block for block in blocks("guide") if "def test_" in block]
    (tmp_path / "test_guide.py").write_text(program, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout


def test_what_the_guide_has_set_up_is_there(emulator: MsiV2Emulator) -> None:
    text = (DOCS / "guide.md").read_text("utf-8")
    table = text.split("on an emulator that runs:")[1].split("\n\n")[1]
    rows = [row.split(" | ")[0] for row in table.splitlines()[2:]]
    names = [name for row in rows for name in re.findall(r"`(\w+)", row)]
    assert len(names) > len(rows)
    assert [name for name in names if not hasattr(emulator, name)] == []
    raised = re.findall(r"`([A-Z]\w+)\(", table)
    assert [name for name in raised if not hasattr(msal_msi_v2.emulator, name)] == []


@pytest.mark.skipif(sys.platform == "win32", reason="its keys need the emulator it trusts")
@pytest.mark.parametrize(
    ("page", "number"), [(page, number) for page in PAGES for number in range(len(blocks(page)))]
)
def test_a_pages_program_reads_a_secret(emulator: MsiV2Emulator, page: str, number: int) -> None:
    pytest.importorskip(PAGES[page])
    program = blocks(page)[number]
    assert "https://myvault.vault.azure.net" in program
    program = program.replace("https://myvault.vault.azure.net", emulator.vault_url)
    # Not for readers: the emulator's address is not one of Key Vault's.
    program = program.replace(
        "client_options()", "client_options(), verify_challenge_resource=False"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **emulator.environment},
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("the emulator's secret\n", "")
    assert emulator.requests_to("vault")[-1].headers["authorization"].startswith("mtls_pop ")
