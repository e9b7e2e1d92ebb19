"""``msal-msi-v2 doctor``: why this host does, or does not, get a bound token."""

from __future__ import annotations

import argparse
import dataclasses
import json
import textwrap
import uuid
from typing import TYPE_CHECKING, Any

from msal_msi_v2.diagnosis import Finding, diagnose, is_capable, wrong_setting
from msal_msi_v2.errors import MsiV2Error

from .output import say
from .token import acquire_options, add_client_options, make_client

if TYPE_CHECKING:
    from msal_msi_v2.client import ManagedIdentityClient

_DESCRIPTION = """\
Look at everything that a bound token takes, and say what is there, what is missing, and what to do
about it. With --resource, acquire one as well: only then is the token service asked.

Run it as the user, and with the options, that your program uses:

  msal-msi-v2 doctor --attested
  msal-msi-v2 doctor --min-strength software --resource https://vault.azure.net
"""
_WIDTH = 100
_TOKEN = "token"  # noqa: S105 - the name of a finding
_MARKS = {"ok": "ok", "warning": "warn", "problem": "FAIL"}


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help="find out why this host does not get a token",
        description=_DESCRIPTION,
        epilog="Exit codes: 0 nothing that was looked at stands in the way, 1 something does.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add_client_options(parser)
    parser.add_argument("--resource", metavar="URL", help="also acquire a token for it")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Diagnose, and print."""
    findings = _examine(make_client(options), options)
    say(_as_json(findings) if options.json else _as_text(findings))
    return 0 if is_capable(findings) else 1


def _examine(client: ManagedIdentityClient, options: argparse.Namespace) -> list[Finding]:
    try:
        host = client.host
    except MsiV2Error as exc:
        return [wrong_setting(exc)]
    request = client.make_request(
        resource="doctor",  # which is not asked for
        correlation_id=str(uuid.uuid4()),
        **acquire_options(options),
    )
    findings = list(diagnose(host, request))
    if options.resource is not None:  # a blank one is the client's to refuse
        findings.append(_token(client, options))
    return findings


def _token(client: ManagedIdentityClient, options: argparse.Namespace) -> Finding:
    try:
        result = client.acquire_token_for_client(
            resource=options.resource,
            mtls_proof_of_possession=True,
            **acquire_options(options),
        )
    except MsiV2Error as exc:
        return Finding(_TOKEN, "problem", str(exc))
    return Finding(_TOKEN, "ok", f"{result['expires_in']} s, {result['binding_certificate']!r}")


def _as_json(findings: list[Finding]) -> str:
    listed = [dataclasses.asdict(finding) for finding in findings]
    return json.dumps({"capable": is_capable(findings), "findings": listed}, indent=2)


def _as_text(findings: list[Finding]) -> str:
    lines = []
    for finding in findings:
        head = f"{_MARKS[finding.status]:5} {finding.name:12} "
        lines.append(_wrap(head, finding.found))
        if finding.advice:
            lines.append(_wrap(f"{'':{len(head) - 3}}-> ", finding.advice))
    return "\n".join([*lines, "", _verdict(findings)])


def _verdict(findings: list[Finding]) -> str:
    if not is_capable(findings):
        return "No bound token here, yet."
    if findings[-1].name == _TOKEN:
        return "Nothing stands in the way of a bound token."
    return "IMDS and the key are in order. The token service was not asked: add --resource URL."


def _wrap(head: str, text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )
