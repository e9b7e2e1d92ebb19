"""The package imports on every system, and says why it cannot serve."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import sysconfig

import pytest

import msal_key_attestation
from msal_key_attestation._native import status
from msal_key_attestation.errors import (
    KeyAttestationError,
    NativeAttestationError,
    NativeCallError,
    NativeLibraryError,
    UnsupportedSystemError,
)
from msal_msi_v2.errors import AttestationError, MsiV2ClientError, MsiV2Error, MsiV2ServiceError

IS_X64_WINDOWS = sysconfig.get_platform() == "win-amd64"
ENTRANCES = [
    msal_key_attestation.create_platform,
    msal_key_attestation.create_attestation_provider,
    lambda: msal_key_attestation.get_attestation_jwt("https://maa", 1, "client"),
]


@pytest.mark.skipif(IS_X64_WINDOWS, reason="x64 Windows is supported")
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_other_systems_are_told_why(entrance: object) -> None:
    assert callable(entrance)
    with pytest.raises(UnsupportedSystemError) as caught:
        entrance()
    assert caught.value.error == "attestation_not_supported"
    assert isinstance(caught.value, MsiV2ClientError)
    assert sys.platform in caught.value.error_description


@pytest.mark.parametrize(("platform", "words"), [("win32", "32-bit"), ("win-arm64", "ARM64")])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_so_are_other_interpreters_on_windows(
    monkeypatch: pytest.MonkeyPatch, entrance: object, platform: str, words: str
) -> None:
    monkeypatch.setattr(sysconfig, "get_platform", lambda: platform)
    assert callable(entrance)
    with pytest.raises(UnsupportedSystemError) as caught:
        entrance()
    assert words in caught.value.error_description
    assert "64-bit (x64) Python" in caught.value.error_description


def test_importing_loads_no_library_and_reads_no_environment() -> None:
    program = (
        "import os; names = []; get = os.environ.__class__.__getitem__\n"
        "import msal_msi_v2, cffi, cryptography.x509, requests, urllib3, argparse, tempfile\n"
        "os.environ.__class__.__getitem__ = lambda s, n: (names.append(n), get(s, n))[1]\n"
        "import msal_key_attestation\n"
        "from msal_key_attestation._native import libs\n"
        "assert not [n for n in names if 'ATTEST' in n or 'MSAL' in n], names\n"
        "assert all(f.cache_info().currsize == 0 for f in (libs.kernel32, libs.ncrypt,"
        " libs.crypt32, libs.winhttp))\n"
        "print('well')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == ("well", 0), done.stderr


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (UnsupportedSystemError, MsiV2ClientError),
        (NativeLibraryError, MsiV2ClientError),
        (NativeCallError, MsiV2ServiceError),
        (NativeAttestationError, AttestationError),
    ],
)
def test_every_error_is_of_the_one_tree(
    kind: type[KeyAttestationError], base: type[MsiV2Error]
) -> None:
    assert issubclass(kind, base)
    assert issubclass(kind, KeyAttestationError)
    error = kind("code", "what happened")
    assert (error.api, error.status) == (None, None)


def test_an_error_names_function_and_status_and_survives_a_pickle() -> None:
    error = status.call_error("NCryptSignHash", -2146893766)
    assert (error.api, error.status) == ("NCryptSignHash", 0x8009003A)
    assert "NCryptSignHash failed with 0x8009003A (NTE_VBS_CANNOT_DECRYPT_KEY)" in str(error)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (twin.api, twin.status, str(twin)) == (error.api, error.status, str(error))


def test_success_raises_nothing() -> None:
    status.check_status("NCryptSignHash", 0)
    status.check_result("CloseHandle", 1)
