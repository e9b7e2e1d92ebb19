"""Look into the built distributions: `python check_wheels.py DIST` exits with 1 and says why."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROJECTS = ("msal_key_attestation", "msal_msi_v2")


def wheel_problems(wheel: Path, project: str) -> Iterator[str]:
    """Yield what a user of the wheel would miss, or should not get."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    metadata = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    if not wheel.name.endswith("-py3-none-any.whl"):
        yield "is not py3-none-any"
    if f"{project}/py.typed" not in names:
        yield "has no py.typed"
    if f"{metadata}/licenses/LICENSE" not in names:
        yield "has no LICENSE"
    for stray in sorted({name.partition("/")[0] for name in names} - {project, metadata}):
        yield f"holds {stray}/, which is not the package"
    yield from _unwanted(names)


def sdist_problems(sdist: Path, project: str) -> Iterator[str]:
    """Yield what a source distribution lacks for a build, or should not carry."""
    root = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    for needed in ("LICENSE", "README.md", "pyproject.toml", f"src/{project}/py.typed"):
        if f"{root}/{needed}" not in names:
            yield f"has no {needed}"
    yield from _unwanted(names)


def problems(dist: Path) -> Iterator[str]:
    """Yield every problem of a directory that should hold one wheel and one sdist per package."""
    for project in PROJECTS:
        for pattern, look in (
            (f"{project}-*.whl", wheel_problems),
            (f"{project}-*.tar.gz", sdist_problems),
        ):
            found = sorted(dist.glob(pattern))
            if len(found) != 1:
                yield f"{pattern}: {len(found)} files instead of one"
            for path in found:
                yield from (f"{path.name} {problem}" for problem in look(path, project))


def _unwanted(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        parts = name.split("/")
        if "tests" in parts or parts[-1].startswith(("test_", "conftest")):
            yield f"holds a test: {name}"
        if name.endswith((".dll", ".exe", ".pyd", ".so", ".pyc")):
            yield f"holds a binary: {name}"


if __name__ == "__main__":
    complaints = list(problems(Path(sys.argv[1])))
    print(*complaints or ["the distributions are as they should be"], sep="\n")
    sys.exit(bool(complaints))
