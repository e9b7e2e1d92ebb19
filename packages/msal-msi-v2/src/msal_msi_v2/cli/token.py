"""``msal-msi-v2 token``: acquire a token and print what came back."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import msal
import requests

from msal_msi_v2.client import ManagedIdentityClient
from msal_msi_v2.strength import MtlsBindingStrength

from .output import say

_DESCRIPTION = """\
Acquire a bound token for this machine's managed identity, and print the result as JSON.

The token itself is left out unless you pass --show-token.

examples:
  msal-msi-v2 token --resource https://vault.azure.net --attested
  msal-msi-v2 token --resource https://vault.azure.net --min-strength software
  msal-msi-v2 token -v --resource https://vault.azure.net --client-id GUID
"""
_LONGEST = 86400.0


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "token",
        help="acquire a token",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--resource", required=True, help="URL or application id URI of what the token is for"
    )
    add_client_options(parser)
    parser.add_argument("--claims", metavar="JSON", help="claims challenge of the resource")
    parser.add_argument("--show-token", action="store_true", help="print the token too: a secret")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose identity, attestation and strength, and ``-v``."""
    add_verbose(parser)
    identity = parser.add_mutually_exclusive_group()
    identity.add_argument("--client-id", metavar="GUID", help="a user-assigned identity")
    identity.add_argument("--object-id", metavar="GUID", help="the same, by its object id")
    identity.add_argument("--resource-id", metavar="ID", help="the same, by its resource id")
    parser.add_argument(
        "--attested",
        action="store_true",
        help="have Azure attest the key (needs msal-key-attestation)",
    )
    parser.add_argument(
        "--min-strength",
        choices=[strength.name.lower() for strength in MtlsBindingStrength],
        help="the weakest key to accept (default: keyguard)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="for each request, instead of the defaults",
    )


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Take ``-v`` after the command, too; left out there, it is as before the command."""
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=argparse.SUPPRESS,
        help="log each step; twice: log everything",
    )


def seconds(text: str) -> float:
    """Return a time that something can take.

    Raises:
        argparse.ArgumentTypeError: It is no number, not more than 0, or more than a day.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to a day")
    return value


def make_client(options: argparse.Namespace) -> ManagedIdentityClient:
    """Return the client that the options describe."""
    return ManagedIdentityClient(
        _identity(options), http_client=requests.Session(), timeout=options.timeout
    )


def acquire_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the keywords of ``acquire_token_for_client`` that the options describe."""
    strength = options.min_strength
    return {
        "with_attestation_support": options.attested,
        "min_strength": MtlsBindingStrength[strength.upper()] if strength else None,
    }


def run(options: argparse.Namespace) -> int:
    """Acquire, and print."""
    result = make_client(options).acquire_token_for_client(
        resource=options.resource,
        mtls_proof_of_possession=True,
        claims_challenge=options.claims,
        **acquire_options(options),
    )
    certificate = result.pop("binding_certificate")
    shown = {
        **result,
        "certificate_subject": certificate.subject,
        "certificate_not_after": certificate.not_after.isoformat(),
        "strength": certificate.strength.name,
    }
    if not options.show_token:
        shown["access_token"] = "(left out; --show-token prints it)"  # noqa: S105 - no token
    say(json.dumps(shown, indent=2))
    return 0


def _identity(options: argparse.Namespace) -> msal.managed_identity.ManagedIdentity:
    given = (options.client_id, options.object_id, options.resource_id)
    if any(value is not None for value in given):  # a blank one is msal's to refuse
        return msal.UserAssignedManagedIdentity(
            client_id=options.client_id,
            object_id=options.object_id,
            resource_id=options.resource_id,
        )
    return msal.SystemAssignedManagedIdentity()
