"""What the commands print, and what becomes of it."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msal_msi_v2.errors import MsiV2ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


def say(text: str) -> None:
    """Print a text and a line's end, at once.

    Raises:
        MsiV2ClientError: ``invalid_request``: it cannot be written.
        BrokenPipeError: Nobody reads it any more.
    """
    with writing("Standard output"):
        print(text, flush=True)  # noqa: T201 - the command line's output


def say_error(problem: object) -> None:
    """Print on standard error what went wrong."""
    print(f"error: {problem}", file=sys.stderr)  # noqa: T201 - the command line's output


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Write to a file, and to nothing else.

    Args:
        name: What to call it.

    Raises:
        MsiV2ClientError: ``invalid_request``: it cannot be written.
        BrokenPipeError: Nobody reads it any more.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise MsiV2ClientError(
            "invalid_request",
            f"{name} cannot be written: {exc.strerror}. Have the output go elsewhere.",
        ) from exc


class Output:
    """Where an answer's body goes: a file, or standard output. A context manager.

    A file is opened at once, so that nothing is sent whose answer could not be kept; but what it
    holds stays until there is an answer, and one that was made for none is removed.
    """

    def __init__(self, path: str | None) -> None:
        """Open it.

        Args:
            path: The file; ``None``: standard output.

        Raises:
            MsiV2ClientError: ``invalid_request``: it cannot be written.
        """
        self._path = None if path is None else Path(path)
        self._name = path or "Standard output"
        self._is_new = False
        self._file: BinaryIO = sys.stdout.buffer
        if self._path is not None:
            with writing(self._name):
                self._is_new = not self._path.exists()
                self._file = self._path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._path is None:
            return
        with writing(self._name):
            self._file.close()
            if self._is_new and exc[0] is not None and not self._path.stat().st_size:
                self._path.unlink()

    def begin(self) -> None:
        """Let go of what a file held before."""
        if self._path is not None and self._path.is_file():
            with writing(self._name):
                self._file.truncate(0)

    def write(self, piece: bytes) -> None:
        """Write a piece of the body.

        Raises:
            MsiV2ClientError: ``invalid_request``: it cannot be written.
            BrokenPipeError: Nobody reads it any more.
        """
        with writing(self._name):
            self._file.write(piece)


def open_standard_streams() -> None:
    """Open those that were closed before this process began, so that to use them fails.

    Python prints to a stream that is closed without a complaint; and a file, or a connection, that
    took its number would get what is printed to it.
    """
    # The system gives out the lowest free number, so the order matters.
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_WRONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def discard_unwritten() -> None:
    """Forget what cannot be written, or Python would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
