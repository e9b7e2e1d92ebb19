"""``msal-msi-v2 call``: call a resource with a bound token, as curl would with another."""

from __future__ import annotations

import argparse
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from msal_msi_v2.errors import MsiV2ClientError

from .output import Output, say_error, writing
from .token import acquire_options, add_client_options, make_client

if TYPE_CHECKING:
    from collections.abc import Iterable

_DESCRIPTION = """\
Call a URL with a bound token of this machine's managed identity, over TLS with its certificate,
and print the answer's body.

The resource that the token is for is known for the hosts of common Azure services; pass --resource
for any other. -d @FILE sends a file, -d @- what comes in on standard input. The body is printed as
it was sent; it is compressed only if you ask for that with -H "Accept-Encoding: gzip".

examples:
  msal-msi-v2 call --attested "https://myvault.vault.azure.net/secrets/x?api-version=7.4"
  msal-msi-v2 call -i -X PUT -H "Content-Type: application/json" -d @body.json \\
      --resource api://my-app https://api.example/items/1
"""
_EPILOG = """\
Exit codes: 0 a status below 400; 1 any other status, or no answer, or one that cannot be written,
explained on standard error; 2 wrong usage; 130 interrupt; 141 nobody reads the output any more.
"""
_RESOURCES = {
    "vault.azure.net": "https://vault.azure.net",
    "vault.azure.cn": "https://vault.azure.cn",
    "vault.usgovcloudapi.net": "https://vault.usgovcloudapi.net",
    "managedhsm.azure.net": "https://managedhsm.azure.net",
    "management.azure.com": "https://management.azure.com",
    "graph.microsoft.com": "https://graph.microsoft.com",
    "core.windows.net": "https://storage.azure.com",
    "database.windows.net": "https://database.windows.net",
}
"""What tokens are for, by the end of a host's name."""
_TIMEOUT = 60.0
_PIECE = 65536


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "call",
        help="call a resource with a bound token",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("url", metavar="URL", help="what to call; https only")
    parser.add_argument("--resource", help="URL or application id URI of what the token is for")
    parser.add_argument(
        "-X", "--request", type=_method, metavar="METHOD", help="default: GET, with -d POST"
    )
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="repeatable; values of the same name are sent in one line",
    )
    parser.add_argument("-d", "--data", metavar="TEXT|@FILE", help="the body to send")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the answer's body there; without an answer, the file stays as it is",
    )
    parser.add_argument(
        "-i", "--include", action="store_true", help="print status and headers, too"
    )
    add_client_options(parser)


def run(options: argparse.Namespace) -> int:
    """Call, and print."""
    options.url.encode()  # or urllib3 would make other bytes of those that are no text
    resource = options.resource or _resource_of(options.url)
    headers = _headers(options.header)
    session = make_client(options).mtls_session(resource=resource, **acquire_options(options))
    try:
        with session, _body(options.data) as body, Output(options.output) as output:
            answer = session.request(
                options.request or ("GET" if body is None else "POST"),
                options.url,
                headers=headers,
                data=body,
                stream=True,
                timeout=options.timeout or _TIMEOUT,
            )
            with answer:
                _print(answer, output, include=options.include)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
        say_error(exc)
        return 1
    return 0 if answer.ok else 1


def _method(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a method of HTTP")
    return text


def _resource_of(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError as exc:
        raise MsiV2ClientError("invalid_request", f"The URL is malformed: {exc}.") from exc
    for suffix, resource in _RESOURCES.items():
        if host == suffix or host.endswith(f".{suffix}"):
            return resource
    raise MsiV2ClientError(
        "invalid_request",
        f"Which resource a token for {host!r} must be for is not known. Pass --resource.",
    )


def _headers(lines: Iterable[str]) -> CaseInsensitiveDict[str]:
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for line in lines:
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not name:
            raise MsiV2ClientError("invalid_request", "-H takes a header as 'Name: value'.")
        separator = "; " if name.lower() == "cookie" else ", "
        headers[name] = f"{headers[name]}{separator}{value}" if name in headers else value
    headers.setdefault("Accept-Encoding", "identity")
    return headers


def _body(data: str | None) -> Any:
    """Return a context manager of what to send."""
    if data is None:
        return nullcontext()
    if not data.startswith("@"):
        return nullcontext(os.fsencode(data))
    try:
        return nullcontext(sys.stdin.buffer.read()) if data == "@-" else Path(data[1:]).open("rb")
    except OSError as exc:
        raise MsiV2ClientError(
            "invalid_request", f"What -d names cannot be read: {exc.strerror}. Check the file."
        ) from exc


def _print(answer: requests.Response, output: Output, *, include: bool) -> None:
    """Print an answer as it was sent: what its headers say is true of the body."""
    if include:
        lines = [f"HTTP/1.1 {answer.status_code} {answer.reason}"]
        lines += [f"{name}: {value}" for name, value in answer.raw.headers.items()]
        with writing("Standard output"):
            sys.stdout.buffer.write("\n".join([*lines, "", ""]).encode("utf-8", "backslashreplace"))
    output.begin()
    for piece in answer.raw.stream(_PIECE, decode_content=False):
        output.write(piece)
