"""The native attestation library: called rightly, kept quiet about secrets, believed in nothing."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from standins import (
    attestation_library,
    of_another_machine,
    without_runtime,
    without_symbol,
)

from msal_key_attestation import NativeCallError, create_attestation_provider, create_platform
from msal_key_attestation._attestation.codes import meaning
from msal_key_attestation._attestation.library import load_library
from msal_key_attestation._attestation.session import AttestationSession
from msal_key_attestation._keys.ncrypt_key import KeyGuardKey, TpmKey
from msal_key_attestation.attestor import KeyGuardAttestor
from msal_key_attestation.errors import NativeLibraryError
from msal_key_attestation.keystore import WindowsKeyStore
from msal_msi_v2.errors import AttestationError, MsiV2ClientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from standins import Standins

    from msal_key_attestation.attestor import AttestationProvider

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")

ENDPOINT, CLIENT_ID = "https://MAA.example/", "3c6e0b8a-9c15-4f2a-8d7e-5b4a39281706"


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJub25lIn0.{payload}.c2lnbmF0dXJl"


def lasting() -> str:
    return token(exp=time.time() + 3600)


def attesting(standins: Standins, **names: Any) -> None:
    """Have the library answer with a token, without asking the service."""
    standins.script("attestation", **{"attest.token": lasting(), **names})


@pytest.fixture
def keyguard_key(standins: Standins) -> KeyGuardKey:
    standins.script("ncrypt")
    key = WindowsKeyStore(on_created=lambda: None).get_key().private_key
    assert isinstance(key, KeyGuardKey)
    return key


@pytest.fixture
def provider(standins: Standins) -> AttestationProvider:
    attesting(standins)
    return create_attestation_provider(attestation_library())


def calls(standins: Standins) -> int:
    return len(standins.calls("attestation", "attest"))


def test_the_library_gets_what_it_wants(
    provider: AttestationProvider, standins: Standins, keyguard_key: KeyGuardKey
) -> None:
    jwt = provider(ENDPOINT, keyguard_key.handle, CLIENT_ID)
    assert jwt.count(".") == 2
    (call,) = standins.calls("attestation", "attest")
    assert call.fields["endpoint"] == ENDPOINT
    assert call.fields["client_payload"] == "{}"
    assert call.fields["client_id"] == CLIENT_ID
    assert call.fields["auth_token"] == "(empty)"
    assert len(standins.calls("attestation", "free")) == 1


def test_a_jwt_is_shared_by_all_identities_of_a_key(
    provider: AttestationProvider, standins: Standins, keyguard_key: KeyGuardKey
) -> None:
    handle = keyguard_key.handle
    first = provider(ENDPOINT, handle, CLIENT_ID)
    assert provider("https://maa.EXAMPLE", handle, "another identity") == first
    assert calls(standins) == 1
    provider(ENDPOINT, handle, CLIENT_ID, "narrowed")
    provider("https://other.example", handle, CLIENT_ID)
    assert calls(standins) == 3
    provider(ENDPOINT, handle, CLIENT_ID, fresh=True)
    assert calls(standins) == 4


def test_a_key_that_was_made_anew_is_another_key(
    provider: AttestationProvider, standins: Standins, keyguard_key: KeyGuardKey
) -> None:
    provider(ENDPOINT, keyguard_key.handle, CLIENT_ID)
    standins.script("ncrypt", boot=1)
    renewed = WindowsKeyStore(on_created=lambda: None).get_key().private_key
    assert renewed.public_key() != keyguard_key.public_key()
    provider(ENDPOINT, getattr(renewed, "handle"), CLIENT_ID)  # noqa: B009 - of a KeyGuardKey
    assert calls(standins) == 2


def test_however_many_ask_at_once_the_library_is_called_once(
    provider: AttestationProvider, standins: Standins, keyguard_key: KeyGuardKey
) -> None:
    attesting(standins, **{"attest.delay": 400})
    jwts: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: jwts.append(provider(ENDPOINT, keyguard_key.handle, CLIENT_ID))
        )
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(jwts) == 16
    assert calls(standins) == 1


@pytest.mark.parametrize("code", range(-35, 0))
def test_every_code_reaches_the_caller_with_its_meaning(
    provider: AttestationProvider, standins: Standins, keyguard_key: KeyGuardKey, code: int
) -> None:
    standins.script("attestation", **{"attest.result": code})
    for _ in range(2):  # a failure is not cached
        with pytest.raises(AttestationError) as caught:
            provider(ENDPOINT, keyguard_key.handle, CLIENT_ID)
        assert caught.value.error == "attestation_failed"
        assert caught.value.native_error_code == code
        assert meaning(code) in caught.value.error_description
        assert str(code) in caught.value.error_description
    assert calls(standins) == 2


@pytest.mark.parametrize("nothing", ["null", "empty", "blank"])
def test_no_token_is_a_failure(
    provider: AttestationProvider, standins: Standins, keyguard_key: KeyGuardKey, nothing: str
) -> None:
    standins.script("attestation", **{"attest.token": nothing})
    with pytest.raises(AttestationError, match="no token"):
        provider(ENDPOINT, keyguard_key.handle, CLIENT_ID)


@pytest.mark.parametrize(
    ("endpoint", "client_id"),
    [
        ("", CLIENT_ID),
        (" ", CLIENT_ID),
        ("https://é", CLIENT_ID),
        (ENDPOINT, "a\0b"),
        (ENDPOINT, ""),
    ],
)
def test_arguments_that_c_would_misread_are_refused(
    provider: AttestationProvider,
    standins: Standins,
    keyguard_key: KeyGuardKey,
    endpoint: str,
    client_id: str,
) -> None:
    with pytest.raises(MsiV2ClientError):
        provider(endpoint, keyguard_key.handle, client_id)
    assert calls(standins) == 0


def test_a_handle_of_nothing_is_an_error_of_ours(provider: AttestationProvider) -> None:
    with pytest.raises(NativeCallError) as caught:
        provider(ENDPOINT, 4711, CLIENT_ID)
    assert caught.value.api == "NCryptExportKey"


def test_its_log_goes_into_ours_without_secrets(
    provider: AttestationProvider,
    standins: Standins,
    keyguard_key: KeyGuardKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = lasting()
    message = f"got {secret} of it"
    attesting(standins, **{"log.levels": 1, "log.thread": 1, "log.message": message})
    with caplog.at_level(logging.INFO, "msal_key_attestation"):
        provider(ENDPOINT, keyguard_key.handle, CLIENT_ID)
    levels = {record.levelno for record in caplog.records}
    assert levels == {logging.ERROR, logging.WARNING, logging.INFO}
    assert "<redacted>" in caplog.text
    assert secret not in caplog.text
    assert secret.split(".")[1] not in caplog.text
    with caplog.at_level(logging.DEBUG, "msal_key_attestation"):
        provider(ENDPOINT, keyguard_key.handle, CLIENT_ID, fresh=True)
    assert logging.DEBUG in {record.levelno for record in caplog.records}


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record)


def test_a_log_that_fails_never_reaches_c(
    provider: AttestationProvider,
    standins: Standins,
    keyguard_key: KeyGuardKey,
    capfd: pytest.CaptureFixture[str],
) -> None:
    attesting(standins, **{"log.levels": 1})
    logger, handler = logging.getLogger("msal_key_attestation"), Broken()
    logger.addHandler(handler)
    try:
        assert provider(ENDPOINT, keyguard_key.handle, CLIENT_ID)
    finally:
        logger.removeHandler(handler)
    assert "Traceback" not in capfd.readouterr().err


PROGRAM = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG)
from msal_key_attestation import create_attestation_provider, get_attestation_jwt
from msal_key_attestation.keystore import WindowsKeyStore
key = WindowsKeyStore(on_created=lambda: None).get_key().private_key
for _ in range(3):
    provider = create_attestation_provider()
    provider("https://maa", key.handle, "client", fresh=True)
    get_attestation_jwt("https://maa", key.handle, "client")
print("well")
"""


