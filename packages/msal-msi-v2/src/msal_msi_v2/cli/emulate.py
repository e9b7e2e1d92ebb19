"""``msal-msi-v2 emulator``: serve an emulated Azure host until Ctrl-C, or SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from typing import Any

from msal_msi_v2.errors import MsiV2ClientError

from .output import say
from .token import add_verbose

_DESCRIPTION = """\
Serve an emulated Azure host on loopback: IMDS, attestation, token service, a resource, a login
service and a Key Vault. Export the variables that it prints, and in that shell any program that
uses msal-msi-v2 (or msal) gets its tokens from here, for example:

  msal-msi-v2 token --resource https://vault.azure.net --min-strength software

In that shell REQUESTS_CA_BUNDLE trusts the emulator only: pip and others will refuse real servers.
Attested keys exist inside a Python process only, with keyguard_platform().
"""
_SERVICES = ("imds", "attestation", "token", "login", "resource", "vault")


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "emulator",
        help="serve an emulated Azure host",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, refuse=parser.error)
    add_verbose(parser)
    parser.add_argument(
        "--imds-version",
        type=int,
        choices=(1, 2),
        default=2,
        help="1: a host that issues bearer tokens only (default: 2)",
    )
    for name, what in (("token", "tokens"), ("certificate", "certificates")):
        parser.add_argument(
            f"--{name}-lifetime", type=float, metavar="SECONDS", help=f"how long {what} are valid"
        )
    parser.add_argument(
        "--application",
        action="store_true",
        help='make a certificate "app" in the vault, and register an application that may sign '
        "in with it, and with each identity",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    logging.basicConfig(format="%(name)s: %(message)s")  # refusals, and why, at WARNING
    lifetimes = {
        name: value
        for name in ("token_lifetime", "certificate_lifetime")
        if (value := getattr(options, name)) is not None
    }
    make = load_emulator()
    try:
        # Nobody can ask this process for its requests.
        made = make(imds_version=options.imds_version, keep_requests=0, **lifetimes)
    except ValueError as exc:
        options.refuse(str(exc))
    # As Ctrl-C does, so that nothing is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with made as emulator:
        _describe(emulator)
        if options.application:
            _register(emulator)
        say("\nCtrl-C ends it.")
        _wait()
    return 0


def _describe(emulator: Any) -> None:
    say("An Azure host is emulated on this machine. In the shell of your program:\n")
    for name, value in emulator.environment.items():
        say(f"  {export(name, value)}")
    say("\nServices:")
    for name in _SERVICES:
        say(f"  {name:12} {getattr(emulator, name + '_url')}")
    say("\nTenants:")
    say(f"  {'home':12} {emulator.tenant_id}")
    say(f"  {'other':12} {emulator.other_tenant_id}")
    for identity in emulator.identities:
        say(f"\n{identity.kind} identity:")
        say(f"  {'client id':12} {identity.client_id}")
        say(f"  {'object id':12} {identity.object_id}")
        if identity.resource_id is not None:
            say(f"  {'resource id':12} {identity.resource_id}")


def _register(emulator: Any) -> None:
    from msal_msi_v2.emulator import FederatedCredential  # noqa: PLC0415 - an optional extra

    made = emulator.create_vault_certificate("app")
    issuer = f"https://login.microsoftonline.com/{emulator.tenant_id}/v2.0"
    application = emulator.register_application(
        certificates=[made.der],
        federated=[FederatedCredential(issuer, one.object_id) for one in emulator.identities],
    )
    say("\nApplication, which may sign in with this certificate, or as federated by an identity:")
    say(f"  {'client id':12} {application.client_id}")
    say(f"  {'certificate':12} {made.id}")


def load_emulator() -> Any:
    """Return the emulator's class.

    Raises:
        MsiV2ClientError: ``invalid_request``: the extra is not installed.
    """
    try:
        from msal_msi_v2.emulator import MsiV2Emulator  # noqa: PLC0415 - an optional extra
    except ImportError as exc:
        raise MsiV2ClientError("invalid_request", str(exc)) from exc
    return MsiV2Emulator


def export(name: str, value: str) -> str:
    """Return the line that sets a variable in this system's shell."""
    return f"$env:{name} = '{value}'" if sys.platform == "win32" else f"export {name}='{value}'"


def _wait() -> None:
    """Wait for Ctrl-C, which on Windows interrupts only waits that end by themselves."""
    ended = threading.Event()
    while not ended.wait(0.5):
        pass
