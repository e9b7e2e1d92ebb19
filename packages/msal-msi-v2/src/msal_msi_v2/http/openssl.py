"""``OpenSslTransport``: binding certificates whose key is in this process's memory."""

from __future__ import annotations

import math
import os
import re
import secrets
import ssl
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests.utils
import urllib3
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from urllib3.util import SKIP_HEADER

from msal_msi_v2.errors import MsiV2ClientError
from msal_msi_v2.fork import renew_after_fork
from msal_msi_v2.platforms import Route

from .proxies import environment_proxy, parse_proxy
from .urllib3_failures import not_a_url, translated
from .watching import WatchedPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import Timeout

_MOST_POOLS = 8
_IDLE_CONNECTIONS_A_HOST = 64
_SENDABLE = re.compile(r"[^\r\n\0\u0100-\U0010ffff]*")


class OpenSslTransport:
    """A ``BindingTransport`` over OpenSSL; the key must be exportable within the process.

    Connections are kept alive, apart for each certificate and route, for the eight of them used
    last, and at most 64 to a host. Unless the route says otherwise, proxies are those of the
    environment (``HTTPS_PROXY``, ``NO_PROXY``), reached by CONNECT, so that TLS, certificate
    included, always ends at the server.
    """

    def __init__(self, ca_bundle: str | None = None) -> None:
        """Choose whom to trust.

        Args:
            ca_bundle: A PEM file, or an OpenSSL directory, of the CAs to trust; ``None``: those
                that ``requests`` trusts (certifi).
        """
        self._ca_bundle = ca_bundle or requests.utils.DEFAULT_CA_BUNDLE_PATH
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Forget the connections; they are the parent's."""
        self._lock = threading.Lock()
        self._pools: OrderedDict[tuple[str, Route], urllib3.PoolManager] = OrderedDict()

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
    ) -> OpenSslResponse:
        """Send one request; see ``BindingTransport.request``."""
        _check_url(url)
        _check_headers(headers)
        with translated(url):
            pool = self._pool(certificate, route or Route(proxy=environment_proxy(url)))
            response = pool.urlopen(
                method,
                url,
                body=body,
                headers=_exact_headers(headers),
                timeout=urllib3.Timeout(
                    connect=_finite(timeout.connect), read=_finite(timeout.read)
                ),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        return OpenSslResponse(response, url)

    def drop(self, certificate: BindingCertificate) -> None:
        """Use no connection of a certificate again; see ``BindingTransport.drop``."""
        with self._lock:
            names = [name for name in self._pools if name[0] == certificate.x5t_s256]
            pools = [self._pools.pop(name) for name in names]
        for pool in pools:
            pool.clear()

    def close(self) -> None:
        """Close the idle connections; one under way ends with its own request."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.clear()

    def _pool(self, certificate: BindingCertificate, route: Route) -> urllib3.PoolManager:
        name = (certificate.x5t_s256, route)
        with self._lock:
            pool = self._pools.get(name)
            if pool is None:
                pool = self._pools[name] = self._make_pool(certificate, route)
            self._pools.move_to_end(name)
            if len(self._pools) > _MOST_POOLS:
                self._pools.popitem(last=False)[1].clear()
        return pool

    def _make_pool(self, certificate: BindingCertificate, route: Route) -> urllib3.PoolManager:
        ca_bundle = route.ca_bundle or self._ca_bundle
        options: dict[str, Any] = {
            "ssl_context": _binding_context(ca_bundle, certificate),
            "maxsize": _IDLE_CONNECTIONS_A_HOST,
        }
        if route.proxy is None:
            manager = urllib3.PoolManager(**options)
        else:
            proxy = parse_proxy(route.proxy)
            manager = urllib3.ProxyManager(
                f"{proxy.scheme}://{proxy.host}:{proxy.port}",
                proxy_headers=urllib3.make_headers(proxy_basic_auth=proxy.login or None),
                proxy_ssl_context=trusting_context(ca_bundle) if proxy.scheme == "https" else None,
                **options,
            )
        manager.pool_classes_by_scheme = {"https": WatchedPool}
        return manager


def _binding_context(ca_bundle: str, certificate: BindingCertificate) -> ssl.SSLContext:
    """Return a context that presents a certificate, whenever the server asks for it.

    Some servers, Key Vault among them, ask only after they have read the request.
    """
    context = trusting_context(ca_bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.post_handshake_auth = True
    load_certificate(context, certificate)
    return context


def trusting_context(ca_bundle: str) -> ssl.SSLContext:
    """Return a client's TLS settings that trust a PEM file, or an OpenSSL directory, of CAs.

    Raises:
        MsiV2ClientError: ``invalid_request``: it cannot be read.
    """
    directory = Path(ca_bundle).is_dir()
    try:
        return ssl.create_default_context(
            cafile=None if directory else ca_bundle, capath=ca_bundle if directory else None
        )
    except OSError as exc:
        raise MsiV2ClientError(
            "invalid_request",
            f"The CA bundle {ca_bundle!r} cannot be read: {exc.strerror or exc}.",
        ) from exc


def load_certificate(context: ssl.SSLContext, certificate: BindingCertificate) -> None:
    """Load certificate and key into a context.

    ``ssl`` takes keys from files only. So the key goes through one, encrypted under a random
    password that exists in this call alone: what the file leaves behind on a disk is of no use.

    Raises:
        MsiV2ClientError: ``invalid_request``: the key cannot be exported.
    """
    password = secrets.token_hex(32)
    try:
        key = certificate.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode("ascii"))
        )
    except (TypeError, ValueError, NotImplementedError) as exc:
        raise MsiV2ClientError(
            "invalid_request",
            "OpenSSL needs the private key itself, and this key cannot be exported. Use it "
            "through the platform's own transport.",
        ) from exc
    try:
        descriptor, path = tempfile.mkstemp(suffix=".pem")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(certificate.pem.encode("ascii") + key)
            context.load_cert_chain(path, password=password)
        finally:
            Path(path).unlink()
    except OSError as exc:
        raise MsiV2ClientError(
            "invalid_request",
            f"The certificate cannot be given to OpenSSL ({type(exc).__name__}): it takes them "
            "from files only. Set TMPDIR to a directory that this process can write.",
        ) from exc


class OpenSslResponse:
    """A ``TransportResponse`` over urllib3.

    Attributes:
        raw: urllib3's own response.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self.raw = response
        self._url = url
        self.status: int = response.status
        self.reason: str = response.reason or ""

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """As received; see ``TransportResponse.headers``."""
        return tuple(self.raw.headers.items())

    def iter_bytes(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """Yield the body; see ``TransportResponse.iter_bytes``."""
        with translated(self._url):
            # Not stream(), which waits until it has as much as was asked for.
            while piece := self.raw.read1(chunk_size, decode_content=False):
                yield piece

    def close(self) -> None:
        """Give the connection back, or drop it if the body was not read to its end."""
        self.raw.close()
        self.raw.release_conn()


def _finite(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise not_a_url() from None  # it quotes the URL
    if parts.scheme != "https":
        raise MsiV2ClientError(
            "invalid_request",
            f"A bound token is sent over https only, and the URL's scheme is {parts.scheme!r}.",
        )
    if not parts.hostname or parts.username is not None:
        raise MsiV2ClientError("invalid_request", "The URL has no host, or holds credentials.")


def _check_headers(headers: Sequence[tuple[str, str]]) -> None:
    for name, value in headers:
        if not _SENDABLE.fullmatch(name + value):
            raise MsiV2ClientError(  # without the value, which may be a token
                "invalid_request",
                f"The header {name!r} holds a line break, or a character that is not latin-1.",
            )


def _exact_headers(headers: Sequence[tuple[str, str]]) -> urllib3.HTTPHeaderDict:
    """Keep urllib3 from adding headers of its own."""
    exact = urllib3.HTTPHeaderDict()
    for name, value in headers:
        exact.add(name, value)
    for name in ("User-Agent", "Accept-Encoding"):
        exact.setdefault(name, SKIP_HEADER)
    return exact
