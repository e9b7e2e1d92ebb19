"""What both packages must agree on, and what their installed metadata says."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import re
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
NAMES = ("msal-key-attestation", "msal-msi-v2")


def project(name: str) -> dict[str, Any]:
    text = (ROOT / "packages" / name / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


def source_version(name: str) -> str:
    package = name.replace("-", "_")
    source = ROOT / "packages" / name / "src" / package / "__init__.py"
    found = re.search(
        r'^__version__ = "([^"]+)"$', source.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found, f"{source} gives no version"
    return found[1]


def test_both_packages_have_the_same_version() -> None:
    assert len({source_version(name) for name in NAMES}) == 1


@pytest.mark.parametrize("key", ["requires-python", "license", "license-files"])
def test_both_packages_declare_the_same(key: str) -> None:
    native, core = (project(name)[key] for name in NAMES)
    assert native == core


def test_both_packages_support_the_same_pythons() -> None:
    native, core = (
        {text for text in project(name)["classifiers"] if "Python :: 3" in text} for name in NAMES
    )
    assert native == core


def test_both_packages_accept_the_same_cryptography() -> None:
    native, core = (
        [text for text in project(name)["dependencies"] if text.startswith("cryptography")]
        for name in NAMES
    )
    assert native == core


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_says_how_old_it_may_be(name: str) -> None:
    """The session ``oldest`` runs the tests with these versions."""
    table = project(name)
    extras = table.get("optional-dependencies", {}).values()
    texts = {text for texts in (table["dependencies"], *extras) for text in texts} - set(NAMES)
    assert {text for text in texts if ">=" not in text} == set()


def test_each_package_carries_the_license() -> None:
    license_text = (ROOT / "LICENSE").read_bytes()
    for name in NAMES:
        assert (ROOT / "packages" / name / "LICENSE").read_bytes() == license_text


def test_dependencies_point_one_way() -> None:
    native, core = (project(name) for name in NAMES)
    assert "msal-msi-v2" in native["dependencies"]
    assert core["optional-dependencies"]["attestation"] == ["msal-key-attestation"]
    assert not any("attestation" in text for text in core["dependencies"])


@pytest.mark.parametrize("name", NAMES)
def test_installed_metadata(name: str) -> None:
    metadata = importlib.metadata.metadata(name)
    assert metadata["Version"] == source_version(name)
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == project(name)["requires-python"]
    assert metadata["Summary"] == project(name)["description"]


@pytest.mark.parametrize("name", NAMES)
def test_installed_package_is_typed(name: str) -> None:
    assert importlib.resources.files(name.replace("-", "_")).joinpath("py.typed").is_file()


def test_installed_command_leads_to_the_cli() -> None:
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="msal-msi-v2")
    assert callable(command.load())
