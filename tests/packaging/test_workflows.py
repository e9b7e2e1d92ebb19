"""Workflows run nowhere but on GitHub: what can be known about them beforehand is tested here."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def load(path: Path) -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return workflow


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in load(path)["jobs"].values():
        yield from job.get("steps", ())


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]


@each_workflow
def test_actions_are_pinned_and_say_their_version(path: Path) -> None:
    used = re.findall(r"^\s*(?:- )?uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    actions = [action for action in used if not action.startswith("./")]
    assert actions
    assert [action for action in actions if not PINNED.fullmatch(action)] == []


def test_an_action_has_the_same_pin_everywhere() -> None:
    pins = {step["uses"] for path in WORKFLOWS for step in steps(path) if "uses" in step}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})


@each_workflow
def test_no_permission_but_reading(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}


@each_workflow
def test_only_publishing_may_do_more(path: Path) -> None:
    granted = {
        name: job["permissions"] for name, job in load(path)["jobs"].items() if "permissions" in job
    }
    assert granted == ({"publish": {"id-token": "write"}} if path.name == "release.yml" else {})


@each_workflow
def test_checkouts_leave_no_credentials(path: Path) -> None:
    checkouts = [step for step in steps(path) if "checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@each_workflow
def test_every_job_ends(path: Path) -> None:
    jobs = load(path)["jobs"].items()
    assert [name for name, job in jobs if "uses" not in job and "timeout-minutes" not in job] == []


@each_workflow
def test_sessions_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    matrix = load(path)["jobs"].get("checks", {}).get("strategy", {}).get("matrix", {})
    named = {*re.findall(r"nox -s (\w+)", text), *matrix.get("session", ())}
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    defined = re.findall(r"^def (\w+)\(session", noxfile, re.MULTILINE)
    assert named
    assert named <= set(defined)


def test_nothing_is_published_that_was_not_checked_and_built_here() -> None:
    jobs = load(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert jobs["checks"]["uses"] == "./.github/workflows/ci.yml"
    assert jobs["build"]["needs"] == "checks"
    assert jobs["publish"]["needs"] == "build"


@pytest.mark.parametrize("name", ["msal-msi-v2", "msal-key-attestation"])
def test_the_matrix_is_what_the_classifiers_promise(name: str) -> None:
    matrix = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    text = (ROOT / "packages" / name / "pyproject.toml").read_text(encoding="utf-8")
    promised = re.findall(
        r"Python :: (3\.\d+)", " ".join(tomllib.loads(text)["project"]["classifiers"])
    )
    assert matrix["python-version"] == promised
    assert matrix["os"] == ["ubuntu-latest", "windows-latest"]
