"""The assertion as a value, and whom it is for."""

from __future__ import annotations

import json
import uuid
from typing import Any

import jwt
import msal
import pytest
from cryptography.hazmat.primitives import hashes
from small_cloud import CLIENT_ID, TENANTS, issue

from msal_msi_v2 import MsiV2ClientError
from msal_msi_v2._base64 import b64url_decode
from msal_msi_v2.assertions import SignedAssertion
from msal_msi_v2.assertions.audience import central_endpoint, endpoint_of, read_context
from msal_msi_v2.assertions.certificate import signing_certificate
from msal_msi_v2.assertions.jwt import Algorithm, make_claims, padding_of, serialize, signing_input

AUDIENCE = "https://login.microsoftonline.com/t/oauth2/v2.0/token"


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_pyjwt_reads_what_is_serialized(algorithm: Algorithm) -> None:
    one = issue("x")
    header = signing_certificate(one.der).header(algorithm, send_x5c=True)
    claims = make_claims(CLIENT_ID, AUDIENCE, 1e9 + 0.5, "guid")
    signed = signing_input(header, claims)
    token = serialize(signed, one.key.sign(signed, padding_of(algorithm), hashes.SHA256()))
    assert jwt.get_unverified_header(token) == header
    read = jwt.decode(
        token,
        one.key.public_key(),
        algorithms=[algorithm],
        audience=AUDIENCE,
        options={"verify_exp": False},
    )
    assert read == {
        "aud": AUDIENCE,
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "jti": "guid",
        "nbf": 1000000000,
        "iat": 1000000000,
        "exp": 1000000600,
    }


def test_headers_name_the_certificate_as_entra_wants_it() -> None:
    one = issue("x")
    certificate = signing_certificate(one.certificate)
    assert certificate.header("PS256", send_x5c=False) == {
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": one.x5t_s256,
    }
    header = certificate.header("RS256", send_x5c=False)
    assert set(header) == {"alg", "typ", "x5t"}
    assert b64url_decode(header["x5t"]).hex().upper() == one.thumbprint


def test_what_is_signed_has_no_padding_and_no_spaces() -> None:
    signed = signing_input({"alg": "PS256"}, {"a": "ü" * 5})
    first, second = signed.decode("ascii").split(".")
    assert "=" not in first + second
    assert json.loads(b64url_decode(second)) == {"a": "ü" * 5}
    assert b64url_decode(first) == b'{"alg":"PS256"}'


@pytest.mark.parametrize(
    ("host", "central"),
    [
        ("login.microsoftonline.com", "login.microsoftonline.com"),
        ("westus2.login.microsoft.com", "login.microsoftonline.com"),
        ("westus2.login.microsoftonline.com", "login.microsoftonline.com"),
        ("login.microsoft.com", "login.microsoft.com"),
        ("usgovvirginia.login.microsoftonline.us", "login.microsoftonline.us"),
        ("login.microsoftonline.us", "login.microsoftonline.us"),
        ("login.partner.microsoftonline.cn", "login.partner.microsoftonline.cn"),
        ("chinanorth3.login.partner.microsoftonline.cn", "login.partner.microsoftonline.cn"),
        ("chinaeast2.login.chinacloudapi.cn", "login.chinacloudapi.cn"),
        ("login.sovcloud-identity.fr", "login.sovcloud-identity.fr"),
        ("contoso.ciamlogin.com", "contoso.ciamlogin.com"),
        ("eu.login.contoso.com", "eu.login.contoso.com"),
        ("localhost:1234", "localhost:1234"),
    ],
)
def test_the_audience_is_the_central_endpoint(host: str, central: str) -> None:
    url = "https://{}/tenant/oauth2/v2.0/token"
    assert central_endpoint(url.format(host)) == url.format(central)


