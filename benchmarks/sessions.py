"""Requests through ``mtls_session()``, against ``requests.Session(cert=…)`` with a key file."""

from __future__ import annotations

import contextlib
import multiprocessing
import socketserver
import ssl
import tempfile
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from msal_msi_v2 import MtlsBindingStrength, authorization_header
from msal_msi_v2.emulator import MsiV2Emulator

from .hosts import RESOURCE, acquire, export, make_client
from .measuring import alternate, conclude, judge, judge_ratio, peak_memory, sampler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from msal_msi_v2.http.session import MtlsSession

MIB = 1 << 20
SIZE = 256 * MIB
MOST_TIME_A_REQUEST = 1 / 0.95
MOST_TIME_A_DOWNLOAD = 1 / 0.9
MOST_MEMORY = 16 * MIB
_FLOOR = MtlsBindingStrength.SOFTWARE


def main() -> list[bool]:
    """Compare requests and downloads; return of each whether the target is met."""
    with servers_elsewhere() as (small, large, bundle), tempfile.TemporaryDirectory() as folder:
        client = make_client()
        peer = _peer(acquire(client), Path(folder))
        peer.verify = bundle
        with client.mtls_session(resource=RESOURCE, min_strength=_FLOOR) as session:
            session.verify = bundle
            return [
                _compare_requests(session, peer, small),
                *_compare_downloads(session, peer, large),
            ]


def _peer(result: dict[str, Any], folder: Path) -> requests.Session:
    """Return a session with the same token, and the certificate in a file."""
    certificate = result["binding_certificate"]
    key = certificate.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = folder / "certificate.pem"
    file.write_bytes(certificate.pem.encode() + key)
    session = requests.Session()
    session.cert = str(file)
    session.headers["Authorization"] = authorization_header(result)
    return session


def _compare_requests(ours: MtlsSession, peer: requests.Session, url: str) -> bool:
    first, second = alternate(
        sampler(lambda: partial(_get, ours, url), 100),
        sampler(lambda: partial(_get, peer, url), 100),
        rounds=25,
    )
    what = "time of a request over a connection that is kept alive"
    return judge_ratio(what, first, second, "requests'", MOST_TIME_A_REQUEST)


def _get(session: requests.Session, url: str) -> None:
    session.get(url).raise_for_status()


def _compare_downloads(ours: MtlsSession, peer: requests.Session, url: str) -> list[bool]:
    _get(ours, f"{url}/0")  # everything is loaded, and the connection is there
    before = peak_memory()
    _download(ours, url)
    grown = peak_memory() - before
    what = f"{SIZE // MIB} MiB downloaded"
    detail = f"+ {grown / MIB:.1f} MiB of memory"
    fits = judge(what, detail, f"+ {MOST_MEMORY // MIB} MiB", met=grown <= MOST_MEMORY)
    first, second = alternate(
        sampler(lambda: partial(_download, ours, url)),
        sampler(lambda: partial(_download, peer, url)),
        rounds=7,
    )
    return [fits, judge_ratio(what, first, second, "requests'", MOST_TIME_A_DOWNLOAD)]


def _download(session: requests.Session, url: str) -> None:
    with session.get(f"{url}/{SIZE}", stream=True) as answer:
        received = sum(len(piece) for piece in answer.iter_content(MIB))
    if received != SIZE:
        raise RuntimeError(f"{received} bytes came of {SIZE}")


@contextmanager
def servers_elsewhere() -> Iterator[tuple[str, str, str]]:
    """Serve in another process: an emulated host, whose variables are exported, and large files.

    Yields:
        The URLs of the resource and of the files, and the path of the CAs of both.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    try:
        environment, *found = ours.recv()
        export(environment)
        yield tuple(found)
    finally:
        ours.close()
        process.join()


def _serve(parent: Connection) -> None:
    """Serve until the parent hangs up."""
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(tls)
    with (
        MsiV2Emulator() as emulator,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Files) as files,
    ):
        files.daemon_threads = True
        files.tls = tls  # type: ignore[attr-defined]  # for the handler
        threading.Thread(target=files.serve_forever, daemon=True).start()
        bundle = Path(emulator.ca_bundle)
        bundle.write_bytes(bundle.read_bytes() + ca.cert_pem.bytes())
        url = f"https://localhost:{files.server_address[1]}"
        parent.send((emulator.environment, emulator.resource_url, url, str(bundle)))
        while not parent.poll(1):
            emulator.clear_requests()
        files.shutdown()


class _Files(socketserver.BaseRequestHandler):
    """Answers ``GET /N`` with N bytes."""

    def handle(self) -> None:
        """Serve one connection."""
        block = bytes(MIB)
        with (
            contextlib.suppress(OSError, ValueError),
            self.server.tls.wrap_socket(self.request, server_side=True) as tls,  # type: ignore[attr-defined]  # see above
            tls.makefile("rb") as lines,
        ):
            while line := lines.readline():
                while lines.readline().strip():
                    pass
                size = int(line.split()[1][1:])
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for start in range(0, size, MIB):
                    tls.sendall(block[: size - start])


if __name__ == "__main__":
    conclude(*main())
