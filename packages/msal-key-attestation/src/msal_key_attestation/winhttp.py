"""``WinHttpTransport``: binding certificates whose key Windows keeps."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

from msal_msi_v2.errors import MsiV2ClientError, TransportError, TransportFailure

from ._keys.ncrypt_key import NCryptKey
from ._winhttp.exchange import Exchange
from ._winhttp.request import Request
from ._winhttp.session import Session
from ._winhttp.target import check_method, parse_target
from .errors import NativeCallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import Route, Timeout

_MOST_CERTIFICATES = 8


class WinHttpTransport:
    """A ``BindingTransport`` over WinHTTP and SChannel, for keys that cannot leave Windows.

    Servers are trusted as Windows trusts them. Connections are kept alive, apart for each
    certificate, for the eight certificates used last. HTTP/1.1 over TLS 1.2 or 1.3.
    """

    def __init__(self, *, use_proxy: bool = True) -> None:
        """Prepare; nothing is opened yet.

        Args:
            use_proxy: Whether to go through the system's proxy, where there is one.
        """
        self._use_proxy = use_proxy
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._exchanges: weakref.WeakSet[Exchange] = weakref.WeakSet()

    def request(
        self,
        method: str,
        url: str,
        *,
        certificate: BindingCertificate,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] | None = None,
        timeout: Timeout,
        route: Route | None = None,
    ) -> Exchange:
        """Send one request; see ``BindingTransport.request``.

        Raises:
            MsiV2ClientError: The URL is not ``https``, the key is none of Windows' own, or there is
                a route: Windows alone knows the proxy and the CAs.
            TransportError: No answer came back.
            NativeCallError: Windows does not take the certificate with its key.
        """
        check_method(method)
        _check_route(route)
        target = parse_target(url)
        key = _windows_key(certificate)
        chunked = body is not None and not isinstance(body, bytes)
        session = self._use_session(certificate, key)
        exchange = Exchange(Request(session, method, target, headers, timeout, chunked=chunked))
        with self._lock:
            self._exchanges.add(exchange)
        try:
            exchange.run(body)
        except BaseException as exc:
            exchange.close()
            if isinstance(exc, TransportError) and exc.failure is TransportFailure.HANDSHAKE:
                _have_it_checked(key)
            raise
        return exchange

    def drop(self, certificate: BindingCertificate) -> None:
        """Use no connection of a certificate again; see ``BindingTransport.drop``."""
        with self._lock:
            session = self._sessions.pop(certificate.x5t_s256, None)
        if session is not None:
            session.release()

    def close(self) -> None:
        """Close all connections. A request under way ends within its own timeout."""
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
            exchanges = list(self._exchanges)
        for exchange in exchanges:
            exchange.close()
        for session in sessions:
            session.release()

    def __del__(self) -> None:
        """Close it all, as a platform that is forgotten has nobody to do so."""
        if hasattr(self, "_exchanges"):
            self.close()

    def _use_session(self, certificate: BindingCertificate, key: NCryptKey) -> Session:
        """Return the certificate's session, with a share in it for the caller."""
        evicted = None
        with self._lock:
            session = self._sessions.get(certificate.x5t_s256)
            if session is None:
                session = Session(certificate.der, key, use_proxy=self._use_proxy)
                self._sessions[certificate.x5t_s256] = session
                if len(self._sessions) > _MOST_CERTIFICATES:
                    evicted = self._sessions.popitem(last=False)[1]
            self._sessions.move_to_end(certificate.x5t_s256)
            session.use()
        if evicted is not None:
            evicted.release()
        return session


def _check_route(route: Route | None) -> None:
    """Refuse what WinHTTP would not heed."""
    if route is None:
        return
    if route.ca_bundle is not None:
        raise MsiV2ClientError(
            "invalid_request",
            f"WinHTTP trusts the CAs that Windows trusts, and no file like {route.ca_bundle!r}. "
            "Add the CA there, e.g. with certutil -user -addstore Root FILE, and name no bundle.",
        )
    raise MsiV2ClientError(
        "invalid_request",
        "WinHTTP goes through the proxy that Windows is set to, and none of the caller's. Set it "
        "there, e.g. with netsh winhttp set proxy, and name none.",
    )


def _windows_key(certificate: BindingCertificate) -> NCryptKey:
    key = certificate.private_key
    if not isinstance(key, NCryptKey):
        raise MsiV2ClientError(
            "invalid_request",
            f"WinHTTP uses keys that Windows keeps, and this is a {type(key).__name__}. Use it "
            "through OpenSSL.",
        )
    return key


def _have_it_checked(key: NCryptKey) -> None:
    """Have a key that may be the reason of a failed handshake mark itself dead if it is."""
    with contextlib.suppress(NativeCallError):
        key.check_alive()
