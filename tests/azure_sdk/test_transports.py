"""The transports of ``client_options()``: redirects, failures and threads."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from acquiring import make_client
from hosts import is_wine

from msal_msi_v2 import MtlsBindingStrength
from msal_msi_v2.emulator import Delay, Drop, Fault, Status
from msal_msi_v2.errors import TransportError

exceptions = pytest.importorskip("azure.core.exceptions")

from azure.core import AsyncPipelineClient, PipelineClient  # noqa: E402 - needs azure-core
from azure.core.pipeline import policies  # noqa: E402
from azure.core.pipeline.transport import HttpRequest as OldRequest  # noqa: E402
from azure.core.rest import HttpRequest  # noqa: E402

from msal_msi_v2.azure import MsiV2Credential, aio  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

SCOPE = "https://vault.azure.net/.default"
SECRET = "/secrets/x?api-version=7.4"


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def send(emulator: Any, platform: Any, kind: str) -> Callable[..., Any]:
    """Send a request through a pipeline, and return the answer."""
    del emulator
    make: Any = aio.MsiV2Credential if kind == "async" else MsiV2Credential
    credential = make(client=make_client(platform), min_strength=MtlsBindingStrength.SOFTWARE)
    client_options = credential.client_options

    def send_now(request: Any, *names: str, **options: Any) -> Any:
        pipeline = [make_policy(name, credential) for name in names]
        with PipelineClient("https://x", policies=pipeline, **client_options()) as client:
            return client.send_request(request, **options)

    async def send_later(request: Any, *names: str, **options: Any) -> Any:
        pipeline = [make_async_policy(name, credential) for name in names]
        client = AsyncPipelineClient("https://x", policies=pipeline, **client_options())
        async with client:
            return await client.send_request(request, **options)

    if kind == "sync":
        return send_now
    return lambda *args, **options: asyncio.run(send_later(*args, **options))


def make_policy(name: str, credential: Any) -> Any:
    kinds: dict[str, Any] = {
        "redirect": policies.RedirectPolicy,
        "retry": lambda: policies.RetryPolicy(retry_backoff_factor=0.01),
        "token": lambda: policies.BearerTokenCredentialPolicy(credential, SCOPE),
        "cleanup": policies.SensitiveHeaderCleanupPolicy,
        "failover": Failover,
    }
    return kinds[name]()


def make_async_policy(name: str, credential: Any) -> Any:
    kinds: dict[str, Any] = {
        "redirect": policies.AsyncRedirectPolicy,
        "retry": lambda: policies.AsyncRetryPolicy(retry_backoff_factor=0.01),
        "token": lambda: policies.AsyncBearerTokenCredentialPolicy(credential, SCOPE),
        "cleanup": policies.SensitiveHeaderCleanupPolicy,
        "failover": AsyncFailover,
    }
    return kinds[name]()


class Failover(policies.HTTPPolicy):  # type: ignore[type-arg]  # of any request
    """Goes on to the secondary host, as Storage's retry policy does."""

    def send(self, request: Any) -> Any:
        response = self.next.send(request)
        if response.http_response.status_code == 503:
            request.http_request.url = request.http_request.headers["X-Secondary"]
            response = self.next.send(request)
        return response


class AsyncFailover(policies.AsyncHTTPPolicy):  # type: ignore[type-arg]  # likewise
    async def send(self, request: Any) -> Any:
        response = await self.next.send(request)
        if response.http_response.status_code == 503:
            request.http_request.url = request.http_request.headers["X-Secondary"]
            response = await self.next.send(request)
        return response


def elsewhere(emulator: Any) -> str:
    """The same vault, at another origin."""
    url: str = emulator.vault_url.replace("localhost", "127.0.0.1")
    return url + SECRET


def shown(sent: Any) -> bool:
    """Whether a request has shown token and certificate; never only one of them."""
    has_token = "authorization" in sent.headers
    assert has_token is bool(sent.client_certificate)
    return has_token


# --- redirects


@pytest.mark.parametrize("request_type", [HttpRequest, OldRequest])
@pytest.mark.parametrize(
    "pipeline",
    [
        ("redirect", "retry", "token", "cleanup"),
        ("redirect", "retry", "token"),
        ("redirect", "token", "retry"),
        ("token", "redirect", "retry"),
    ],
)
def test_a_redirect_to_another_origin_carries_neither(
    emulator: Any, send: Callable[..., Any], request_type: Any, pipeline: tuple[str, ...]
) -> None:
    emulator.faults.add("vault", Status(307, {"Location": elsewhere(emulator)}))
    emulator.faults.add("vault", Status(500))  # tried again there
    request = request_type("GET", emulator.vault_url + SECRET)
    if request_type is OldRequest:
        send(request, *pipeline, stream=False)
    else:
        assert send(request, *pipeline).status_code == 401
    first, *rest = emulator.requests_to("vault")
    assert shown(first)
    assert [shown(sent) for sent in rest] == [False, False]