def test_it_is_initialised_once_per_process_and_ended_with_it(standins: Standins) -> None:
    attesting(standins, **{"log.late": 1})
    environment = {**os.environ, "ATTESTATION_CLIENTLIB_PATH": str(attestation_library())}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.strip(), done.returncode) == ("well", 0), done.stderr
    names = ("init", "attest", "uninit")
    counts = {name: len(standins.calls("attestation", name)) for name in names}
    assert counts == {"init": 1, "attest": 6, "uninit": 1}


@pytest.mark.parametrize("code", [-1, -30, -35])
def test_a_library_that_does_not_initialise_is_asked_again(standins: Standins, code: int) -> None:
    key = WindowsKeyStore(on_created=lambda: None).get_key().private_key
    handle = getattr(key, "handle")  # noqa: B009 - of a KeyGuardKey
    session = AttestationSession(load_library(attestation_library()))
    standins.script("attestation", **{"init.result": code})
    with pytest.raises(AttestationError) as caught:
        session.attest(ENDPOINT, handle, CLIENT_ID)
    assert caught.value.native_error_code == code
    assert "InitAttestationLib" in caught.value.error_description
    attesting(standins)
    assert session.attest(ENDPOINT, handle, CLIENT_ID)


def test_the_attestor_takes_keyguard_keys_only(
    provider: AttestationProvider, keyguard_key: KeyGuardKey
) -> None:
    attestor = KeyGuardAttestor(provider)
    assert attestor.attest(ENDPOINT, keyguard_key, CLIENT_ID)
    with pytest.raises(MsiV2ClientError) as caught:
        attestor.attest(ENDPOINT, rsa.generate_private_key(65537, 2048), CLIENT_ID)
    assert caught.value.error == "mtls_pop_requires_keyguard"
    with pytest.raises(MsiV2ClientError):
        attestor.attest(ENDPOINT, TpmKey.__new__(TpmKey), CLIENT_ID)


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        (without_symbol, "it lacks FreeAttestationToken"),
        (without_runtime, "vc_redist.x64.exe"),
        (of_another_machine, "ARM64"),
    ],
)
@pytest.mark.usefixtures("standins")
def test_what_is_wrong_with_a_library_is_named(
    tmp_path: Path, maker: Callable[[Path], Path], words: str
) -> None:
    path = maker(tmp_path)
    with pytest.raises(NativeLibraryError) as caught:
        create_attestation_provider(path)
    assert caught.value.error == "attestation_package_broken"
    assert words in caught.value.error_description
    assert str(path) in caught.value.error_description


@pytest.mark.usefixtures("standins")
def test_a_platform_without_the_library_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = tmp_path / "AttestationClientLib.dll"
    monkeypatch.setenv("ATTESTATION_CLIENTLIB_PATH", str(missing))
    platform = create_platform()
    monkeypatch.setenv("ATTESTATION_CLIENTLIB_PATH", "ignored: it was read when it was made")
    assert platform.attestor is None
    reason = platform.attestation_unavailable
    assert isinstance(reason, MsiV2ClientError)
    assert reason.error == "attestation_package_broken"
    assert str(missing) in reason.error_description
    missing.write_bytes(attestation_library().read_bytes())
    assert platform.attestor is not None
    assert platform.attestor is platform.attestor
    assert platform.attestation_unavailable is None
