"""Nothing secret is in a log, an exception or a repr."""

from __future__ import annotations

import json
import logging
import re
import textwrap
import traceback
from typing import Any
from urllib.parse import parse_qs

import msal
import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from werkzeug import Response

from msal_msi_v2 import ManagedIdentityClient, MsiV2Error, tokens
from msal_msi_v2.emulator import (
    Body,
    Fault,
    IssuedCertificate,
    MsiV2Emulator,
    OAuthError,
    Status,
    WrongCnf,
)
from msal_msi_v2.errors import quote

ATTESTED: dict[str, Any] = {"mtls_proof_of_possession": True, "with_attestation_support": True}


def client_of(platform: Any) -> ManagedIdentityClient:
    return ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(), http_client=requests.Session(), platform=platform
    )


def secrets_of(emulator: MsiV2Emulator, key: Any, *results: dict[str, Any]) -> set[str]:
    """Return all that must not be seen: what was sent, what came back, and the key."""
    found = {str(result["access_token"]) for result in results}
    for request in emulator.requests:
        if request.leg == "issuecredential":
            found |= set(json.loads(request.body).values())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    found |= {line for line in pem.splitlines() if "-----" not in line and len(line) > 30}
    assert all(len(secret) > 30 for secret in found)
    return found


def pieces(secret: str) -> list[str]:
    """Cut a secret in pieces, so that a shortened copy is found as well."""
    return [secret[start : start + 40] for start in range(0, len(secret) - 39, 20)] or [secret]


def leaked(text: str, secrets: set[str]) -> list[str]:
    return [piece for secret in secrets for piece in pieces(secret) if piece in text]


def everything_about(error: BaseException) -> str:
    seen: list[str] = []
    current: BaseException | None = error
    while current is not None:
        seen += [str(current), repr(current), repr(vars(current)), repr(current.args)]
        current = current.__cause__ or current.__context__
    return "\n".join([*seen, *traceback.format_exception(error)])


def test_debug_logs_of_a_full_run(
    emulator: MsiV2Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    platform = emulator.keyguard_platform()
    result = client_of(platform).acquire_token_for_client(resource="https://r", **ATTESTED)
    text = caplog.text + "\n".join(repr(vars(record)) for record in caplog.records)
    secrets = secrets_of(emulator, platform.key_store.get_key().private_key, result)
    assert len(secrets) > 20
    assert leaked(text, secrets) == []
    assert len([record for record in caplog.records if "step " in record.message]) == 7


def test_the_search_finds_what_is_there(emulator: MsiV2Emulator) -> None:
    platform = emulator.keyguard_platform()
    result = client_of(platform).acquire_token_for_client(resource="https://r", **ATTESTED)
    secrets = secrets_of(emulator, platform.key_store.get_key().private_key, result)
    token = result["access_token"]
    assert leaked(f"x{token[100:180]}x", secrets)
    assert leaked(tokens.authorization_header(result), secrets)


def test_reprs(emulator: MsiV2Emulator) -> None:
    platform = emulator.keyguard_platform()
    client = client_of(platform)
    result = client.acquire_token_for_client(resource="https://r", **ATTESTED)
    key = platform.key_store.get_key()
    secrets = secrets_of(emulator, key.private_key, result)
    shown = [client, client.host, platform, key, result["binding_certificate"]]
    assert leaked("\n".join(map(repr, shown)), secrets) == []
    assert re.fullmatch(
        r"<BindingCertificate CN=\S+,DC=\S+ x5t#S256=\S{43} KEYGUARD until \S+Z>",
        repr(result["binding_certificate"]),
    )


class Echo(Fault):
    """Refuses with what it was sent in the text, as careless services do, perhaps wrapped."""

    def __init__(self, width: int, escape: bool = False) -> None:
        self._width = width
        self._escape = escape

    def apply(self, exchange: Any, answer: Any) -> Response:
        del answer
        sent = "\n".join(textwrap.wrap(exchange.request.get_data(as_text=True), self._width))
        text = json.dumps({"error": "bad", "error_description": f"cannot use {sent}"})
        return Response(text.replace("/", "\\/") if self._escape else text, 400)


@pytest.mark.parametrize(
    ("leg", "fault"),
    [
        ("metadata", Body(b'{"clientId": ')),
        ("issuecredential", Status(400)),
        ("issuecredential", IssuedCertificate(key="other")),
        ("issuecredential", Body(lambda body: body[:-10])),
        ("token", Body(lambda body: body[:-10])),
        ("token", Body(lambda body: body[:-1] + b"\xff")),
        ("token", Body(lambda body: body.replace(b"mtls_pop", b"Bearer"))),
        ("token", Body(lambda body: b"[" + body + b"]")),
        ("token", OAuthError("invalid_client", (7000215,))),
        ("token", WrongCnf()),
        ("issuecredential", Echo(10_000)),
        ("issuecredential", Echo(64)),
        ("issuecredential", Echo(76, escape=True)),
    ],
)
def test_exceptions(
    emulator: MsiV2Emulator, caplog: pytest.LogCaptureFixture, leg: str, fault: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    answered: list[bytes] = []
    if isinstance(fault, Body) and callable(fault.content):
        original = fault.content

        def remember(body: bytes) -> bytes:
            answered.append(body)
            return original(body)

        fault = Body(remember, fault.headers)
    emulator.faults.add(leg, fault, times=None)
    platform = emulator.keyguard_platform()
    with pytest.raises(MsiV2Error) as caught:
        client_of(platform).acquire_token_for_client(resource="https://r", **ATTESTED)
    secrets = secrets_of(emulator, platform.key_store.get_key().private_key)
    secrets |= {json.loads(body)["access_token"] for body in answered if b"access_token" in body}
    assert leaked(everything_about(caught.value) + caplog.text, secrets) == []


def test_a_token_wrapped_at_its_hyphens_is_cut_out() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9." + "aBcDeF-" * 40 + ".sig-nature_" + "0123456789" * 20
    text = "cannot use\n" + "\n".join(textwrap.wrap(token, 64)) + "\nsorry"
    shown = quote(text)
    assert "<redacted>" in shown
    assert not re.search(r"aBcDeF|0123456789|eyJ", shown)
    guids = "Trace ID: a7f4e2d1-0b9c-4d8e-8f70-61524334251a\r\nCorrelation ID: x"
    assert quote(guids) == " ".join(guids.split())


def test_the_token_form_holds_no_surprise(emulator: MsiV2Emulator) -> None:
    client_of(emulator.keyguard_platform()).acquire_token_for_client(
        resource="https://r", **ATTESTED
    )
    form = parse_qs(emulator.requests_to("token")[0].body.decode(), strict_parsing=True)
    assert set(form) == {"grant_type", "client_id", "scope", "token_type"}