def test_nor_does_the_one_that_leads_back(emulator: Any, send: Callable[..., Any]) -> None:
    back = emulator.vault_url + SECRET
    for url in (elsewhere(emulator), back):
        emulator.faults.add("vault", Status(302, {"Location": url}))
    answer = send(HttpRequest("GET", back), "redirect", "retry", "token")
    assert answer.status_code == 401
    assert [shown(sent) for sent in emulator.requests_to("vault")] == [True, False, False]


@pytest.mark.parametrize("there", ["/secrets/x?api-version=7.4", "{}/secrets/x?api-version=7.4"])
def test_a_redirect_within_the_origin_carries_both(
    emulator: Any, send: Callable[..., Any], there: str
) -> None:
    location = there.format(emulator.vault_url)
    emulator.faults.add("vault", Status(307, {"Location": location}))
    url = f"{emulator.vault_url}/secrets/y?api-version=7.4"
    assert send(HttpRequest("GET", url), "redirect", "retry", "token").status_code == 200


def test_a_secondary_host_of_the_sdks_choice_gets_both(
    emulator: Any, stack: str, send: Callable[..., Any]
) -> None:
    if stack == "windows" and is_wine():
        pytest.skip("Wine finds no address among the names of a certificate")
    emulator.faults.add("vault", Status(307, {"Location": SECRET}))
    emulator.faults.add("vault", Status(503))
    request = HttpRequest(
        "GET", emulator.vault_url + SECRET, headers={"X-Secondary": elsewhere(emulator)}
    )
    assert send(request, "redirect", "failover", "token").status_code == 200
    sent = emulator.requests_to("vault")
    assert [one.headers["host"].partition(":")[0] for one in sent] == [
        "localhost", "localhost", "127.0.0.1",
    ]  # fmt: skip
    assert all(shown(one) for one in sent)


# --- failures


def test_what_the_service_may_have_received_is_a_service_response_error(
    emulator: Any, send: Callable[..., Any]
) -> None:
    url = emulator.resource_url
    for fault in (Drop(), Drop(reset=True), Delay(5)):
        emulator.faults.add("resource", fault)
        request = HttpRequest("POST", url, content=b"once")
        with pytest.raises(exceptions.ServiceResponseError) as caught:
            send(request, "retry", "token", connection_timeout=30, read_timeout=1)
        assert isinstance(caught.value.inner_exception.__cause__, TransportError)
    assert len(emulator.requests_to("resource")) == 3, "a POST is not repeated"


def test_what_was_never_sent_is_a_service_request_error(send: Callable[..., Any]) -> None:
    for options in ({}, {"proxies": {"https": "http://localhost:9"}}):
        request = HttpRequest("POST", "https://localhost:9/", content=b"x")
        with pytest.raises(exceptions.ServiceRequestError):
            send(request, "token", **options)


# --- threads


@dataclass(frozen=True)
class Gate(Fault):
    """Answers once it may."""

    may_answer: threading.Event = field(default_factory=threading.Event)

    def apply(self, exchange: Any, answer: Callable[[], Any]) -> Any:
        del exchange
        self.may_answer.wait(60)
        return answer()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def own_threads() -> int:
    return sum(thread.name.startswith("msal-msi-v2_") for thread in threading.enumerate())


def test_requests_wait_in_threads_of_the_transports_own(
    emulator: Any, stack: str, platform: Any
) -> None:
    if stack == "windows":
        pytest.skip("its emulator is another process, which no event of this one reaches")
    credential = aio.MsiV2Credential(
        client=make_client(platform), min_strength=MtlsBindingStrength.SOFTWARE
    )
    token = policies.AsyncBearerTokenCredentialPolicy(credential, SCOPE)
    options = credential.client_options()
    gate, before = Gate(), own_threads()

    async def main() -> None:
        made = AsyncPipelineClient("https://x", policies=[token], **options)
        async with credential, made as client:
            await client.send_request(HttpRequest("GET", emulator.resource_url))
            emulator.clear_requests()
            emulator.faults.add("resource", gate, times=None)
            requests = [HttpRequest("GET", emulator.resource_url) for _ in range(70)]
            calls = asyncio.gather(*(client.send_request(request) for request in requests))
            await until(lambda: len(emulator.requests_to("resource")) >= 64)
            await asyncio.sleep(0.3)
            assert len(emulator.requests_to("resource")) == 64, "the others wait for a thread"
            await asyncio.wait_for(asyncio.to_thread(time.monotonic), 10)
            gate.may_answer.set()
            assert {answer.status_code for answer in await calls} == {200}
        await until(lambda: own_threads() <= before)

    asyncio.run(main())


@pytest.mark.usefixtures("emulator")
def test_tokens_are_acquired_in_threads_of_the_credentials_own(platform: Any) -> None:
    credential = aio.MsiV2Credential(
        client=make_client(platform), min_strength=MtlsBindingStrength.SOFTWARE
    )
    may_end, before = threading.Event(), own_threads()

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        others = asyncio.create_task(asyncio.to_thread(may_end.wait, 60))
        for _ in range(2):
            assert (await asyncio.wait_for(credential.get_token(SCOPE), 30)).token
            await credential.close()  # it may be used again
        may_end.set()
        await others
        await until(lambda: own_threads() <= before)

    asyncio.run(main())
