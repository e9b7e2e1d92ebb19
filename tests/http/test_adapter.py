"""``MtlsAdapter`` in a session of the caller's own, over every TLS stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from acquiring import RESOURCE, acquire, make_client
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer import Issuer
from tls_server import TlsServer, root_file, until
from urllib3.util import Timeout

from msal_msi_v2 import MsiV2ClientError, MtlsBindingStrength, authorization_header
from msal_msi_v2.emulator import Body, Delay, Drop, Status
from msal_msi_v2.http import MtlsAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msal_msi_v2 import ManagedIdentityClient

PATIENT = 30


@pytest.fixture
def client(emulator: Any, platform: Any) -> ManagedIdentityClient:
    del emulator
    return make_client(platform)


@pytest.fixture
def session(client: ManagedIdentityClient) -> Iterator[requests.Session]:
    """A session with one certificate, and the token that is bound to it."""
    result = acquire(client, resource="https://resource.example")
    with requests.Session() as made:
        made.mount("https://", MtlsAdapter(result["binding_certificate"]))
        made.headers["Authorization"] = authorization_header(result)
        yield made


def test_the_caller_sets_the_token(emulator: Any, session: requests.Session) -> None:
    assert session.get(emulator.resource_url, timeout=PATIENT).ok
    (sent,) = emulator.requests_to("resource")
    assert "x-ms-tokenboundauth" not in sent.headers, "nothing is added"
    del session.headers["Authorization"]
    assert session.get(emulator.resource_url, timeout=PATIENT).status_code == 401


def test_a_certificate_goes_to_no_other_origin(emulator: Any, session: requests.Session) -> None:
    there = Status(302, {"Location": f"{emulator.vault_url}/secrets/x?api-version=7.4"})
    emulator.faults.add("resource", there)
    assert session.get(emulator.resource_url, timeout=PATIENT).status_code == 401
    (sent,) = emulator.requests_to("vault")
    assert (sent.headers.get("authorization"), sent.client_certificate) == (None, None)


def test_cookies_are_the_sessions_own(emulator: Any, session: requests.Session) -> None:
    headers = {"Set-Cookie": "a=b; Path=/; Secure", "Content-Type": "text/plain"}
    emulator.faults.add("resource", Body(b"", headers=headers))
    answer = session.get(emulator.resource_url, timeout=PATIENT)
    assert answer.cookies["a"] == "b"
    session.get(emulator.resource_url, timeout=PATIENT)
    assert emulator.requests_to("resource")[1].headers["cookie"] == "a=b"


def test_timeouts_of_every_form_are_requests_own(emulator: Any, session: requests.Session) -> None:
    session.get(emulator.resource_url, timeout=PATIENT)
    short = (
        0.3,
        (PATIENT, 0.3),
        Timeout(connect=PATIENT, read=0.3),
        Timeout(0.3),
        Timeout(read=0.3),
    )
    for timeout in short:
        emulator.faults.add("resource", Delay(5))
        with pytest.raises(requests.Timeout):
            session.get(emulator.resource_url, timeout=timeout)  # type: ignore[arg-type]  # urllib3's, too
    urllib3s = (Timeout(PATIENT), Timeout(connect=PATIENT), Timeout(total=None))
    for patient in (None, (None, None), *urllib3s):
        assert session.get(emulator.resource_url, timeout=patient).ok  # type: ignore[arg-type]  # likewise


def test_copies_of_a_request_are_requests_of_their_own(
    emulator: Any, session: requests.Session
) -> None:
    template = requests.Request("GET", emulator.resource_url).prepare()
    template.headers["Authorization"] = str(session.headers["Authorization"])
    options = session.merge_environment_settings(template.url, {}, None, None, None)
    first, second = template.copy(), template.copy()
    second.url = f"{emulator.vault_url}/secrets/x?api-version=7.4"
    for request in (first, second, template):
        session.send(request, timeout=PATIENT, **options)
    assert [bool(sent.client_certificate) for sent in emulator.requests][-3:] == [True] * 3


def test_an_answer_that_breaks_off_is_requests_own_error(
    emulator: Any, session: requests.Session
) -> None:
    emulator.faults.add("resource", Drop(after_bytes=5))
    with pytest.raises(requests.RequestException):
        session.get(emulator.resource_url, timeout=PATIENT)


def test_so_is_a_refusal_that_breaks_off(emulator: Any, client: ManagedIdentityClient) -> None:
    with client.mtls_session(
        resource="https://resource.example", min_strength=MtlsBindingStrength.SOFTWARE
    ) as session:
        session.get(emulator.resource_url, timeout=PATIENT)
        emulator.revoke(emulator.requests_to("resource")[0].client_certificate)
        emulator.clear_requests()
        emulator.faults.add("resource", Drop(after_bytes=5))
        with (
            pytest.raises(requests.RequestException),
            session.post(
                emulator.resource_url, data=iter([b"x"]), timeout=PATIENT, stream=True
            ) as answer,
        ):
            b"".join(answer.iter_content(10))
    assert len(emulator.requests_to("resource")) == 1


def test_a_bundle_of_the_callers_counts_where_the_stack_takes_one(
    emulator: Any, stack: str, session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("SSL_CERT_FILE")
    if stack == "windows":
        assert session.get(emulator.resource_url, timeout=PATIENT).ok
        with pytest.raises(MsiV2ClientError, match="Windows trusts"):
            session.get(emulator.resource_url, timeout=PATIENT, verify=emulator.ca_bundle)
    else:
        with pytest.raises(requests.exceptions.SSLError):
            session.get(emulator.resource_url, timeout=PATIENT)
        assert session.get(emulator.resource_url, timeout=PATIENT, verify=emulator.ca_bundle).ok


def test_a_token_for_each_request_in_a_session_of_ones_own(
    emulator: Any, client: ManagedIdentityClient
) -> None:
    adapter = MtlsAdapter.for_resource(client, RESOURCE, min_strength=MtlsBindingStrength.SOFTWARE)
    with requests.Session() as session:
        session.mount(emulator.resource_url, adapter)
        assert session.get(emulator.resource_url, timeout=PATIENT).ok
        plain = session.get(emulator.vault_url, timeout=PATIENT, verify=emulator.ca_bundle)
        assert plain.status_code == 404
    sent = emulator.requests[-1]
    assert (sent.headers.get("authorization"), sent.client_certificate) == (None, None)


def test_closing_it_closes_its_connections() -> None:
    issuer = Issuer()
    certificate = issuer.bind(rsa.generate_private_key(65537, 2048))
    with TlsServer(client_ca=issuer.pem) as server, requests.Session() as session:
        session.mount("https://", MtlsAdapter(certificate))
        assert session.get(server.url, verify=str(root_file()), timeout=PATIENT).ok
        assert server.open == 1
        session.close()
        until(lambda: server.open == 0)
