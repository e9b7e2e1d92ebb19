"""``msal-msi-v2 demo``: the whole protocol on one machine, explained while it runs."""

from __future__ import annotations

import argparse
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import msal
import requests

from msal_msi_v2.client import ManagedIdentityClient
from msal_msi_v2.errors import MsiV2ClientError
from msal_msi_v2.http.openssl import OpenSslTransport
from msal_msi_v2.platforms import Timeout
from msal_msi_v2.software import SoftwarePlatform
from msal_msi_v2.steps import STEPS, logger
from msal_msi_v2.strength import MtlsBindingStrength
from msal_msi_v2.tokens import authorization_header, verify_cnf_binding

from .emulate import load_emulator
from .output import say
from .token import add_verbose

if TYPE_CHECKING:
    from msal_msi_v2.binding import BindingCertificate

_DESCRIPTION = """\
Emulate an Azure host on loopback and walk the seven steps of MSI v2 against it: make a key, have
it attested and certified, get a token bound to it, call a resource with both, and see the token
refused when somebody else's certificate comes with it.

Nothing leaves this machine. The key is a software key that the emulated host takes for a KeyGuard
key; --software shows the path without attestation, for hosts that have no KeyGuard.
"""
_OWN_LEGS = ("metadata", "issuecredential", "token")
_NO_ATTESTATION = MsiV2ClientError(
    "attestation_not_supported", "The demo was asked for a software key."
)
_TIMEOUT = Timeout(connect=5, read=10)


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="see it work, on any machine",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add_verbose(parser)
    parser.add_argument(
        "--software", action="store_true", help="lower the floor: a software key, not attested"
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo; the exit code tells whether all went as it should."""
    with load_emulator()() as emulator:
        os.environ.update(emulator.environment)
        say("An Azure host is emulated on this machine. The seven steps to a bound token:\n")
        result = _acquire(emulator, software=options.software)
        own = sum(request.leg in _OWN_LEGS for request in emulator.requests)
        say(f"\n{own} HTTP requests. The {result['token_type']} token is bound:\n")
        certificate = result["binding_certificate"]
        say(f"  certificate's x5t#S256  {certificate.x5t_s256}")
        bound = verify_cnf_binding(result["access_token"], certificate)
        say(f"  token's cnf             {'the same' if bound else 'ANOTHER'}\n")
        served = _call(emulator, result, certificate)
        say(f"Call the resource with both:\n  {served}\n")
        other = _acquire(emulator, software=options.software, quiet=True)["binding_certificate"]
        stolen = _call(emulator, result, other)
        say(f"Replay the token with another machine's certificate:\n  {stolen}")
    worked = bound and served.startswith("200") and stolen.startswith("401")
    say("\nThe token is of use to this key only." if worked else "\nThis is not as it should be.")
    return 0 if worked else 1


def _acquire(emulator: Any, *, software: bool, quiet: bool = False) -> dict[str, Any]:
    """Acquire with a machine of its own: a new platform has a new key."""
    client = ManagedIdentityClient(
        msal.SystemAssignedManagedIdentity(),
        http_client=requests.Session(),
        platform=SoftwarePlatform(_NO_ATTESTATION) if software else emulator.keyguard_platform(),
    )
    printer = _StepPrinter()
    level = logger.level
    if not quiet:
        logger.addHandler(printer)
        logger.setLevel(logging.INFO)
    try:
        return client.acquire_token_for_client(
            resource="https://resource.example",
            mtls_proof_of_possession=True,
            with_attestation_support=not software,
            min_strength=MtlsBindingStrength.SOFTWARE if software else None,
        )
    finally:
        logger.removeHandler(printer)
        logger.setLevel(level)


def _call(emulator: Any, result: dict[str, Any], certificate: BindingCertificate) -> str:
    transport = OpenSslTransport(emulator.ca_bundle)
    response = transport.request(
        "GET",
        f"{emulator.resource_url}/hello",
        certificate=certificate,
        headers=[("Authorization", authorization_header(result))],
        timeout=_TIMEOUT,
    )
    answer = json.loads(b"".join(response.iter_bytes()))
    response.close()
    transport.close()
    said = answer["error"]["message"] if "error" in answer else f"hello, {answer['client_id']}"
    return f"{response.status} {response.reason}: {said}"


class _StepPrinter(logging.Handler):
    """Prints the flow's own log records, one line a step."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = vars(record)
        if "step" in fields:
            number = STEPS.index(fields["step"]) + 1
            duration = f"{fields['duration'] * 1000:6.0f} ms"
            say(f"  {number}  {fields['step']:20}{duration}  {fields['outcome']}")
