"""``client.mtls_session()``: tokens, certificates, refusals and redirects, over every TLS stack."""

from __future__ import annotations

import base64
import gzip
import io
import logging
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests
from acquiring import RESOURCE, acquire, make_client
from tunnel import Tunnel
from urllib3.exceptions import ProtocolError

from msal_msi_v2 import MsiV2ClientError, MsiV2Error, MtlsBindingStrength
from msal_msi_v2.emulator import Body, Drop, OAuthError, Status
from msal_msi_v2.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from msal_msi_v2 import ManagedIdentityClient

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
CHALLENGE = Status(
    401,
    headers={
        "WWW-Authenticate": 'Bearer error="insufficient_claims", '
        f'claims="{base64.b64encode(CLAIMS.encode()).decode()}"'
    },
)
STALE = Status(401, body={"error": "MtlsCnfClaimRequestDataValidationFailed: another one"})
EXPIRED = Status(401, headers={"WWW-Authenticate": 'mtls_pop error="invalid_token"'})
TIMEOUT = 30


@pytest.fixture
def client(emulator: Any, platform: Any) -> ManagedIdentityClient:
    del emulator
    return make_client(platform)


@pytest.fixture
def session(client: ManagedIdentityClient) -> Iterator[requests.Session]:
    with client.mtls_session(resource=RESOURCE, min_strength=MtlsBindingStrength.SOFTWARE) as made:
        yield made


def legs(emulator: Any) -> list[str]:
    return [request.leg for request in emulator.requests]


# --- what every request carries


def test_a_request_carries_token_certificate_and_headers(
    emulator: Any, session: requests.Session
) -> None:
    answer = session.get(f"{emulator.resource_url}/hello", params={"a": "b c"}, timeout=TIMEOUT)
    assert answer.json()["query"] == {"a": "b c"}
    (sent,) = emulator.requests_to("resource")
    assert sent.headers["authorization"].startswith("mtls_pop eyJ")
    assert sent.headers["x-ms-tokenboundauth"] == "true"
    assert len(sent.headers["x-ms-client-request-id"]) == 36
    assert sent.client_certificate
    assert "Authorization" not in answer.request.headers, "the token stays below"


def test_the_caller_may_choose_the_request_id(emulator: Any, session: requests.Session) -> None:
    headers = {"x-ms-client-request-id": "mine", "Authorization": "Basic mistake"}
    session.get(emulator.resource_url, headers=headers, timeout=TIMEOUT)
    (sent,) = emulator.requests_to("resource")
    assert sent.headers["x-ms-client-request-id"] == "mine"
    assert sent.headers["authorization"].startswith("mtls_pop ")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_every_method(emulator: Any, session: requests.Session, method: str) -> None:
    answer = session.request(method, emulator.resource_url, timeout=TIMEOUT)
    assert answer.status_code == 200
    assert emulator.requests_to("resource")[0].method == method


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (None, 0),
        (b"bytes", 5),
        ("text: ü", 8),
        ({"form": "a b"}, 8),
        (lambda: io.BytesIO(b"x" * 100_000), 100_000),
        (lambda: (piece for piece in (b"in ", "pieces")), 9),
    ],
)
def test_every_kind_of_body(
    emulator: Any, session: requests.Session, body: Any, length: int
) -> None:
    data = body() if callable(body) else body
    answer = session.post(emulator.resource_url, data=data, timeout=TIMEOUT)
    assert answer.json()["body_length"] == length


def test_an_answer_streams_and_is_decompressed(emulator: Any, session: requests.Session) -> None:
    text = b"a long answer " * 10_000
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    emulator.faults.add("resource", Body(gzip.compress(text), headers=headers))
    with session.get(emulator.resource_url, stream=True, timeout=TIMEOUT) as answer:
        assert b"".join(answer.iter_content(1000)) == text


