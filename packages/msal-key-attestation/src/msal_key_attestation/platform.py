r"""``create_platform()``: what msal-msi-v2 finds on Windows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ._attestation.library import find_library, library_places
from ._attestation.session import session_for
from ._keys.ncrypt_key import NCryptKey
from .attestor import AttestationProvider, KeyGuardAttestor
from .certificate_store import MyCertificateStore, is_switched_off, purge_orphans
from .errors import NativeLibraryError
from .keyguard import LOCK_TIMEOUT
from .keystore import WindowsKeyStore
from .system import require_x64_windows
from .winhttp import WinHttpTransport

if TYPE_CHECKING:
    import os
    from pathlib import Path


class WindowsPlatform:
    r"""A ``Platform``: KeyGuard or TPM keys, their attestation, ``CurrentUser\My`` and WinHTTP.

    Attributes:
        key_store: Where the binding key lives.
        attestation_library: Where the native library was found, once ``attestor`` has loaded it.
        attestation_unavailable: Why ``attestor`` is ``None``, as of when it was last asked for.
    """

    def __init__(
        self, library_path: str | os.PathLike[str] | None, *, use_proxy: bool, lock_timeout: float
    ) -> None:
        """Read the environment; see ``create_platform``."""
        self.key_store = WindowsKeyStore(on_created=purge_orphans, lock_timeout=lock_timeout)
        self._certificate_store = None if is_switched_off() else MyCertificateStore()
        self.attestation_unavailable: NativeLibraryError | None = None
        self.attestation_library: Path | None = None
        self._places = library_places(library_path)
        self._transport = WinHttpTransport(use_proxy=use_proxy)
        self._lock = threading.Lock()
        self._attestor: KeyGuardAttestor | None = None

    @property
    def attestor(self) -> KeyGuardAttestor | None:
        """Attests the key; loads the native library when first asked for."""
        with self._lock:
            if self._attestor is None:
                try:
                    library = find_library(self._places)
                    session = session_for(library)
                except NativeLibraryError as exc:
                    self.attestation_unavailable = exc
                    return None
                self._attestor = KeyGuardAttestor(AttestationProvider(session))
                self.attestation_library = library
                self.attestation_unavailable = None
            return self._attestor

    @property
    def transport(self) -> WinHttpTransport | None:
        """WinHTTP for a key that Windows keeps; ``None``: the key is OpenSSL's to use."""
        return self._transport if self._windows_keeps_the_key() else None

    @property
    def certificate_store(self) -> MyCertificateStore | None:
        r"""``CurrentUser\My``; ``None`` where it is switched off, or no key outlives the process.

        To a key of this process's memory, the certificates of all others would be orphans.
        """
        return self._certificate_store if self._windows_keeps_the_key() else None

    def _windows_keeps_the_key(self) -> bool:
        return isinstance(self.key_store.get_key().private_key, NCryptKey)


def create_platform(
    library_path: str | os.PathLike[str] | None = None,
    *,
    use_proxy: bool = True,
    lock_timeout: float = LOCK_TIMEOUT,
) -> WindowsPlatform:
    """Return what this host offers; nothing is opened, created or loaded yet.

    Args:
        library_path: Where ``AttestationClientLib.dll`` is, absolute; ``None``: what
            ``ATTESTATION_CLIENTLIB_PATH`` says, else beside this package or the interpreter.
        use_proxy: Whether bound requests go through the proxy that ``HTTPS_PROXY`` or ``ALL_PROXY``
            names, or Windows is set to, where their caller names none.
        lock_timeout: How long to wait for another process that is making the key, in seconds.

    Raises:
        UnsupportedSystemError: ``attestation_not_supported``: this is not x64 Windows.
    """
    require_x64_windows()
    return WindowsPlatform(library_path, use_proxy=use_proxy, lock_timeout=lock_timeout)
