"""Every documented error code, provoked through the real client and real servers."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msal
import pytest
import requests

from msal_msi_v2 import (
    AttestationError,
    ManagedIdentityClient,
    MsiV2ClientError,
    MsiV2Error,
    MsiV2ServiceError,
    MtlsBindingStrength,
)
from msal_msi_v2.discovery import discover_platform
from msal_msi_v2.emulator import (
    Body,
    Delay,
    IssuedCertificate,
    MsiV2Emulator,
    OAuthError,
    Status,
    WrongCnf,
)
from msal_msi_v2.errors import TransportError, TransportFailure, quote
from msal_msi_v2.software import SoftwarePlatform

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
CLASSES = {
    "client": MsiV2ClientError,
    "service": MsiV2ServiceError,
    "attestation": AttestationError,
}
NO_ATTESTATION = MsiV2ClientError("attestation_not_supported", "This is a test's platform.")


def acquire(
    platform: Any = None, timeout: Any = None, resource: str = "https://r", **options: Any
) -> None:
    """Ask for an unattested token over a software key, unless told otherwise."""
    client = ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(),
        http_client=requests.Session(),
        platform=platform or SoftwarePlatform(NO_ATTESTATION),
        timeout=timeout,
    )
    defaults = {"min_strength": MtlsBindingStrength.SOFTWARE}
    client.acquire_token_for_client(
        resource=resource, mtls_proof_of_possession=True, **{**defaults, **options}
    )


Provocation = Callable[[MsiV2Emulator, pytest.MonkeyPatch], None]


def fault(leg: str, lasting: Any, **options: Any) -> Provocation:
    def provoke(emulator: MsiV2Emulator, _: pytest.MonkeyPatch) -> None:
        emulator.faults.add(leg, lasting, times=None)
        acquire(**options)

    return provoke


def ask(**options: Any) -> Provocation:
    return lambda _emulator, _patch: acquire(**options)


def v1_host(_: MsiV2Emulator, patch: pytest.MonkeyPatch) -> None:
    with MsiV2Emulator(imds_version=1) as old:
        patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", old.imds_url)
        acquire()


def app_service(_: MsiV2Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("IDENTITY_ENDPOINT", "http://x")
    patch.setenv("IDENTITY_HEADER", "x")
    acquire()


def without_package(_: MsiV2Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "msal_key_attestation", None)
    acquire(discover_platform(), with_attestation_support=True)


def broken_package(_: MsiV2Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "msal_key_attestation", object())
    acquire(discover_platform(), with_attestation_support=True)


def nobody_listens(_: MsiV2Emulator, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    acquire()


def attestation_refused(emulator: MsiV2Emulator, _: pytest.MonkeyPatch) -> None:
    emulator.faults.add("attestation", Status(400))
    acquire(emulator.keyguard_platform(), with_attestation_support=True)


PROVOCATIONS: dict[str, Provocation] = {
    "mtls_pop_token_not_supported_in_imds_v1": v1_host,
    "mtls_pop_requires_keyguard": ask(min_strength=None),
    "min_strength_not_met": ask(min_strength=MtlsBindingStrength.KEYGUARD),
    "mtls_pop_not_supported_for_environment": app_service,
    "attestation_package_missing": without_package,
    "attestation_package_broken": broken_package,
    "attestation_not_supported": ask(with_attestation_support=True),
    "invalid_json_claims_format": ask(claims_challenge="["),
    "invalid_request": ask(resource=" "),
    "token_type_mismatch": fault("token", Body(lambda b: b.replace(b'"mtls_pop"', b'"Bearer"'))),
    "token_type_missing": fault("token", Body(lambda b: b.replace(b'"token_type"', b'"x"'))),
    "cnf_mismatch": fault("token", WrongCnf()),
    "invalid_certificate": fault("issuecredential", IssuedCertificate(key="other")),
    "managed_identity_request_failed": fault("metadata", Body(b"{}")),
    "managed_identity_unreachable_network": nobody_listens,
    "request_timeout": fault("metadata", Delay(5), timeout=(1, 0.1)),
    "service_not_available": fault("token", Status(503, body="busy")),
    "invalid_client": fault("token", OAuthError("invalid_client", (7000215,))),
    "attestation_failed": attestation_refused,
}


def documented() -> dict[str, str]:
    """Return the table's codes, and the class that it names for each."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a code stands twice in the table"
    return dict(rows)


def test_every_documented_code_is_provoked_and_every_provoked_one_documented() -> None:
    assert set(documented()) == set(PROVOCATIONS)


@pytest.mark.parametrize("code", PROVOCATIONS)
def test_code(emulator: MsiV2Emulator, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    with pytest.raises(MsiV2Error) as caught:
        PROVOCATIONS[code](emulator, monkeypatch)
    error = caught.value
    assert error.error == code
    assert isinstance(error, CLASSES[documented()[code]])
    assert isinstance(error, msal.ManagedIdentityError | ValueError)
    assert error.correlation_id
    assert error.correlation_id in str(error)
    assert len(error.error_description) > 20, "it says what happened"
    if documented()[code] == "client":
        assert not error.is_retryable


def source_codes() -> set[str]:
    """Return every code that the source raises by name."""
    source = Path(sys.modules["msal_msi_v2"].__file__ or "").parent
    files = [path for path in source.rglob("*.py") if "emulator" not in path.parts]
    text = "\n".join(path.read_text("utf-8") for path in files)
    raised = r'(?:Error|_unbound)\(\s*"(\w+)"|REQUEST_FAILED = "(\w+)"'
    return {one or other for one, other in re.findall(raised, text)}


def test_no_code_in_the_source_is_undocumented() -> None:
    assert source_codes() - {"attestation_requires_pop"} <= set(documented())
    assert len(source_codes()) > 12, "the pattern finds them"


def test_oauth_errors_arrive_as_received(emulator: MsiV2Emulator) -> None:
    emulator.faults.add("token", OAuthError("invalid_scope", (70011,), status=400))
    with pytest.raises(MsiV2ServiceError) as caught:
        acquire()
    assert (caught.value.error, caught.value.status_code) == ("invalid_scope", 400)
    assert caught.value.error_codes == (70011,)


def test_a_lifetime_that_is_over_is_seen(emulator: MsiV2Emulator) -> None:
    emulator.faults.add("issuecredential", IssuedCertificate(lifetime=60, not_before=-120))
    with pytest.raises(MsiV2ServiceError, match="expired") as caught:
        acquire()
    assert caught.value.error == "invalid_certificate"


def test_errors_survive_pickling() -> None:
    error = MsiV2ServiceError("code", "text", correlation_id="c", status_code=5, is_retryable=True)
    transport = TransportError(TransportFailure.BROKEN, "text", correlation_id="c")
    for original in (error, transport):
        copy = pickle.loads(pickle.dumps(original))
        assert type(copy) is type(original)
        assert vars(copy) == vars(original)
        assert str(copy) == str(original)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text.", "plain text."),
        ("two\nlines\t and  more", "two lines and more"),
        ("see eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln now", "see <redacted> now"),
        ("csr " + "A" * 100 + "==", "csr <redacted>"),
        ("https://login.microsoftonline.com/x", "https://login.microsoftonline.com/x"),
        ("x " * 600, "x " * 250 + "..."),
    ],
)
def test_quotes_are_clean(text: str, shown: str) -> None:
    assert quote(text) == shown