def test_the_token_is_renewed_before_it_expires(
    emulator: Any, platform: Any, session: requests.Session
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    session.get(emulator.resource_url, timeout=TIMEOUT)
    assert len(emulator.requests_to("token")) == 1
    platform.clock.sleep(86400 - 299)
    session.get(emulator.resource_url, timeout=TIMEOUT)
    assert len(emulator.requests_to("token")) == 2


def test_many_threads_share_one_session(emulator: Any, session: requests.Session) -> None:
    statuses: list[int] = []

    def work() -> None:
        statuses.extend(
            session.get(emulator.resource_url, timeout=TIMEOUT).status_code for _ in range(3)
        )

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 96
    assert len(emulator.requests_to("token")) == 1


# --- refusals that can be mended, once each


def test_a_claims_challenge_is_answered_with_a_new_certificate_and_token(
    emulator: Any, session: requests.Session
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    emulator.clear_requests()
    emulator.faults.add("resource", CHALLENGE)
    answer = session.post(emulator.resource_url, data=b"once more", timeout=TIMEOUT)
    assert answer.status_code == 200
    assert legs(emulator)[-3:] == ["issuecredential", "token", "resource"]
    first, second = emulator.requests_to("resource")
    assert first.client_certificate != second.client_certificate
    assert first.headers["authorization"] != second.headers["authorization"]
    assert second.body == b"once more"
    assert first.headers["x-ms-client-request-id"] == second.headers["x-ms-client-request-id"]
    assert b"claims" in emulator.requests_to("token")[0].body
    session.get(emulator.resource_url, timeout=TIMEOUT)
    assert emulator.requests_to("resource")[2].client_certificate == second.client_certificate


def test_a_stale_binding_is_answered_with_a_new_connection(
    emulator: Any, stack: str, session: requests.Session
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    emulator.clear_requests()
    emulator.faults.add("resource", STALE)
    assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 200
    assert legs(emulator) == ["resource", "resource"]
    first, second = emulator.requests
    assert first.headers["authorization"] == second.headers["authorization"]
    assert first.connection_id != second.connection_id, stack


def test_a_stale_binding_is_found_in_a_compressed_answer(
    emulator: Any, session: requests.Session
) -> None:
    body = gzip.compress(b'{"error":"MtlsCnfClaimRequestDataValidationFailed"}')
    emulator.faults.add("resource", Status(401, {"Content-Encoding": "gzip"}, body))
    assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 200


def test_a_token_that_is_of_no_use_any_more_is_renewed_and_not_again(
    emulator: Any, session: requests.Session
) -> None:
    emulator.faults.add("resource", EXPIRED)
    assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 200
    assert len(emulator.requests_to("token")) == 2
    emulator.faults.add("resource", EXPIRED, times=None)
    for _ in range(3):
        assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 401
    assert len(emulator.requests_to("token")) == 2, "the resource refuses new tokens, too"


@pytest.mark.parametrize("fault", [CHALLENGE, STALE, EXPIRED])
def test_each_is_tried_once_and_then_left_to_the_caller(
    emulator: Any, session: requests.Session, fault: Status
) -> None:
    emulator.faults.add("resource", fault, times=None)
    answer = session.get(emulator.resource_url, timeout=TIMEOUT)
    assert answer.status_code == 401
    assert len(emulator.requests_to("resource")) == 2
    if fault is STALE:
        assert "MtlsCnf" in answer.text, "what was looked into is still there"


def test_one_after_the_other_is_mended(emulator: Any, session: requests.Session) -> None:
    for fault in (STALE, EXPIRED, CHALLENGE):
        emulator.faults.add("resource", fault)
    assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 200
    assert len(emulator.requests_to("resource")) == 4


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_other_refusals_are_the_callers(
    emulator: Any, session: requests.Session, status: int
) -> None:
    emulator.faults.add("resource", Status(status), times=None)
    assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == status
    assert len(emulator.requests_to("resource")) == 1


@pytest.mark.parametrize("fault", [CHALLENGE, STALE, EXPIRED])
def test_a_body_that_can_be_sent_only_once_is_sent_only_once(
    emulator: Any, session: requests.Session, fault: Status
) -> None:
    emulator.faults.add("resource", fault)
    pieces = (piece for piece in (b"a", b"b"))
    answer = session.post(emulator.resource_url, data=pieces, timeout=TIMEOUT)
    assert answer.status_code == 401
    assert len(emulator.requests_to("resource")) == 1
    assert session.get(emulator.resource_url, timeout=TIMEOUT).status_code == 200
    assert len(emulator.requests_to("resource")) == 2, "what was mended serves the next one"


def test_a_file_is_sent_again_from_where_it_began(emulator: Any, session: requests.Session) -> None:
    emulator.faults.add("resource", STALE)
    file = io.BytesIO(b"skip;the rest")
    file.seek(5)
    assert session.post(emulator.resource_url, data=file, timeout=TIMEOUT).status_code == 200
    assert [sent.body for sent in emulator.requests][-2:] == [b"the rest"] * 2


def test_a_challenge_that_entra_refuses_is_its_error(
    emulator: Any, session: requests.Session
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    emulator.faults.add("resource", CHALLENGE)
    emulator.faults.add("token", OAuthError("invalid_grant"), times=None)
    with pytest.raises(MsiV2Error) as caught:
        session.get(emulator.resource_url, timeout=TIMEOUT)
    assert caught.value.error == "invalid_grant"


class Meanwhile(io.BytesIO):
    """A body, and something that happens when it is sent first: the token is chosen by then."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(b"once more")
        self._work: Callable[[], Any] | None = work

    def read(self, size: int | None = -1) -> bytes:
        work, self._work = self._work, None
        if work is not None:
            work()
        return super().read(size)


@pytest.mark.parametrize(
    ("fault", "renewal"),
    [(CHALLENGE, {"claims_challenge": CLAIMS}), (EXPIRED, {"force_refresh": True})],
)
def test_what_another_thread_has_renewed_is_not_renewed_again(
    emulator: Any,
    client: ManagedIdentityClient,
    session: requests.Session,
    fault: Status,
    renewal: dict[str, Any],
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    emulator.faults.add("resource", fault)
    body = Meanwhile(lambda: acquire(client, **renewal))
    assert session.post(emulator.resource_url, data=body, timeout=TIMEOUT).status_code == 200
    assert len(emulator.requests_to("token")) == 2, "the first one, and the other thread's"
    _, refused, repeated = emulator.requests_to("resource")
    assert refused.headers["authorization"] != repeated.headers["authorization"]


def test_threads_that_are_challenged_together_do_not_renew_each_for_itself(
    emulator: Any, session: requests.Session
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    emulator.clear_requests()
    emulator.faults.add("resource", CHALLENGE, times=8)
    together = threading.Barrier(8)
    statuses: list[int] = []

    def work() -> None:
        body = Meanwhile(lambda: together.wait(TIMEOUT))
        answer = session.post(emulator.resource_url, data=body, timeout=TIMEOUT)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 8
    assert len(emulator.requests_to("token")) < 8


# --- where neither token nor certificate may go


def redirect(url: str, status: int = 302) -> Status:
    return Status(status, headers={"Location": url})


def test_a_redirect_within_the_origin_keeps_both(emulator: Any, session: requests.Session) -> None:
    emulator.faults.add("resource", redirect("/there"))
    answer = session.get(f"{emulator.resource_url}/here", timeout=TIMEOUT)
    assert answer.json()["path"] == "/there"


def test_a_redirect_to_another_origin_keeps_neither(
    emulator: Any, session: requests.Session
) -> None:
    emulator.faults.add("resource", redirect(f"{emulator.vault_url}/secrets/x?api-version=7.4"))
    answer = session.get(emulator.resource_url, timeout=TIMEOUT)
    assert answer.status_code == 401
    sent = emulator.requests_to("vault")[0]
    assert (sent.headers.get("authorization"), sent.client_certificate) == (None, None)
    assert "x-ms-tokenboundauth" not in sent.headers


def test_nor_does_the_one_that_leads_back(emulator: Any, session: requests.Session) -> None:
    emulator.faults.add("resource", redirect(f"{emulator.vault_url}/secrets/x"))
    emulator.faults.add("vault", redirect(f"{emulator.resource_url}/back"))
    with pytest.raises(requests.exceptions.ConnectionError):  # TLS there wants a certificate
        session.get(emulator.resource_url, timeout=TIMEOUT)
    assert len(emulator.requests_to("resource")) == 1


def test_a_redirect_to_plain_http_is_refused(emulator: Any, session: requests.Session) -> None:
    emulator.faults.add("resource", redirect(emulator.imds_url))
    with pytest.raises(MsiV2ClientError, match="https only"):
        session.get(emulator.resource_url, timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "http://localhost:1/"}, "https only"),
        ({"verify": False}, "verify is False"),
        ({"cert": "mine.pem"}, "cert is set"),
    ],
)
def test_what_must_not_be_sent_is_refused_before_a_token_is_asked_for(
    emulator: Any, session: requests.Session, change: dict[str, Any], message: str
) -> None:
    options = {"url": emulator.resource_url, "timeout": TIMEOUT, **change}
    with pytest.raises(MsiV2ClientError, match=message) as caught:
        session.get(**options)
    assert caught.value.error == "invalid_request"
    assert emulator.requests == []


def test_cookies_are_neither_kept_nor_sent(emulator: Any, session: requests.Session) -> None:
    cookie = Body(b"{}", headers={"Set-Cookie": "a=b; Path=/"})
    emulator.faults.add("resource", cookie)
    session.get(emulator.resource_url, timeout=TIMEOUT)
    session.get(emulator.resource_url, timeout=TIMEOUT)
    assert "cookie" not in emulator.requests_to("resource")[1].headers


def test_a_password_in_netrc_stays_there(
    emulator: Any,
    session: requests.Session,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    emulator.faults.add("resource", redirect("/there"))
    answer = session.get(emulator.resource_url, timeout=TIMEOUT)
    assert answer.ok
    assert len(answer.history) == 1
    assert "Authorization" not in answer.request.headers
    emulator.faults.add("resource", redirect(f"{emulator.vault_url}/secrets/x"))
    session.get(emulator.resource_url, timeout=TIMEOUT)
    assert "authorization" not in emulator.requests_to("vault")[0].headers


def test_a_login_of_the_callers_own_stays_at_its_origin(
    emulator: Any, session: requests.Session
) -> None:
    emulator.faults.add("resource", redirect(f"{emulator.vault_url}/secrets/x"))
    session.get(emulator.resource_url, headers={"Authorization": "Basic x"}, timeout=TIMEOUT)
    assert "authorization" not in emulator.requests_to("vault")[0].headers


def test_no_token_is_logged_or_shown(
    emulator: Any, session: requests.Session, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.faults.add("resource", CHALLENGE)
    answer = session.get(emulator.resource_url, timeout=TIMEOUT)
    shown = caplog.text + repr(session) + repr(answer) + repr(vars(answer.request))
    tokens = [sent.headers["authorization"][9:] for sent in emulator.requests_to("resource")]
    assert len(tokens) == 2
    assert not [token for token in tokens if token in shown or token[-40:] in shown]


def test_a_session_cannot_be_pickled(session: requests.Session) -> None:
    with pytest.raises(TypeError, match="private key"):
        pickle.dumps(session)


# --- what requests' own users expect


@pytest.mark.parametrize(
    "make_url",
    [lambda _: "https://localhost:9/", lambda _: "https://no-such-host.invalid/"],
)
def test_nobody_there_is_requests_own_error(
    emulator: Any, session: requests.Session, make_url: Callable[[Any], str]
) -> None:
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(make_url(emulator), timeout=TIMEOUT)
    assert isinstance(caught.value.__cause__, MsiV2Error)
    assert caught.value.request is not None


def test_a_request_that_may_have_arrived_is_told_from_one_that_has_not(
    emulator: Any, session: requests.Session
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    emulator.faults.add("resource", Drop())
    for url, arrived in ((emulator.resource_url, True), ("https://localhost:9/", False)):
        with pytest.raises(requests.ConnectionError) as caught:
            session.post(url, data=b"once", timeout=TIMEOUT)
        assert isinstance(caught.value.args[0], ProtocolError) is arrived, "as requests' own"
        assert isinstance(caught.value.__cause__, TransportError)


@pytest.mark.parametrize(
    "proxies", [{"https": ""}, {"all": ""}, {"https": "", "all": "http://localhost:9"}, {}]
)
def test_an_empty_proxy_is_none(
    emulator: Any, session: requests.Session, proxies: dict[str, str]
) -> None:
    assert session.get(emulator.resource_url, proxies=proxies, timeout=TIMEOUT).ok


@pytest.mark.parametrize("scheme", ["http://", ""])
@pytest.mark.parametrize("key", ["https", "all", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_is_requests_own_with_a_scheme_and_without(
    emulator: Any,
    session: requests.Session,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    scheme: str,
) -> None:
    session.get(emulator.resource_url, timeout=TIMEOUT)
    asked = emulator.resource_url.removeprefix("https://")
    with Tunnel() as tunnel:
        proxy = tunnel.url.replace("http://", scheme)
        if key.isupper():
            monkeypatch.setenv(key, proxy)
        proxies = {} if key.isupper() else {key: proxy}
        assert session.get(emulator.resource_url, proxies=proxies, timeout=TIMEOUT).ok
        assert tunnel.asked == [asked]


def test_a_proxy_that_is_not_there_is_requests_own_error(
    emulator: Any, stack: str, session: requests.Session
) -> None:
    with pytest.raises(requests.ConnectionError) as caught:
        session.get(emulator.resource_url, proxies={"https": "localhost:9"}, timeout=TIMEOUT)
    named = isinstance(caught.value, requests.exceptions.ProxyError)
    assert named is (stack == "software"), "WinHTTP cannot tell"


def test_an_acquisition_that_fails_is_ours(emulator: Any, session: requests.Session) -> None:
    emulator.faults.add("token", OAuthError("unauthorized_client"), times=None)
    with pytest.raises(MsiV2Error) as caught:
        session.get(emulator.resource_url, timeout=TIMEOUT)
    assert caught.value.error == "unauthorized_client"
    assert emulator.requests_to("resource") == []


def test_a_weak_key_is_refused(emulator: Any, client: ManagedIdentityClient, stack: str) -> None:
    with client.mtls_session(resource=RESOURCE) as strong:
        if stack == "windows":
            assert strong.get(emulator.resource_url, timeout=TIMEOUT).ok
        else:
            with pytest.raises(MsiV2ClientError, match="KeyGuard"):
                strong.get(emulator.resource_url, timeout=TIMEOUT)
