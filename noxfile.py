"""What the project checks about itself; CONTRIBUTING.md says which session is for what."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.version import Version

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests", "docs"]

CORE = "packages/msal-msi-v2"
NATIVE = "packages/msal-key-attestation"
DIST = Path("dist")
WINDOWS_PYTHONS = ["3.11", "3.12"]
# What Windows keys and TLS come into; the first version runs everything, software keys included.
WINDOWS_TESTS = [
    *("tests/azure_sdk", "tests/http", "tests/native", "tests/resilience", "tests/transports"),
    *("tests/wine", "-k", "not software and not openssl"),
]
# Where our code meets that of its requirements.
OLDEST_TESTS = [f"tests/{suite}" for suite in ("assertions", "azure_sdk", "client", "http")]
PROJECTS = [nox.project.load_toml(f"{path}/pyproject.toml")["project"] for path in (CORE, NATIVE)]


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group of the root pyproject.toml."""
    return nox.project.dependency_groups(nox.project.load_toml(), name)


def install_for_tests(session: nox.Session, *more: str) -> None:
    """Install both packages as their wheels would be, with every extra, and the test tools."""
    extras = ",".join(PROJECTS[0]["optional-dependencies"])
    session.install(f"./{CORE}[{extras}]", f"./{NATIVE}", *group("test"), *more)


def oldest_requirements() -> list[str]:
    """Return pins for the oldest versions that both packages, with every extra, accept."""
    bounds: dict[str, Version] = {}
    for project in PROJECTS:
        extras = project.get("optional-dependencies", {}).values()
        for requirement in map(Requirement, chain(project["dependencies"], *extras)):
            for specifier in requirement.specifier:
                if specifier.operator == ">=":
                    bound = Version(specifier.version)
                    bounds[requirement.name] = max(bound, bounds.get(requirement.name, bound))
    return [f"{name}=={version}" for name, version in bounds.items()]


def build_into_dist(session: nox.Session, *options: str) -> None:
    """Build both packages into an emptied dist/, so that nothing stale is tested or published."""
    shutil.rmtree(DIST, ignore_errors=True)
    session.install(*group("build"))
    for package in (CORE, NATIVE):
        session.run("python", "-m", "build", *options, "--outdir", str(DIST), package, silent=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.install(*group("lint"))
    paths = session.posargs or ["."]
    session.run("ruff", "check", *paths)
    session.run("ruff", "format", "--check", *paths)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strictly, as seen from Linux and from Windows."""
    install_for_tests(session, *group("types"))
    folders = (*Path("packages").glob("*/src"), *map(Path, ("tests", "native", "benchmarks")))
    found = [str(folder) for folder in folders if any(folder.rglob("*.py"))]
    paths = session.posargs or [*found, "noxfile.py"]
    for platform in ("linux", "win32"):
        session.run("mypy", "--strict", "--platform", platform, *paths)


@nox.session
def tests(session: nox.Session) -> None:
    """Pytest over both packages, installed from this checkout."""
    install_for_tests(session)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """The tests with the oldest version of every requirement that the metadata allows."""
    install_for_tests(session, *oldest_requirements())
    session.run("python", "-m", "pip", "list")
    session.run("python", "-m", "pytest", *(session.posargs or OLDEST_TESTS))


@nox.session
def build(session: nox.Session) -> None:
    """Build wheels and source distributions, look into them, install them where nothing else is."""
    build_into_dist(session)
    session.run("python", "tests/packaging/check_wheels.py", str(DIST))
    session.run("python", "tests/packaging/check_install.py", str(DIST))


@nox.session
def demo(session: nox.Session) -> None:
    """The product at work, against its own emulator."""
    session.install(f"./{CORE}[emulator]")
    session.run("python", "-m", "msal_msi_v2", "demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Ratios against peers measured in the same run; with --strict, a missed target fails."""
    session.install(f"./{CORE}[emulator]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Many threads, every fault and time that flies, for --minutes (3), from a --seed."""
    session.install(f"./{CORE}[emulator]")
    session.run("python", "-m", "soak", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def abi(session: nox.Session) -> None:
    """The declarations against the Windows headers, and the generated module against them."""
    session.install(*group("abi"))
    session.run("python", "native/generate_ffi.py", "--check")
    compiler = ["x86_64-w64-mingw32-gcc", "-std=c11", "-fsyntax-only", "-Werror"]
    session.run(*compiler, "native/abi_probe.c", external=True)


@nox.session
@nox.parametrize("version", [nox.param(version, id=version) for version in WINDOWS_PYTHONS])
def wine(session: nox.Session, version: str) -> None:
    """The wheels under an unmodified Windows CPython, on Wine."""
    session.install(f"./{CORE}[emulator]")
    build_into_dist(session, "--wheel")
    harness = ["tests/wine/harness.py", "--python", version, "--wheels", str(DIST)]
    harness += ["--timeout", "1200"]
    tests = [] if version == WINDOWS_PYTHONS[0] else WINDOWS_TESTS
    session.run("python", *harness, "--", *(session.posargs or tests))
    if not session.posargs:  # and once as on a Windows without KeyGuard
        session.run("python", *harness, "--plain", "--", "tests/native", "-k", "plain")


@nox.session
def docs(session: nox.Session) -> None:
    """Links that lead somewhere, and Python examples that compile."""
    session.run("python", "tests/packaging/check_docs.py", *session.posargs)
