"""``msal-msi-v2 call``, as its user runs it."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from msal_msi_v2 import MsiV2ClientError
from msal_msi_v2.cli.call import _resource_of
from msal_msi_v2.emulator import Body, Drop, Status

OPTIONS = ["--resource", "https://resource.example", "--min-strength", "software"]


def call(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "msal_msi_v2", "call", *OPTIONS, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env=os.environ.copy(),
        timeout=60,
    )


def test_a_get_prints_the_body_alone(own_host: Any) -> None:
    done = call(f"{own_host.resource_url}/a?b=c")
    assert (done.returncode, done.stderr) == (0, b"")
    answer = json.loads(done.stdout)
    assert (answer["method"], answer["path"], answer["query"]) == ("GET", "/a", {"b": "c"})


@pytest.mark.parametrize("way", ["text", "file", "stdin"])
def test_data_is_posted(own_host: Any, tmp_path: Path, way: str) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"a body")
    data = {"text": "a body", "file": f"@{file}", "stdin": "@-"}[way]
    done = call("-d", data, own_host.resource_url, stdin=b"a body")
    assert done.returncode == 0, done.stderr
    (sent,) = own_host.requests_to("resource")
    assert (sent.method, sent.body) == ("POST", b"a body")


def test_method_headers_and_output_are_the_callers(own_host: Any, tmp_path: Path) -> None:
    target = tmp_path / "answer"
    done = call(
        *("-X", "PUT", "-H", "X-One: 1", "-H", "Content-Type: text/x", "-d", "x"),
        *("-i", "-o", str(target), own_host.resource_url),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Type: application/json" in done.stdout
    assert json.loads(target.read_bytes())["method"] == "PUT"
    (sent,) = own_host.requests_to("resource")
    assert (sent.headers["x-one"], sent.headers["content-type"]) == ("1", "text/x")


def test_values_of_one_header_are_sent_in_one_line(own_host: Any) -> None:
    lines = ("X-A: 1", "x-a: 2", "Cookie: a=b", "Cookie: c=d")
    options = [option for line in lines for option in ("-H", line)]
    assert call(*options, own_host.resource_url).returncode == 0
    (sent,) = own_host.requests_to("resource")
    assert (sent.headers["x-a"], sent.headers["cookie"]) == ("1, 2", "a=b; c=d")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_the_body_is_what_its_headers_say(own_host: Any, encoding: str) -> None:
    data = gzip.compress(b"text " * 1000) if encoding == "gzip" else b"text"
    headers = {"Content-Type": "text/plain", "Content-Encoding": encoding}
    own_host.faults.add("resource", Body(data, headers=headers))
    asked = ["-H", "Accept-Encoding: gzip"] if encoding == "gzip" else []
    head, _, body = call("-i", *asked, own_host.resource_url).stdout.partition(b"\n\n")
    assert f"Content-Encoding: {encoding}".encode() in head
    assert f"Content-Length: {len(data)}".encode() in head
    assert body == data
    (sent,) = own_host.requests_to("resource")
    assert sent.headers["accept-encoding"] == encoding


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are text there")
def test_data_may_be_any_bytes(own_host: Any) -> None:
    assert call("-d", os.fsdecode(b"\xff\xfe"), own_host.resource_url).returncode == 0
    assert own_host.requests_to("resource")[0].body == b"\xff\xfe"


def test_an_output_that_cannot_be_opened_keeps_the_request_from_being_sent(
    own_host: Any, tmp_path: Path
) -> None:
    done = call("-o", str(tmp_path), "-d", "x", own_host.resource_url)
    assert done.returncode == 1
    assert re.fullmatch(rb"error: .+ cannot be written: .+\s*", done.stderr)
    assert own_host.requests_to("resource") == []


def test_an_output_stays_as_it_is_until_there_is_an_answer(own_host: Any, tmp_path: Path) -> None:
    old, empty, new = tmp_path / "old", tmp_path / "empty", tmp_path / "new"
    old.write_bytes(b"kept")
    empty.touch()
    for file in (old, empty, new):
        assert call("-o", str(file), "https://localhost:9/").returncode == 1
    assert (old.read_bytes(), empty.exists(), new.exists()) == (b"kept", True, False)
    own_host.faults.add("resource", Body(b""), times=2)
    for file in (old, new):
        assert call("-o", str(file), own_host.resource_url).returncode == 0
        assert file.read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_an_output_that_is_full_fails(own_host: Any) -> None:
    done = call("-o", "/dev/full", own_host.resource_url)
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rb"error: .+ /dev/full cannot be written: .+\n", done.stderr)


def test_what_is_no_method_is_wrong_usage(own_host: Any) -> None:
    assert call("-X", "A B", own_host.resource_url).returncode == 2
    assert own_host.requests == []


def test_bytes_come_as_they_are(own_host: Any) -> None:
    data = bytes(range(256)) * 300
    own_host.faults.add("resource", Body(data, headers={"Content-Type": "application/x"}))
    assert call(own_host.resource_url).stdout == data


def test_a_refusal_is_printed_and_fails(own_host: Any) -> None:
    own_host.faults.add("resource", Status(403, body="no"), times=None)
    done = call(own_host.resource_url)
    assert (done.returncode, done.stdout) == (1, b"no")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["https://localhost:9/"], r"managed_identity_unreachable_network: .+"),
        (["http://localhost:9/"], r"invalid_request: .+https only.+"),
        (["-H", "no colon", "https://localhost:9/"], r"invalid_request: -H takes .+"),
        (["https://[bad/"], r"Failed to parse: .+"),
        (["-d", "@no/such/file", "https://localhost:9/"], r"invalid_request: What -d names .+"),
    ],
)
@pytest.mark.usefixtures("own_host")
def test_failures_are_explained_on_one_line(arguments: list[str], message: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.fullmatch(rf"error: {message}", done.stderr.decode().strip())


def test_an_answer_that_breaks_off_fails(own_host: Any) -> None:
    own_host.faults.add("resource", Drop(after_bytes=5))
    done = call(own_host.resource_url)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: ")


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("https://mine.vault.azure.net/secrets/x", "https://vault.azure.net"),
        ("https://management.azure.com/subscriptions", "https://management.azure.com"),
        ("https://mine.blob.core.windows.net/c/b", "https://storage.azure.com"),
    ],
)
def test_the_resource_of_common_hosts_is_known(url: str, resource: str) -> None:
    assert _resource_of(url) == resource


@pytest.mark.parametrize("url", ["https://vault.azure.net.evil.example/", "https://example.org/"])
def test_and_of_no_other(url: str) -> None:
    with pytest.raises(ValueError, match="--resource"):
        _resource_of(url)


def test_and_of_no_url_that_is_malformed() -> None:
    with pytest.raises(MsiV2ClientError, match="malformed"):
        _resource_of("https://[bad/")
