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
from small_cloud import CLIENT_ID, RESOURCE, TENANTS, VAULT_TOKEN, SmallCloud, issue

from msal_msi_v2 import (
    AttestationError,
    KeyVaultError,
    ManagedIdentityClient,
    MsiV2ClientError,
    MsiV2Error,
    MsiV2ServiceError,
    MtlsBindingStrength,
)
from msal_msi_v2.assertions import KeyVaultKeyAssertion
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
    "vault": KeyVaultError,
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


def ask_vault(wrong: Callable[[SmallCloud], object], *, named: bool = True) -> Provocation:
    """Ask a small vault of the test's own for an assertion, once something is wrong with it."""

    def provoke(emulator: MsiV2Emulator, patch: pytest.MonkeyPatch) -> None:
        folder = Path(emulator.ca_bundle).parent
        with SmallCloud(folder / "small.pem") as cloud:
            patch.setenv("REQUESTS_CA_BUNDLE", cloud.ca_bundle)
            made = cloud.create()
            wrong(cloud)
            resource = RESOURCE if named else None
            assertion = KeyVaultKeyAssertion(
                cloud.key_id(made), lambda _: VAULT_TOKEN, certificate=made.der, resource=resource
            )
            assertion.bind(CLIENT_ID, TENANTS[0])()

    return provoke


def answer(status: int, payload: object = b"") -> Callable[[SmallCloud], object]:
    return lambda cloud: cloud.wrong.append(lambda _call: (status, {}, payload))


def sign_with_another(cloud: SmallCloud) -> None:
    (made,) = cloud.versions["app"]
    object.__setattr__(made, "key", issue("other").key)


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
    "assertion_key_mismatch": ask_vault(sign_with_another),
    "key_vault_access_denied": ask_vault(lambda cloud: cloud.forbidden.update({"keys/sign": "x"})),
    "key_vault_unauthorized": ask_vault(answer(401)),
    "key_vault_key_unusable": ask_vault(
        lambda cloud: cloud.disabled.add(cloud.versions["app"][0].version)
    ),
    "key_vault_not_found": ask_vault(answer(404)),
    "key_vault_challenge_refused": ask_vault(lambda _: None, named=False),
    "key_vault_throttled": ask_vault(answer(429)),
    "key_vault_unavailable": ask_vault(answer(500)),
    "key_vault_request_failed": ask_vault(answer(200)),
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
    raised = r'(?:Error|_unbound)\(\s*"(\w+)"|REQUEST_FAILED = "(\w+)"|"(key_vault_\w+)"'
    return {"".join(groups) for groups in re.findall(raised, text)}


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
