"""``WinHttpTransport``: binding certificates whose key Windows keeps."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

from msal_msi_v2.errors import MsiV2ClientError, TransportError, TransportFailure
from msal_msi_v2.platforms import Route

from ._keys.ncrypt_key import NCryptKey
from ._winhttp.exchange import Exchange
from ._winhttp.proxy import choose_proxy
from ._winhttp.request import Request
from ._winhttp.session import Session
from ._winhttp.target import check_method, parse_target
from .errors import NativeCallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import Timeout

_MOST_SESSIONS = 8


class WinHttpTransport:
    """A ``BindingTransport`` over WinHTTP and SChannel, for keys that cannot leave Windows.

    Servers are trusted as Windows trusts them. Connections are kept alive, apart for each
    certificate and proxy, for the eight of them used last. HTTP/1.1 over TLS 1.2 or 1.3.
    """

    def __init__(self, *, use_proxy: bool = True) -> None:
        """Prepare; nothing is opened yet.

        Args:
            use_proxy: Whether requests without a route go through the proxy that ``HTTPS_PROXY``
                or ``ALL_PROXY`` names, or Windows is set to.
        """
        self._own_route = None if use_proxy else Route()
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[str, str | None], Session] = OrderedDict()
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
            MsiV2ClientError: The URL is not ``https``, the key is none of Windows' own, or the
                route names CAs, or a proxy that WinHTTP cannot use.
            TransportError: No answer came back.
            NativeCallError: Windows does not take the certificate with its key.
        """
        check_method(method)
        route = route or self._own_route
        if route is not None and route.ca_bundle is not None:
            raise _bundle_refused(route.ca_bundle)
        proxy = choose_proxy(url, route)
        target = parse_target(url)
        key = _windows_key(certificate)
        chunked = body is not None and not isinstance(body, bytes)
        session = self._use_session(certificate, key, proxy)
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
            names = [name for name in self._sessions if name[0] == certificate.x5t_s256]
            sessions = [self._sessions.pop(name) for name in names]
        for session in sessions:
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

    def _use_session(
        self, certificate: BindingCertificate, key: NCryptKey, proxy: str | None
    ) -> Session:
        """Return the session of a certificate and a proxy, with a share in it for the caller."""
        evicted, name = None, (certificate.x5t_s256, proxy)
        with self._lock:
            session = self._sessions.get(name)
            if session is None:
                session = self._sessions[name] = Session(certificate.der, key, proxy)
                if len(self._sessions) > _MOST_SESSIONS:
                    evicted = self._sessions.popitem(last=False)[1]
            self._sessions.move_to_end(name)
            session.use()
        if evicted is not None:
            evicted.release()
        return session


def _bundle_refused(ca_bundle: str) -> MsiV2ClientError:
    return MsiV2ClientError(
        "invalid_request",
        f"WinHTTP trusts the CAs that Windows trusts, and no file like {ca_bundle!r}. "
        "Add the CA there, e.g. with certutil -user -addstore Root FILE, and name no bundle.",
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
