"""``msal-msi-v2 call``, as its user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from msal_msi_v2.cli.call import _resource_of
from msal_msi_v2.emulator import Body, Drop, Status

if TYPE_CHECKING:
    from pathlib import Path

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
        (["-d", "@no/such/file", "https://localhost:9/"], r"invalid_request: The file .+"),
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
