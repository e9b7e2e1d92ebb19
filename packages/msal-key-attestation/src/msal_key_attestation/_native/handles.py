"""Who frees what: the only module that gives anything back to Windows.

An ``Owned`` is made right after the call that succeeded, is closed once however often it is asked
to, and is disarmed before the native free, so that nothing can free twice. None of that takes a
lock: the garbage collector may close something in the middle of anything, this module included.
"""

from __future__ import annotations

import itertools
import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

from . import libs

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .libs import CData

_logger = logging.getLogger("msal_key_attestation")
_counts_lock = threading.Lock()


class Count(NamedTuple):
    """How many of one kind there ever were.

    Attributes:
        opened: That were opened.
        freed: Of those, that were given back.
        forgotten: Of those, that nobody closed: the garbage collector did. Keys have no other
            end; of anything else it is a leak in the making.
    """

    opened: int
    freed: int
    forgotten: int


class _Tally:
    """A number that only grows."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._looks = 0

    def add(self) -> None:
        """Count one more."""
        next(self._numbers)  # at once, whoever else counts

    def total(self) -> int:
        """Return the number; callers come one at a time."""
        total = next(self._numbers) - self._looks
        self._looks += 1
        return total


class _Kind:
    """What there was of one kind."""

    def __init__(self) -> None:
        self.opened, self.freed, self.forgotten = _Tally(), _Tally(), _Tally()


_kinds: dict[str, _Kind] = {}


def counts() -> dict[str, Count]:
    """Return the count of every kind, so that a test, or an operator, can find a leak."""
    with _counts_lock:
        return {
            name: Count(kind.opened.total(), kind.freed.total(), kind.forgotten.total())
            for name, kind in list(_kinds.items())
        }


class Owned:
    """One native thing and the one way to free it; with-able."""

    def __init__(self, kind: str, value: CData, free: Callable[[CData], bool]) -> None:
        """Take ownership of something that was just opened.

        Args:
            kind: What it is counted as.
            value: A handle or a pointer.
            free: Frees it, and says whether that worked.
        """
        self._name = kind
        self._kind = _kinds.get(kind) or _kinds.setdefault(kind, _Kind())
        self._value = value
        self._armed = [free]
        self._kind.opened.add()

    @property
    def value(self) -> CData:
        """The handle or pointer.

        Raises:
            ValueError: It is closed; using it would reach into freed memory.
        """
        if not self._armed:
            raise ValueError(f"this {self._name} is closed")
        return self._value

    def disarm(self) -> CData:
        """Return the value to a function that frees it by itself; ``close()`` then does nothing."""
        value = self.value
        self._take()
        return value

    def close(self) -> None:
        """Free it, unless that has happened."""
        free = self._take()
        if free is not None and not free(self._value):
            _logger.warning("Windows did not free a %s.", self._name)

    def _take(self) -> Callable[[CData], bool] | None:
        try:
            free = self._armed.pop()  # one of all who try gets it
        except IndexError:
            return None
        self._kind.freed.add()
        return free

    def __enter__(self) -> Owned:  # noqa: PYI034 - Self needs Python 3.11; nothing subclasses this
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        """Be the net, never the plan."""
        if getattr(self, "_armed", None):
            self.close()
            self._kind.forgotten.add()


def ncrypt_object(value: int) -> Owned:
    """Own a key storage provider or a key: an ``NCRYPT_HANDLE``."""
    return Owned("ncrypt object", value, lambda it: libs.ncrypt().NCryptFreeObject(it) == 0)


def certificate_context(value: CData) -> Owned:
    """Own a ``PCCERT_CONTEXT``."""
    free = libs.crypt32().CertFreeCertificateContext
    return Owned("certificate context", value, lambda it: bool(free(it)))


def certificate_store(value: CData) -> Owned:
    """Own an ``HCERTSTORE``; what was changed in it is written when it is closed."""
    free = libs.crypt32().CertCloseStore
    return Owned("certificate store", value, lambda it: bool(free(it, 0)))


def internet_handle(value: CData) -> Owned:
    """Own an ``HINTERNET``: a session, a connection or a request."""
    free = libs.winhttp().WinHttpCloseHandle
    return Owned("internet handle", value, lambda it: bool(free(it)))


def kernel_handle(value: CData) -> Owned:
    """Own a ``HANDLE`` that ``CloseHandle`` closes: a mutex or a token."""
    free = libs.kernel32().CloseHandle
    return Owned("kernel handle", value, lambda it: bool(free(it)))


def local_memory(value: CData) -> Owned:
    """Own memory that ``LocalFree`` frees."""
    free = libs.kernel32().LocalFree
    return Owned("local memory", value, lambda it: not free(it))


def attestation_token(value: CData, free: Callable[[CData], None]) -> Owned:
    """Own the string in which the native library returned a JWT."""

    def freed(it: CData) -> bool:
        free(it)
        return True

    return Owned("attestation token", value, freed)
