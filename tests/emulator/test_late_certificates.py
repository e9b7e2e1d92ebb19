"""Certificates that resource and vault ask for once they have read a request, by raw clients."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from msal_msi_v2.emulator import MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.emulator.conftest import Answer, MiniClient


BOUND = {"x-ms-tokenboundauth": "true"}
VERSIONS = {"renegotiation": "TLSv1.2", "post_handshake": "TLSv1.3"}


@pytest.fixture(params=VERSIONS)
def mode(request: pytest.FixtureRequest, emulator: MsiV2Emulator) -> Iterator[str]:
    emulator.client_certificates = request.param
    yield request.param
    emulator.client_certificates = "handshake"


class LateClient:
    """One connection that is kept alive, whose client offers all that TLS has."""

    def __init__(self, client: MiniClient, url: str, context: ssl.SSLContext) -> None:
        context.post_handshake_auth = True
        self.client = client
        self.url = url
        self.context = context
        parts = urlsplit(url)
        self.connection: Any = http.client.HTTPSConnection(
            str(parts.hostname), parts.port, context=context, timeout=30
        )

    def get(self, token: str, scheme: str = "mtls_pop", **headers: str) -> Answer:
        sent = {"Authorization": f"{scheme} {token}", **headers}
        return self.client.send(self.connection, "GET", self.url, sent)

    @property
    def version(self) -> str:
        found: str = self.connection.sock.version()
        return found

    @property
    def recorded(self) -> list[bool]:
        """Whether each request to the resource or the vault came with a certificate."""
        return [
            one.client_certificate is not None
            for one in self.client.emulator.requests
            if one.service in {"resource", "vault"}
        ]


@pytest.fixture
def open_(client: MiniClient) -> Iterator[Callable[..., LateClient]]:
    """Make connections, to the resource unless said otherwise, that are closed in the end."""
    made = []

    def make(certificate: bytes | None, url: str | None = None) -> LateClient:
        context = client.context(certificate)
        made.append(LateClient(client, url or client.emulator.resource_url, context))
        return made[-1]

    yield make
    for one in made:
        one.connection.close()


def vault_url(client: MiniClient) -> str:
    return f"{client.emulator.vault_url}/secrets/x?api-version=7.4"


def token_for(client: MiniClient, certificate: bytes) -> str:
    return client.token(certificate, scope="https://r.example/.default")


def test_a_certificate_serves_all_requests_of_its_connection(
    client: MiniClient, mode: str, open_: Callable[..., LateClient]
) -> None:
    certificate = client.certificate()
    late = open_(certificate)
    token = token_for(client, certificate)
    assert [late.get(token).status for _ in range(3)] == [200, 200, 200]
    assert late.version == VERSIONS[mode]
    sent = client.emulator.requests_to("resource")
    assert [one.client_certificate for one in sent] == [certificate] * 3
    assert len({one.connection_id for one in sent}) == 1


@pytest.mark.usefixtures("mode")
def test_the_handshake_itself_asks_for_none(
    client: MiniClient, open_: Callable[..., LateClient]
) -> None:
    certificate = client.certificate()
    late = open_(certificate, vault_url(client))
    assert late.get("opaque", "Bearer").status == 401
    assert late.get(client.token(certificate), **BOUND).status == 200
    assert late.recorded == [False, True]


@pytest.mark.usefixtures("mode")
def test_each_connection_has_a_certificate_of_its_own(
    client: MiniClient, open_: Callable[..., LateClient]
) -> None:
    mine, theirs = client.certificate(), client.certificate(bypass_cache="true")
    token = token_for(client, mine)
    thief, owner = open_(theirs), open_(mine)
    refused = thief.get(token)
    assert (refused.status, owner.get(token).status) == (401, 200)
    assert b"MtlsCnfClaimRequestDataValidationFailed" in refused.body
    sent = client.emulator.requests_to("resource")
    assert [one.client_certificate for one in sent] == [theirs, mine]


@pytest.mark.usefixtures("mode")
def test_who_has_no_certificate_hears_so_from_the_service(
    client: MiniClient, open_: Callable[..., LateClient]
) -> None:
    certificate = client.certificate()
    for url, token in (
        (client.emulator.resource_url, token_for(client, certificate)),
        (vault_url(client), client.token(certificate)),
    ):
        late = open_(None, url)
        for _ in range(2):
            answer = late.get(token, **BOUND)
            assert answer.status == 401
            assert b"No client certificate was presented" in answer.body


@pytest.mark.parametrize("mode", ["post_handshake"], indirect=True)
@pytest.mark.usefixtures("mode")
def test_who_does_not_offer_to_be_asked_hears_the_same(
    client: MiniClient, emulator: MsiV2Emulator
) -> None:
    certificate = client.certificate()
    headers = {"Authorization": f"mtls_pop {token_for(client, certificate)}"}
    answer = client.call("GET", emulator.resource_url, headers, certificate=certificate)
    assert answer.status == 401
    assert b"No client certificate was presented" in answer.body


@pytest.mark.parametrize("mode", VERSIONS)
def test_expired_and_revoked_certificates_get_an_answer(
    mode: Any, client_of: Callable[[MsiV2Emulator], MiniClient]
) -> None:
    with MsiV2Emulator(certificate_lifetime=3600, client_certificates=mode) as emulator:
        client = client_of(emulator)
        emulator.clock_offset = -7200
        certificate = client.certificate()
        token = token_for(client, certificate)

        def refusal() -> bytes:
            late = LateClient(client, emulator.resource_url, client.context(certificate))
            answer = late.get(token)
            late.connection.close()
            assert answer.status == 401
            return answer.body

        emulator.revoke(certificate)
        assert b"The client certificate has been revoked" in refusal()
        emulator.clock_offset = 0  # TLS, which has no clock but the system's, must not mind
        assert b"The client certificate has expired" in refusal()


@pytest.mark.usefixtures("mode")
def test_a_certificate_of_another_ca_breaks_the_connection(
    client: MiniClient, open_: Callable[..., LateClient]
) -> None:
    late = open_(None)
    trustme.CA().issue_cert("stranger").configure_cert(late.context)
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        late.get("opaque")
    (request,) = client.emulator.requests_to("resource")
    assert (request.status, request.client_certificate) == (None, None)


@pytest.mark.parametrize("mode", ["renegotiation"], indirect=True)
@pytest.mark.usefixtures("mode")
def test_a_client_that_renegotiates_with_nobody_is_cut_off(
    client: MiniClient, open_: Callable[..., LateClient]
) -> None:
    late = open_(client.certificate())
    late.context.options |= ssl.OP_NO_RENEGOTIATION
    with pytest.raises(OSError, match=r"(?i)ssl|closed|reset"):
        late.get("opaque")


def test_no_other_version_of_tls_is_spoken(mode: str, open_: Callable[..., LateClient]) -> None:
    late = open_(None)
    if mode == "renegotiation":
        late.context.minimum_version = ssl.TLSVersion.TLSv1_3
    else:
        late.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)version"):
        late.get("opaque")


@pytest.mark.parametrize("mode", ["renegotiation"], indirect=True)
@pytest.mark.usefixtures("mode")
def test_a_connection_stays_as_it_began(
    client: MiniClient, emulator: MsiV2Emulator, open_: Callable[..., LateClient]
) -> None:
    certificate = client.certificate()
    token = token_for(client, certificate)
    early = open_(certificate)
    assert early.get(token).status == 200
    emulator.client_certificates = "post_handshake"
    later = open_(certificate)
    assert (early.get(token).status, later.get(token).status) == (200, 200)
    assert (early.version, later.version) == ("TLSv1.2", "TLSv1.3")
