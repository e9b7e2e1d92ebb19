"""What the codes of WinHTTP mean, including those that only Windows itself gives."""

from __future__ import annotations

import time

import pytest

from msal_key_attestation._native.constants import SecureFailure, WinHttpError
from msal_key_attestation._winhttp.failures import Progress, transport_error
from msal_msi_v2.errors import TransportFailure

FRESH, CONNECTED, SENT = (
    {"connected": False},
    {"connected": True},
    {"connected": True, "sending": True},
)


def failure_of(code: int, **progress: bool) -> TransportFailure:
    error = transport_error("WinHttpX", code, Progress(60, **progress), "host:443")
    assert "WinHttpX" in error.error_description
    assert f"0x{code:08X}" in error.error_description
    assert "host:443" in error.error_description
    return error.failure


@pytest.mark.parametrize(
    ("code", "progress", "failure"),
    [
        (12007, FRESH, TransportFailure.CONNECT),
        (12029, FRESH, TransportFailure.CONNECT),
        (12002, FRESH, TransportFailure.CONNECT_TIMEOUT),
        (12002, CONNECTED, TransportFailure.CONNECT_TIMEOUT),
        (12002, SENT, TransportFailure.READ_TIMEOUT),
        (10060, SENT, TransportFailure.READ_TIMEOUT),
        (12030, CONNECTED, TransportFailure.HANDSHAKE),
        (12030, SENT, TransportFailure.BROKEN),
        (12152, SENT, TransportFailure.BROKEN),
        (12044, SENT, TransportFailure.HANDSHAKE),
        (12157, CONNECTED, TransportFailure.HANDSHAKE),
        (12175, SENT, TransportFailure.HANDSHAKE),
        (12185, CONNECTED, TransportFailure.HANDSHAKE),
        (12186, CONNECTED, TransportFailure.HANDSHAKE),
        (0x80090326, SENT, TransportFailure.HANDSHAKE),
    ],
)
def test_a_code_says_where_it_failed(
    code: int, progress: dict[str, bool], failure: TransportFailure
) -> None:
    assert failure_of(code, **progress) is failure


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        (SecureFailure.WINHTTP_CALLBACK_STATUS_FLAG_CERT_DATE_INVALID, "expired"),
        (SecureFailure.WINHTTP_CALLBACK_STATUS_FLAG_CERT_CN_INVALID, "another host"),
        (SecureFailure.WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CA, "no trusted CA"),
        (SecureFailure.WINHTTP_CALLBACK_STATUS_FLAG_CERT_REVOKED, "revoked"),
        (SecureFailure.WINHTTP_CALLBACK_STATUS_FLAG_CERT_WRONG_USAGE, "not for servers"),
    ],
)
def test_the_callback_says_what_is_wrong_with_the_server_certificate(
    flag: SecureFailure, words: str
) -> None:
    progress = Progress(60, connected=True, certificate_problems=flag)
    error = transport_error("WinHttpSendRequest", 12175, progress, "host:443")
    assert error.failure is TransportFailure.SERVER_CERTIFICATE
    assert words in error.error_description
    assert not error.is_retryable


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (WinHttpError.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID, "expired"),
        (WinHttpError.ERROR_WINHTTP_SECURE_CERT_CN_INVALID, "another host"),
        (WinHttpError.ERROR_WINHTTP_SECURE_INVALID_CA, "no trusted CA"),
        (WinHttpError.ERROR_WINHTTP_SECURE_CERT_REVOKED, "revoked"),
    ],
)
def test_so_does_a_code_of_its_own(code: WinHttpError, words: str) -> None:
    error = transport_error("WinHttpSendRequest", code, Progress(60, connected=True), "host:443")
    assert error.failure is TransportFailure.SERVER_CERTIFICATE
    assert words in error.error_description


def test_a_failure_after_the_connect_timeout_is_that_timeout() -> None:
    progress = Progress(0.01, connected=True)
    time.sleep(0.02)
    error = transport_error("WinHttpSendRequest", 12157, progress, "host:443")
    assert error.failure is TransportFailure.CONNECT_TIMEOUT
