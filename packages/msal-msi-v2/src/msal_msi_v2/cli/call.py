"""``msal-msi-v2 call``: call a resource with a bound token, as curl would with another."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from msal_msi_v2.errors import MsiV2ClientError

from .token import acquire_options, add_client_options, make_client

if TYPE_CHECKING:
    from collections.abc import Iterable

_DESCRIPTION = """\
Call a URL with a bound token of this machine's managed identity, over TLS with its certificate,
and print the answer's body.

The resource that the token is for is known for the hosts of common Azure services; pass --resource
for any other. -d @FILE sends a file, -d @- what comes in on standard input.

examples:
  msal-msi-v2 call --attested https://myvault.vault.azure.net/secrets/x?api-version=7.4
  msal-msi-v2 call -i -X PUT -H "Content-Type: application/json" -d @body.json \\
      --resource api://my-app https://api.example/items/1
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
        epilog="Exit codes: 0 a status below 400; 1 any other, or no answer, explained on standard "
        "error.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("url", metavar="URL", help="what to call; https only")
    parser.add_argument("--resource", help="URL or application id URI of what the token is for")
    parser.add_argument("-X", "--request", metavar="METHOD", help="default: GET, with -d POST")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="repeatable"
    )
    parser.add_argument("-d", "--data", metavar="TEXT|@FILE", help="the body to send")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the answer's body there")
    parser.add_argument(
        "-i", "--include", action="store_true", help="print status and headers, too"
    )
    add_client_options(parser)


def run(options: argparse.Namespace) -> int:
    """Call, and print."""
    resource = options.resource or _resource_of(options.url)
    headers = _headers(options.header)
    session = make_client(options).mtls_session(resource=resource, **acquire_options(options))
    with session, _body(options.data) as body:
        try:
            answer = session.request(
                options.request or ("GET" if body is None else "POST"),
                options.url,
                headers=headers,
                data=body,
                stream=True,
                timeout=options.timeout or _TIMEOUT,
            )
            with answer:
                _print(answer, options)
        except requests.RequestException as exc:
            print(f"error: {exc}", file=sys.stderr)  # noqa: T201 - the command's output
            return 1
    return 0 if answer.ok else 1


def _resource_of(url: str) -> str:
    host = urlsplit(url).hostname or ""
    for suffix, resource in _RESOURCES.items():
        if host == suffix or host.endswith(f".{suffix}"):
            return resource
    raise MsiV2ClientError(
        "invalid_request",
        f"Which resource a token for {host!r} must be for is not known. Pass --resource.",
    )


def _headers(lines: Iterable[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise MsiV2ClientError("invalid_request", "-H takes a header as 'Name: value'.")
        headers[name.strip()] = value.strip()
    return headers


def _body(data: str | None) -> Any:
    """Return a context manager of what to send."""
    if data is None:
        return nullcontext()
    if data == "@-":
        return nullcontext(sys.stdin.buffer.read())
    if not data.startswith("@"):
        return nullcontext(data.encode("utf-8"))
    return _open(data[1:], "rb")


def _open(path: str, mode: str) -> Any:
    try:
        return Path(path).open(mode)
    except OSError as exc:
        raise MsiV2ClientError(
            "invalid_request", f"The file {path!r} cannot be opened: {exc.strerror}."
        ) from exc


def _print(answer: requests.Response, options: argparse.Namespace) -> None:
    out = sys.stdout.buffer
    if options.include:
        lines = [f"HTTP/1.1 {answer.status_code} {answer.reason}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        out.write("\n".join([*lines, "", ""]).encode("utf-8", "backslashreplace"))
    with _open(options.output, "wb") if options.output else nullcontext(out) as target:
        for piece in answer.iter_content(_PIECE):
            target.write(piece)
    out.flush()
