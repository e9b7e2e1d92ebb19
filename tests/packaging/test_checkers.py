"""The checkers of the build and docs sessions find what they are for."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROJECTS = ("msal_key_attestation", "msal_msi_v2")


def run(checker: str, argument: Path) -> tuple[int, str]:
    command = [sys.executable, str(HERE / checker), str(argument)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout


def write_wheel(dist: Path, project: str, *more: str, tag: str = "py3-none-any") -> None:
    name = f"{project}-1.0"
    with zipfile.ZipFile(dist / f"{name}-{tag}.whl", "w") as archive:
        for member in (f"{project}/py.typed", f"{name}.dist-info/licenses/LICENSE", *more):
            archive.writestr(member, "")


def write_sdist(dist: Path, project: str, *more: str) -> None:
    name = f"{project}-1.0"
    with tarfile.open(dist / f"{name}.tar.gz", "w:gz") as archive:
        for member in ("LICENSE", "README.md", "pyproject.toml", f"src/{project}/py.typed", *more):
            archive.addfile(tarfile.TarInfo(f"{name}/{member}"))


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    for project in PROJECTS:
        write_wheel(tmp_path, project)
        write_sdist(tmp_path, project)
    return tmp_path


def test_sound_distributions_pass(dist: Path) -> None:
    assert run("check_wheels.py", dist) == (0, "the distributions are as they should be\n")


@pytest.mark.parametrize(
    ("stray", "complaint"),
    [
        ("tests/test_flow.py", "holds tests/, which is not the package"),
        ("msal_msi_v2/test_flow.py", "holds a test: msal_msi_v2/test_flow.py"),
        ("msal_msi_v2/ncrypt.dll", "holds a binary: msal_msi_v2/ncrypt.dll"),
    ],
)
def test_a_wheel_with_too_much_fails(dist: Path, stray: str, complaint: str) -> None:
    write_wheel(dist, "msal_msi_v2", stray)
    code, output = run("check_wheels.py", dist)
    assert code == 1
    assert complaint in output


def test_a_wheel_without_its_files_fails(dist: Path) -> None:
    with zipfile.ZipFile(dist / "msal_msi_v2-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("msal_msi_v2/__init__.py", "")
    code, output = run("check_wheels.py", dist)
    assert code == 1
    assert "has no py.typed" in output
    assert "has no LICENSE" in output


def test_a_second_wheel_for_one_platform_fails(dist: Path) -> None:
    write_wheel(dist, "msal_msi_v2", tag="cp311-cp311-win_amd64")
    code, output = run("check_wheels.py", dist)
    assert code == 1
    assert "msal_msi_v2-*.whl: 2 files instead of one" in output
    assert "win_amd64.whl is not py3-none-any" in output


def test_an_sdist_with_tests_fails(dist: Path) -> None:
    write_sdist(dist, "msal_msi_v2", "tests/test_flow.py")
    code, output = run("check_wheels.py", dist)
    assert code == 1
    assert "holds a test" in output


def test_sound_pages_pass(tmp_path: Path) -> None:
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide" / "more.md").write_text("## A heading, `really`\n", encoding="utf-8")
    page = """# Page
[there](guide/more.md) [heading](guide/more.md#a-heading-really) [here](#page) [web](https://a.example/b)
```python
result = await client.get()
```
```console
$ [not](a-link.md)
```
"""
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    assert run("check_docs.py", tmp_path) == (0, "links and examples are sound\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[x](missing.md)", "page.md: missing.md leads nowhere"),
        ("![x](missing.png)", "page.md: missing.png leads nowhere"),
        ("[x]: missing.md", "page.md: missing.md leads nowhere"),
        ("[x](page.md#missing)", "page.md: page.md#missing names no heading of page.md"),
        ("```python\nwith:\n```", "page.md: an example does not compile"),
        ("1. so:\n   ```python\n   a = = 1\n   ```", "page.md: an example does not compile"),
    ],
)
def test_a_page_that_misleads_fails(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "page.md").write_text(f"# Page\n\n{text}\n", encoding="utf-8")
    code, output = run("check_docs.py", tmp_path)
    assert code == 1
    assert complaint in output
