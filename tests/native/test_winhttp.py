"""WinHTTP's own; what it shares with OpenSSL is in tests/transports."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from caller import Caller
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer import Issuer
from tls_server import TlsServer

from msal_key_attestation import NativeCallError
from msal_key_attestation.winhttp import WinHttpTransport
from msal_msi_v2.errors import MsiV2ClientError, TransportFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msal_key_attestation._keys.ncrypt_key import NCryptKey
    from msal_msi_v2.binding import BindingCertificate

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")


@pytest.fixture
def certificate(key: NCryptKey, issuer: Issuer) -> BindingCertificate:
    return issuer.bind(key)


@pytest.fixture
def transport() -> Iterator[WinHttpTransport]:
    made = WinHttpTransport()
    yield made
    made.close()


@pytest.fixture
def call(transport: WinHttpTransport, certificate: BindingCertificate) -> Caller:
    return Caller(transport, certificate)


def test_many_certificates_may_be_used(
    tls: TlsServer, transport: WinHttpTransport, key: NCryptKey, issuer: Issuer
) -> None:
    for _ in range(12):
        assert Caller(transport, issuer.bind(key))(tls.url) == (200, b"OK")
    assert len(transport._sessions) == 8


@pytest.mark.usefixtures("tls")
def test_a_refusal_finds_out_whether_the_key_is_dead(call: Caller, key: NCryptKey) -> None:
    key._public_key = rsa.generate_private_key(65537, 2048).public_key()
    with TlsServer(client_ca=Issuer("another").pem) as strict:
        error = call.failure(strict.url)
    assert "0x" in error.error_description
    assert key.is_dead


def test_a_proxys_refusal_is_not_taken_for_the_servers_answer(tls: TlsServer, call: Caller) -> None:
    tls.answer = lambda _request, stream: stream.write(
        b"HTTP/1.1 407 Login\r\nContent-Length: 0\r\n\r\n"
    )
    error = call.failure(tls.url)
    assert error.failure is TransportFailure.PROXY
    assert "login" in error.error_description


def test_a_key_of_this_process_is_refused(transport: WinHttpTransport, issuer: Issuer) -> None:
    foreign = issuer.bind(rsa.generate_private_key(65537, 2048))
    with pytest.raises(MsiV2ClientError, match="OpenSSL"):
        Caller(transport, foreign)("https://localhost/")


def test_a_certificate_that_is_none_is_refused(
    transport: WinHttpTransport, certificate: BindingCertificate
) -> None:
    broken = type(certificate)(b"no certificate", certificate.private_key, certificate.strength)
    with pytest.raises(NativeCallError, match="CertCreateCertificateContext"):
        Caller(transport, broken)("https://localhost/")
    assert transport._sessions == {}
