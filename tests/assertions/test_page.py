"""The programs of docs/assertions.md, run as a reader would, but for where they lead."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from detour import redirect
from requests.adapters import HTTPAdapter
from small_cloud import RESOURCE, TENANTS, SmallCloud

from msal_msi_v2.emulator import FederatedCredential

if TYPE_CHECKING:
    from msal_msi_v2.emulator import MsiV2Emulator

PAGE = Path(__file__).parents[2] / "docs" / "assertions.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def program(word: str) -> str:
    """Return the one program that holds a word."""
    (found,) = [one for one in PROGRAMS if word in one]
    return str(found)


@pytest.fixture
def abroad(
    cloud: SmallCloud, emulator: MsiV2Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SmallCloud:
    """The small cloud for all of https, and the emulated host's IMDS for tokens."""
    both = tmp_path / "both.pem"
    both.write_text(Path(cloud.ca_bundle).read_text() + Path(emulator.ca_bundle).read_text())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(both))
    real = HTTPAdapter.send  # of all adapters: msal and the Azure SDK mount their own

    def send(adapter: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        redirect(request, cloud.url)
        return real(adapter, request, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "send", send)

    def lets_in(authorization: str) -> bool:
        token = authorization.removeprefix("Bearer ")
        return bool(token) and _audience(token) == RESOURCE

    cloud.lets_in = lets_in
    return cloud


def _audience(token: str) -> object:
    return jwt.decode(token, options={"verify_signature": False})["aud"].rstrip("/")


def run(text: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, str(PAGE), "exec"), {})
    return printed.getvalue()


def test_every_program_is_run_here() -> None:
    assert len(PROGRAMS) == 7


def test_with_a_certificate(abroad: SmallCloud) -> None:
    abroad.create()
    text = program("identity,  # the vault is called with tokens bound")
    # Bound calls of the vault have tests of their own; they do not go through requests' adapters.
    text = text.replace("    identity,  #", "    BearerCredential(identity),  #")
    text = text.replace("import KeyVault", "import BearerCredential, KeyVault")
    assert run(text).split() == ["Bearer", "None"] * 2
    assert abroad.legs().count("sign") == 2
    assert abroad.legs().count("certificates") == 2, "asked what its tokens are for, and read"


def test_with_a_key(abroad: SmallCloud) -> None:
    made = abroad.create()
    assert f"/keys/app/{made.version}" in program("KeyVaultKeyAssertion")
    assert run(program("KeyVaultKeyAssertion").replace("THUMBPRINT", made.x5t_s256)).split() == [
        "Bearer",
        "None",
    ]


def test_with_the_managed_identitys_own_token(abroad: SmallCloud, emulator: MsiV2Emulator) -> None:
    shown: list[str] = []

    def trust(call: Any) -> Any:
        if not call.path.endswith("/token"):
            return None
        shown.extend(parse_qs(call.body.decode())["client_assertion"])
        return 200, {}, {"access_token": "x", "token_type": "Bearer", "expires_in": 3600}

    abroad.wrong.append(trust)
    text = program("ManagedIdentityAssertion").replace(
        'msal.UserAssignedManagedIdentity(client_id="44444444-4444-4444-8444-444444444444")',
        "msal.SystemAssignedManagedIdentity()",
    )
    assert run(text).split() == ["Bearer", "None"]
    assert [_audience(token) for token in shown] == ["api://AzureADTokenExchange"]
    assert len(emulator.requests_to("imds_token")) == 1


def documented_credential(emulator: MsiV2Emulator) -> FederatedCredential:
    """The federated credential that the page has registered, for this identity."""
    (parameters,) = re.findall(r"--parameters '(\{.*?\})'", PAGE.read_text("utf-8"), re.DOTALL)
    told = json.loads(parameters.replace(TENANTS[0], emulator.tenant_id))
    assert told["subject"] == "55555555-5555-4555-8555-555555555555"
    (audience,) = told["audiences"]
    return FederatedCredential(told["issuer"], emulator.identities[0].object_id, audience)


@pytest.mark.skipif(sys.platform == "win32", reason="its keys need the emulator it trusts")
def test_with_the_bound_token(emulator: MsiV2Emulator) -> None:
    application = emulator.register_application(federated=[documented_credential(emulator)])
    text = program("app = BoundConfidentialClient(")
    text = text.replace("33333333-3333-4333-8333-333333333333", application.client_id)
    text = text.replace("https://login.microsoftonline.com", emulator.token_url)
    text = text.replace(TENANTS[0], emulator.tenant_id)
    text = text.replace("with_attestation_support=True", "min_strength=1")  # no KeyGuard here
    assert run(text).startswith("mtls_pop <BindingCertificate CN=")


def test_on_the_emulator(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program("MsiV2Emulator")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.stderr == ""
    *bearers, bound = done.stdout.splitlines()
    assert bearers == ["Bearer None"] * 2
    assert bound.startswith("mtls_pop <BindingCertificate CN=")


def test_with_any_key(abroad: SmallCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = abroad.create()
    pem = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "app.pem").write_bytes(pem + made.certificate.public_bytes(Encoding.PEM))
    monkeypatch.chdir(tmp_path)
    assert run(program("SignedAssertion")).split() == ["Bearer", "None"]


def test_with_azure_identity(abroad: SmallCloud) -> None:
    pytest.importorskip("azure.identity")
    abroad.create()
    assert run(program("ClientAssertionCredential")).strip() == "True"
    assert abroad.count("token") == 1
    assert TENANTS[0] in program("ClientAssertionCredential")
