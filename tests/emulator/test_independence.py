"""The emulator checks the client, so it must not share the client's code; nor leak its secrets."""

from __future__ import annotations

import ast
import importlib.util
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

import msal_msi_v2.emulator

if TYPE_CHECKING:
    from tests.emulator.conftest import MiniClient

PACKAGE = "msal_msi_v2.emulator"
SOURCES = sorted(Path(msal_msi_v2.emulator.__file__).parent.glob("*.py"))
ALLOWED = {"errors", "platforms", "strength"}
ALLOWED_IN_A_FUNCTION = {"http.openssl", "software", *ALLOWED}


def imported(tree: ast.AST) -> set[str]:
    """The modules of msal_msi_v2 outside the emulator that code imports, without the prefix."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), PACKAGE)
            names |= {base} if "." in base else {f"{base}.{alias.name}" for alias in node.names}
    outside = {name for name in names if not f"{name}.".startswith(f"{PACKAGE}.")}
    return {
        name.removeprefix("msal_msi_v2.")
        for name in outside
        if f"{name}.".startswith("msal_msi_v2.")
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_nothing_of_the_client_is_imported(source: Path) -> None:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = set().union(*(imported(function) for function in functions))
    assert imported(tree) - inside <= ALLOWED
    assert inside <= ALLOWED_IN_A_FUNCTION


@pytest.mark.parametrize(
    "statement",
    [
        "import msal_msi_v2.flow",
        "from msal_msi_v2 import flow",
        "from msal_msi_v2.protocol.csr import build",
        "from ..binding import Binding",
        "from .. import imds",
    ],
)
def test_an_import_of_the_client_would_be_noticed(statement: str) -> None:
    assert imported(ast.parse(statement)) - ALLOWED_IN_A_FUNCTION


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("jwt", "PyJWT"),
        ("OpenSSL", "pyOpenSSL"),
        ("trustme", "trustme"),
        ("werkzeug", "werkzeug"),
    ],
)
def test_a_missing_extra_is_named_with_its_remedy(missing: str, named: str) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
try:
    import msal_msi_v2.emulator
except ImportError as exc:
    print(exc)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert f"needs {named}, which is not installed" in result.stdout
    assert 'pip install "msal-msi-v2[emulator]"' in result.stdout


def test_the_log_says_why_and_holds_no_secret(
    client: MiniClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    certificate = client.certificate(token=client.attestation_token())
    token = client.token(certificate)
    url = f"{client.emulator.vault_url}/secrets/x?api-version=7.4"
    headers = {"Authorization": f"mtls_pop {token}", "x-ms-tokenboundauth": "true"}
    assert client.call("GET", url, headers, certificate=certificate).status == 200
    assert client.call("GET", url, {"Authorization": f"mtls_pop {token}"}).status == 401
    client.call("GET", f"{client.emulator.imds_url}/{token}")
    client.issue(token=client.forge(client.attestation_token()))
    client.token_answer(certificate, tenant=token)
    parts = urlsplit(client.emulator.imds_url)
    with socket.create_connection((str(parts.hostname), parts.port or 0)) as connection:
        connection.sendall(f"GET /{token} no HTTP/1.1\r\n\r\n".encode())
        connection.recv(4096)
    records = [one for one in caplog.records if one.name == "msal_msi_v2.emulator"]
    log = "\n".join(one.getMessage() for one in records)
    assert "vault GET /secrets/x: 200" in log
    warnings = [one.getMessage() for one in records if one.levelno == logging.WARNING]
    assert any("x-ms-tokenboundauth" in text for text in warnings)
    assert any("attestation token is refused" in text for text in warnings)
    payload = token.split(".")[1]
    secrets = [token, payload, "eyJ", "the emulator's secret"]
    assert [one for one in secrets if one in log] == []