class OpenIdOnly:
    """An HTTP client of msal's that serves an authority's metadata, and refuses the rest."""

    def __init__(self) -> None:
        self.posted: list[str] = []

    def get(self, url: str, **_: Any) -> Any:
        base = url.partition("/v2.0/")[0]
        urls = ("authorization_endpoint", "token_endpoint")
        found = {name: f"{base}/oauth2/v2.0/{name.partition('_')[0]}" for name in urls}
        return self._answer(200, {**found, "issuer": f"{base}/v2.0"})

    def post(self, url: str, **_: Any) -> Any:
        self.posted.append(url)
        return self._answer(400, {"error": "invalid_client"})

    @staticmethod
    def _answer(status: int, payload: dict[str, str]) -> Any:
        members = {"status_code": status, "text": json.dumps(payload), "headers": {}}
        return type("Answer", (), {**members, "raise_for_status": lambda _self: None})()

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("authority", "regional", "central"),
    [
        ("login.microsoftonline.com", "westus2.login.microsoft.com", "login.microsoftonline.com"),
        (
            "login.microsoftonline.us",
            "westus2.login.microsoftonline.us",
            "login.microsoftonline.us",
        ),
    ],
)
def test_msals_own_regional_endpoint_is_made_central(
    monkeypatch: pytest.MonkeyPatch, authority: str, regional: str, central: str
) -> None:
    monkeypatch.setenv("REGION_NAME", "westus2")
    contexts: list[Any] = []

    def remember(context: Any) -> str:
        contexts.append(context)
        return "a.b.c"

    client = OpenIdOnly()
    app = msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential={"client_assertion": remember},
        authority=f"https://{authority}/tenant",
        azure_region="westus2",
        instance_discovery=False,
        http_client=client,
    )
    app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
    assert client.posted[0].startswith(f"https://{regional}/tenant/")
    client_id, audience = read_context(contexts[0])
    assert client_id == CLIENT_ID
    assert audience == f"https://{central}/tenant/oauth2/v2.0/token"


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"client_id": "x"},
        {"client_id": "x", "token_endpoint": ""},
        {"client_id": "x", "token_endpoint": "https://[x"},
        None,
        "text",
    ],
)
def test_a_context_of_another_shape_is_refused(context: Any) -> None:
    with pytest.raises(MsiV2ClientError, match=r"assertion\.bind") as caught:
        read_context(context)
    assert caught.value.error == "invalid_request"


def test_the_endpoint_of_a_tenant() -> None:
    assert endpoint_of("t.example", "https://login.microsoftonline.us/") == (
        "https://login.microsoftonline.us/t.example/oauth2/v2.0/token"
    )
    assert endpoint_of("t", "login.microsoftonline.com") == AUDIENCE


@pytest.mark.parametrize(
    ("tenant", "authority"),
    [
        ("common", "https://login.microsoftonline.com"),
        ("Organizations", "https://login.microsoftonline.com"),
        ("", "https://login.microsoftonline.com"),
        ("a/b", "https://login.microsoftonline.com"),
        ("t", "http://login.microsoftonline.com"),
        ("t", "https://"),
        ("t", "https://[x"),
        ("t", ""),
        ("t", None),
        ("t", "https://login.microsoftonline.com/t"),
        ("t", "login.microsoftonline.com/t"),
        ("t", "https://login.microsoftonline.com?x"),
        ("t", "https://login.microsoftonline.com#x"),
        ("t", "https://user:password@login.microsoftonline.com"),
        (None, "https://login.microsoftonline.com"),
    ],
)
def test_what_is_no_tenant_or_no_authority_is_refused(tenant: Any, authority: Any) -> None:
    with pytest.raises(MsiV2ClientError, match=r"without the tenant|one tenant") as caught:
        endpoint_of(tenant, authority)
    assert "password" not in str(caught.value)


def test_guids_name_client_and_tenant_as_their_text_does() -> None:
    one = issue("x")
    assertion = SignedAssertion(one.key, one.certificate)
    token = assertion.bind(uuid.UUID(CLIENT_ID), uuid.UUID(TENANTS[0]))()
    assert token == assertion.bind(CLIENT_ID, TENANTS[0])()


@pytest.mark.parametrize(("client_id", "tenant"), [("c", None), ("c", 5), (None, "t"), (b"c", "t")])
def test_what_names_neither_is_refused(client_id: Any, tenant: Any) -> None:
    one = issue("x")
    with pytest.raises(MsiV2ClientError) as caught:
        SignedAssertion(one.key, one.certificate).bind(client_id, tenant)
    assert caught.value.error == "invalid_request"
