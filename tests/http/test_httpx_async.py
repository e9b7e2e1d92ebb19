"""What ``AsyncMtlsTransport`` is to event loops: threads, and requests that are cancelled."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from acquiring import RESOURCE, acquire, make_client
from cryptography.hazmat.primitives.asymmetric import rsa
from hosts import is_wine
from issuer import Issuer
from tls_server import OK, Received, TlsServer, root_file

from msal_msi_v2 import MtlsBindingStrength
from msal_msi_v2.emulator import Delay, Status

httpx = pytest.importorskip("httpx")
anyio = pytest.importorskip("anyio")

from msal_msi_v2.http import AsyncMtlsTransport  # noqa: E402 - needs httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from msal_msi_v2 import BindingCertificate, ManagedIdentityClient

EXPIRED = Status(401, {"WWW-Authenticate": 'mtls_pop error="invalid_token"'})
MOST = 64
PATIENCE = 20


@pytest.fixture(params=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> str:
    """Whose event loop."""
    name: str = request.param
    pytest.importorskip(name)
    return name


@pytest.fixture
def client(emulator: Any, platform: Any) -> ManagedIdentityClient:
    del emulator
    made = make_client(platform)
    acquire(made)
    return made


def run(loop: str, transport: Any, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with httpx.AsyncClient(transport=transport, timeout=None) as session:
            return await work(session)

    return anyio.run(main, backend=loop)


def transport_of(client: ManagedIdentityClient) -> Any:
    return AsyncMtlsTransport.for_resource(
        client, RESOURCE, min_strength=MtlsBindingStrength.SOFTWARE
    )


async def until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not is_so():
            await anyio.sleep(0.01)


# --- over every stack


def test_the_loop_runs_on_while_requests_wait(
    emulator: Any, client: ManagedIdentityClient, loop: str
) -> None:
    emulator.faults.add("resource", Delay(0.5), times=32)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.01)
            ticks += 1

    async def work(session: Any) -> list[int]:
        statuses: list[int] = []

        async def one() -> None:
            statuses.append((await session.get(emulator.resource_url)).status_code)

        async with anyio.create_task_group() as ticking:
            ticking.start_soon(tick)
            async with anyio.create_task_group() as group:
                for _ in range(32):
                    group.start_soon(one)
            ticking.cancel_scope.cancel()
        return statuses

    assert run(loop, transport_of(client), work) == [200] * 32
    assert ticks > 5, "it never ran"


def test_a_cancelled_request_is_left_alone_at_once(
    emulator: Any, client: ManagedIdentityClient, loop: str
) -> None:
    emulator.faults.add("resource", Delay(2))

    async def work(session: Any) -> tuple[bool, int]:
        with anyio.move_on_after(0.3) as scope:
            await session.get(emulator.resource_url)
        return scope.cancelled_caught, (await session.get(emulator.resource_url)).status_code

    assert run(loop, transport_of(client), work) == (True, 200)


@pytest.mark.parametrize("refusals", [0, 1])
def test_a_request_that_is_cancelled_before_its_token_is_there_is_not_sent(
    emulator: Any, platform: Any, loop: str, refusals: int
) -> None:
    """Be it the first token, or the one that mends a refusal."""
    client = make_client(platform)
    if refusals:
        acquire(client)
        emulator.faults.add("resource", EXPIRED)
    tokens = len(emulator.requests_to("token"))
    emulator.faults.add("token", Delay(1))

    async def work(session: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(session.post, emulator.resource_url, content=b"cancelled"))
            await until(lambda: len(emulator.requests_to("token")) > tokens)
            group.cancel_scope.cancel()
        await session.post(emulator.resource_url, content=b"another")
        await until(lambda: emulator.requests_to("token")[-1].status is not None)
        await anyio.sleep(0.3)  # in which the first would be sent as well

    run(loop, transport_of(client), work)
    bodies = [sent.body for sent in emulator.requests_to("resource")]
    assert bodies == [b"cancelled"] * refusals + [b"another"]


def test_a_body_that_the_loop_produces(
    emulator: Any, client: ManagedIdentityClient, loop: str
) -> None:
    async def slow_pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            await anyio.sleep(0.01)
            yield b"piece"

    async def work(session: Any) -> int:
        answer = await session.post(emulator.resource_url, content=slow_pieces())
        return int(answer.json()["body_length"])

    assert run(loop, transport_of(client), work) == 15


def test_a_body_that_fails_is_the_callers_own_error(
    emulator: Any, client: ManagedIdentityClient, loop: str
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"piece"
        raise LookupError("mine")

    async def work(session: Any) -> int:
        with pytest.raises(LookupError, match="mine"):
            await session.post(emulator.resource_url, content=broken())
        return int((await session.get(emulator.resource_url)).status_code)

    assert run(loop, transport_of(client), work) == 200


# --- over OpenSSL, whose waits can be ended


@pytest.fixture(scope="module", params=["openssl"])
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def certificate(issuer: Issuer) -> BindingCertificate:
    return issuer.bind(rsa.generate_private_key(65537, 2048))


@pytest.fixture
def transport(certificate: BindingCertificate) -> Any:
    return AsyncMtlsTransport(certificate, verify=str(root_file()))


class Watched(TlsServer):
    """A server that counts whom it answers, and who hung up on it.

    Attributes:
        waiting: How many requests are being answered.
        peak: The most at one time.
        silenced: The requests that ``silence`` answers.
        left: One for each of those whose client has hung up.
    """

    def __init__(self, issuer: Issuer) -> None:
        super().__init__(client_ca=issuer.pem)
        self.waiting = self.peak = 0
        self.silenced: list[Received] = []
        self.left = threading.Semaphore(0)
        self._counting = threading.Lock()

    def _read(self, number: int, stream: Any, subject: str) -> Received:
        received = super()._read(number, stream, subject)
        with self._counting:
            self.waiting += 1
            self.peak = max(self.peak, self.waiting)
        return received

    def answer_with(self, answer: Callable[[Received, Any], None]) -> None:
        def counted(request: Received, stream: Any) -> None:
            try:
                answer(request, stream)
            finally:
                with self._counting:
                    self.waiting -= 1

        self.answer = counted

    def silence(self, request: Received, stream: Any) -> None:
        self.silenced.append(request)
        try:
            stream.flush()
            stream.read()
        finally:
            self.left.release()


@pytest.fixture
def server(issuer: Issuer) -> Iterator[Watched]:
    with Watched(issuer) as made:
        made.answer_with(lambda _request, stream: stream.write(OK))
        yield made


def test_so_many_requests_wait_at_a_time(server: Watched, transport: Any, loop: str) -> None:
    let = threading.Event()

    def answer(_request: Received, stream: Any) -> None:
        let.wait(PATIENCE)
        stream.write(OK)

    server.answer_with(answer)

    async def work(session: Any) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(MOST + 16):
                group.start_soon(session.get, server.url)
            await until(lambda: server.waiting == MOST)
            await anyio.sleep(0.3)  # in which more would come
            let.set()

    run(loop, transport, work)
    assert (server.peak, len(server.received)) == (MOST, MOST + 16)


def test_loops_share_a_transport_and_its_threads(server: Watched, transport: Any) -> None:
    statuses: list[int] = []

    def many() -> None:
        async def main() -> None:
            session = httpx.AsyncClient(transport=transport, timeout=PATIENCE)

            async def one() -> None:
                statuses.append((await session.get(server.url)).status_code)

            async with anyio.create_task_group() as group:
                for _ in range(MOST + 16):
                    group.start_soon(one)

        anyio.run(main)

    threads = [threading.Thread(target=many, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert statuses == [200] * 2 * (MOST + 16)
    assert server.peak <= MOST


def test_cancelled_requests_hold_no_threads(server: Watched, transport: Any, loop: str) -> None:
    server.answer_with(server.silence)

    async def work(session: Any) -> int:
        for _ in range(5):
            async with anyio.create_task_group() as group:
                for _ in range(40):
                    group.start_soon(session.get, server.url)
                await until(lambda: server.waiting >= 20)
                group.cancel_scope.cancel()
        server.answer_with(lambda _request, stream: stream.write(OK))
        with anyio.fail_after(PATIENCE):
            return int((await session.get(server.url)).status_code)

    assert run(loop, transport, work) == 200
    assert server.peak <= MOST
    for _ in server.silenced:
        assert server.left.acquire(timeout=PATIENCE), "a connection is still open"


def test_a_cancelled_request_ends_on_a_connection_of_an_earlier_one(
    server: Watched, transport: Any, loop: str
) -> None:
    async def work(session: Any) -> None:
        await session.get(server.url)
        server.answer_with(server.silence)
        with anyio.move_on_after(0.3):
            await session.get(server.url)

    run(loop, transport, work)
    assert server.connections == 1
    assert server.left.acquire(timeout=PATIENCE)


def test_a_request_is_cancelled_while_it_connects(
    server: Watched, transport: Any, loop: str
) -> None:
    """To a server that takes connections, and says nothing."""
    if is_wine():
        pytest.skip("Wine lets nobody go who waits in a handshake")
    with socket.create_server(("127.0.0.1", 0), backlog=MOST) as mute:
        url = f"https://localhost:{mute.getsockname()[1]}"

        async def work(session: Any) -> int:
            with anyio.move_on_after(0.5):
                async with anyio.create_task_group() as group:
                    for _ in range(MOST):
                        group.start_soon(session.get, url)
            with anyio.fail_after(PATIENCE):
                return int((await session.get(server.url)).status_code)

        assert run(loop, transport, work) == 200


BEGINNING = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning"


def test_a_cancelled_read_ends(server: Watched, transport: Any, loop: str) -> None:
    def answer(request: Received, stream: Any) -> None:
        stream.write(BEGINNING)
        server.silence(request, stream)

    server.answer_with(answer)
    read = []

    async def work(session: Any) -> None:
        with anyio.move_on_after(0.5):
            async with session.stream("GET", server.url) as answer:
                async for piece in answer.aiter_bytes():
                    read.append(piece)  # noqa: PERF401 - piece by piece, until it is cancelled

    run(loop, transport, work)
    assert read == [b"beginning"]
    assert server.left.acquire(timeout=PATIENCE), "the connection is still open"


def test_an_answer_that_is_left_early_is_dropped(
    server: Watched, transport: Any, loop: str
) -> None:
    def answer(request: Received, stream: Any) -> None:
        stream.write(BEGINNING)
        server.silence(request, stream)

    server.answer_with(answer)
    kept = []

    async def work(session: Any) -> None:
        async with session.stream("GET", server.url) as answer:
            kept.append(answer)  # or the garbage collector would close it

    run(loop, transport, work)
    assert server.left.acquire(timeout=PATIENCE), "the connection is still open"


def test_an_answer_that_is_read_gives_its_connection_back(
    server: Watched, transport: Any, loop: str
) -> None:
    async def work(session: Any) -> None:
        for _ in range(5):
            await session.get(server.url)

    run(loop, transport, work)
    assert (server.connections, len(server.received)) == (1, 5)


class Stalled(Watched):
    """A server that reads no bodies."""

    def _body(self, stream: Any, headers: dict[str, str]) -> list[bytes]:
        del stream, headers
        time.sleep(PATIENCE)
        return []


@pytest.mark.parametrize("size", [1, 1 << 26])
def test_a_cancelled_upload_ends_its_generator(
    issuer: Issuer, transport: Any, loop: str, size: int
) -> None:
    """Be it while it waits itself, or while the server does not take what it gave."""
    seen = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            seen.append("begun")
            yield bytes(size)
            await anyio.sleep(PATIENCE)
            seen.append("went on")
        finally:
            seen.append("ended")

    with Stalled(issuer) as server:
        body = pieces()  # held here, or the garbage collector would end it

        async def work(session: Any) -> None:
            with anyio.move_on_after(1):
                await session.post(server.url, content=body)
            assert seen == ["begun", "ended"]

        run(loop, transport, work)


def test_cancelled_uploads_hold_no_threads(server: Watched, transport: Any, loop: str) -> None:
    begun = []

    async def pieces() -> AsyncIterator[bytes]:
        begun.append(True)
        await anyio.sleep(PATIENCE * 2)
        yield b"too late"

    async def work(session: Any) -> int:
        async with anyio.create_task_group() as group:
            for _ in range(MOST):
                group.start_soon(partial(session.post, server.url, content=pieces()))
            await until(lambda: len(begun) == MOST)
            group.cancel_scope.cancel()
        with anyio.fail_after(PATIENCE):
            return int((await session.get(server.url)).status_code)

    assert run(loop, transport, work) == 200


# --- over what cannot be ended


class Slow:
    """A presenter that takes its time, and the answer that it has in the end."""

    status, reason, headers = 200, "OK", ()

    def __init__(self) -> None:
        self.calls = 0
        self.closed = threading.Semaphore(0)
        self.through = threading.Event()

    def send(self, _outgoing: Any) -> Any:
        self.calls += 1
        self.through.wait(PATIENCE)
        return self

    def iter_bytes(self, _size: int) -> Iterator[bytes]:
        yield b"beginning"
        self.through.wait(PATIENCE)
        yield b"end"

    def close(self) -> None:
        self.closed.release()


def test_an_answer_that_comes_too_late_is_closed(loop: str) -> None:
    slow = Slow()

    async def work(session: Any) -> None:
        with anyio.move_on_after(0.2):
            await session.get("https://localhost:9/")
        assert not slow.closed.acquire(blocking=False)
        slow.through.set()

    run(loop, AsyncMtlsTransport(slow), work)
    assert slow.closed.acquire(timeout=PATIENCE)


def test_an_answer_is_closed_once_the_read_of_it_that_was_cancelled_is_through(loop: str) -> None:
    slow = Slow()
    slow.through.set()

    async def work(session: Any) -> None:
        with anyio.move_on_after(0.2):
            async with session.stream("GET", "https://localhost:9/") as answer:
                slow.through.clear()
                await answer.aread()
        assert not slow.closed.acquire(blocking=False), "under the thread that reads it"
        slow.through.set()

    run(loop, AsyncMtlsTransport(slow), work)
    assert slow.closed.acquire(timeout=PATIENCE)


def test_a_request_that_is_cancelled_while_it_waits_for_a_thread_is_forgotten(loop: str) -> None:
    slow = Slow()

    async def work(session: Any) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(MOST):
                group.start_soon(session.get, "https://localhost:9/")
            await until(lambda: slow.calls == MOST)
            with anyio.move_on_after(0.2):
                await session.get("https://localhost:9/")
            slow.through.set()
        await session.get("https://localhost:9/")

    run(loop, AsyncMtlsTransport(slow), work)
    assert slow.calls == MOST + 1


PROGRAM = """
import sys, threading, anyio, httpx
from msal_msi_v2.http import AsyncMtlsTransport

class Stuck:
    def send(self, outgoing):
        threading.Event().wait()

async def main():
    async with httpx.AsyncClient(transport=AsyncMtlsTransport(Stuck()), timeout=None) as session:
        with anyio.move_on_after(0.3):
            await session.get("https://localhost:9/")

anyio.run(main, backend=sys.argv[1])
"""


def test_a_thread_that_is_stuck_does_not_keep_the_process(loop: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, loop], check=False, timeout=PATIENCE * 2)
    assert done.returncode == 0
