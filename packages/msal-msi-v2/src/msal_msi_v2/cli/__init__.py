"""The command line: ``msal-msi-v2``, or ``python -m msal_msi_v2``."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from typing import TYPE_CHECKING

from msal import ManagedIdentityError

from msal_msi_v2 import __version__

from . import call, demo, doctor, emulate, token
from .output import discard_unwritten, open_standard_streams, say_error, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = "Managed identity tokens for Azure VMs, bound to a key of the machine (MSI v2)."
_EPILOG = (
    "Exit codes: 0 success; 1 failure, explained on standard error; 2 wrong usage; 130 interrupt; "
    "141 nobody reads the output any more."
)
INTERRUPTED = 130
UNREAD = 141
"""What a shell reports of a program that SIGPIPE ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; ``None``: those of the process.

    Returns:
        The exit code: 0 success, 1 failure, 130 interrupted, 141 its output is not read any more;
        wrong usage exits with 2.
    """
    open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a console may lack what a service says
    try:
        return _run(arguments)
    except ManagedIdentityError as exc:
        say_error(exc)
        code = 1
    except UnicodeEncodeError:
        say_error(
            "invalid_request: An argument, or a variable of the environment, holds bytes that are "
            "no text here. Write them as UTF-8, or in a URL as %XX."
        )
        code = 1
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = UNREAD
    discard_unwritten()
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
        _log(options.verbose)
        code: int = options.run(options)
    finally:
        with writing("Standard output"):
            sys.stdout.flush()  # the help, for one
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="msal-msi-v2",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="log each step; twice: log everything"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (demo, token, call, doctor, emulate):
        command.add_parser(commands)
    return parser


def _log(verbosity: int) -> None:
    if verbosity:
        logging.basicConfig(
            stream=sys.stderr,
            level=logging.INFO if verbosity == 1 else logging.DEBUG,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
