"""``msal-msi-v2 emulator``: serve an emulated Azure host until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from typing import Any

from msal_msi_v2.errors import MsiV2ClientError

from .output import say

_DESCRIPTION = """\
Serve an emulated Azure host on loopback: IMDS, attestation, token service, a resource and a Key
Vault. Export the variables that it prints, and in that shell any program that uses msal-msi-v2
(or msal) gets its tokens from here, for example:

  msal-msi-v2 token --resource https://vault.azure.net --min-strength software
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "emulator",
        help="serve an emulated Azure host",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
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


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted."""
    logging.basicConfig(format="%(name)s: %(message)s")  # refusals, and why, at WARNING
    lifetimes = {
        name: value
        for name in ("token_lifetime", "certificate_lifetime")
        if (value := getattr(options, name)) is not None
    }
    with load_emulator()(imds_version=options.imds_version, **lifetimes) as emulator:
        say("An Azure host is emulated on this machine. In the shell of your program:\n")
        for name, value in emulator.environment.items():
            say(f"  {export(name, value)}")
        say("\nServices:")
        for name in ("imds", "attestation", "token", "login", "resource", "vault"):
            say(f"  {name:12} {getattr(emulator, name + '_url')}")
        say("\nCtrl-C ends it.")
        _wait()
    return 0


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
