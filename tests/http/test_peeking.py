"""How far a refusal is looked into, and that it is no further."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from acquiring import RESOURCE, make_client
from caller import PATIENT
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer import Issuer
from tls_server import TlsServer, root_file

from msal_msi_v2 import MtlsBindingStrength
from msal_msi_v2.emulator import Status
from msal_msi_v2.http.openssl import OpenSslTransport
from msal_msi_v2.http.peeking import LONGEST_REFUSAL, PeekedResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

STALE = b"MtlsCnfClaimRequestDataValidationFailed"
MIB = 1 << 20
TIMEOUT = 30


@pytest.fixture
def session(emulator: Any, platform: Any) -> Iterator[requests.Session]:
    client = make_client(platform)
    with client.mtls_session(resource=RESOURCE, min_strength=MtlsBindingStrength.SOFTWARE) as made:
        made.get(emulator.resource_url, timeout=TIMEOUT)
        emulator.clear_requests()
        yield made


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("X-Gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
    ],
)
def test_a_compressed_refusal_is_looked_into(
    emulator: Any, session: requests.Session, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    emulator.faults.add("resource", Status(401, {"Content-Encoding": coding}, compress(STALE)))
    assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 200


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(STALE))),
        ("br", STALE),
        ("gzip", STALE),
        ("deflate", b""),
    ],
    ids=["two", "unknown", "none", "empty"],
)
def test_what_takes_more_than_that_is_the_callers(
    emulator: Any, session: requests.Session, coding: str, body: bytes
) -> None:
    emulator.faults.add("resource", Status(401, {"Content-Encoding": coding}, body))
    with session.get(emulator.resource_url, stream=True, timeout=TIMEOUT) as answer:
        assert answer.status_code == 401
        assert answer.raw.read(decode_content=False) == body
    assert len(emulator.requests_to("resource")) == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])
def test_a_small_refusal_takes_little_memory_however_large_it_becomes(
    emulator: Any, session: requests.Session, coding: str
) -> None:
    bomb = bytes(64 * MIB)
    for name in coding.split(", "):
        bomb = gzip.compress(bomb) if name == "gzip" else zlib.compress(bomb)
    emulator.faults.add("resource", Status(401, {"Content-Encoding": coding}, bomb))
    tracemalloc.start()
    try:
        with session.get(emulator.resource_url, stream=True, timeout=TIMEOUT) as answer:
            assert answer.status_code == 401
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("before", "status"), [(65536 - len(STALE), 200), (65536, 401)])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_only_the_beginning_counts(
    emulator: Any, session: requests.Session, coding: str, before: int, status: int
) -> None:
    body = bytes(before) + STALE
    data = gzip.compress(body) if coding == "gzip" else body
    emulator.faults.add("resource", Status(401, {"Content-Encoding": coding}, data))
    answer = session.get(emulator.resource_url, timeout=TIMEOUT)
    assert answer.status_code == status
    assert status == 200 or answer.content == body


def test_and_no_more_is_waited_for() -> None:
    issuer, may_end = Issuer(), threading.Event()

    def answer(_request: Any, stream: Any) -> None:
        stream.write(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % (LONGEST_REFUSAL + 4))
        stream.write(bytes(LONGEST_REFUSAL))
        stream.flush()
        may_end.wait(TIMEOUT)
        stream.write(b"rest")

    with TlsServer(client_ca=issuer.pem) as server:
        server.answer = answer
        transport = OpenSslTransport(str(root_file()))
        certificate = issuer.bind(rsa.generate_private_key(65537, 2048))
        refusal = PeekedResponse(
            transport.request("GET", server.url, certificate=certificate, timeout=PATIENT),
            LONGEST_REFUSAL,
        )
        may_end.set()
        assert len(refusal.beginning) == LONGEST_REFUSAL
        assert b"".join(refusal.iter_bytes()) == bytes(LONGEST_REFUSAL) + b"rest"
        refusal.close()
        transport.close()
