"""What this host can do: its keys, their attestation, and a TLS stack that can use them.

The token package knows only the shapes below. ``msal-key-attestation`` supplies them on
Windows; tests, HSMs and the emulator supply their own through ``platform=``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric import rsa

    from .binding import BindingCertificate
    from .strength import MtlsBindingStrength


@dataclass(frozen=True)
class BindingKey:
    """The strongest key that a host could make.

    Attributes:
        private_key: RSA, 2048 bits. A subclass of pyca's class that signs elsewhere will do.
        strength: How well it is protected.
        unavailable: Why each stronger kind of key was not to be had: one sentence a kind,
            for the person who operates the host.
    """

    private_key: rsa.RSAPrivateKey
    strength: MtlsBindingStrength
    unavailable: tuple[str, ...] = ()


class KeyStore(Protocol):
    """Where the binding key lives."""

    def get_key(self) -> BindingKey:
        """Return the strongest key that this host can make, the same one at every call.

        The key is opened or created at the first call, and again once it is found dead.
        Safe to call from many threads.

        Raises:
            MsiV2Error: Not even the weakest kind could be made, or another process holds
                the creation lock for too long.
        """


class Attestor(Protocol):
    """Proves to Azure where a key lives."""

    def attest(
        self, endpoint: str, key: rsa.RSAPrivateKey, client_id: str, *, fresh: bool = False
    ) -> str:
        """Return the attestation service's JWT for a key.

        Args:
            endpoint: The attestation service's URL, as IMDS named it.
            key: The key of this platform's own key store.
            client_id: The managed identity's client id, a GUID.
            fresh: Skip the attestor's cache, and replace what it holds.

        Raises:
            AttestationError: The service or the native library refused, or gave nothing.
        """


@dataclass(frozen=True)
class Timeout:
    """How long to wait on the network, in seconds.

    Attributes:
        connect: For a connection, TLS included; infinity: as long as it takes.
        read: For the next bytes of an answer; likewise.
    """

    connect: float
    read: float


@dataclass(frozen=True)
class Route:
    """How to reach a server and whom to trust there, in place of a TLS stack's own ways.

    Attributes:
        ca_bundle: A PEM file, or an OpenSSL directory, of the CAs to trust; ``None``: those that
            the stack trusts.
        proxy: The URL of the proxy to reach the server through, by CONNECT; it may hold
            credentials. ``None``: no proxy.
    """

    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)


class TransportResponse(Protocol):
    """An HTTP answer whose body is still on the wire; close it when done with it."""

    status: int
    reason: str

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """As received, the values of a repeated name in order; latin-1."""

    def iter_bytes(self, chunk_size: int = 65536) -> Iterator[bytes]:
        """Yield the body in chunks of at most ``chunk_size`` bytes, as sent (not decompressed).

        Raises:
            TransportError: The connection broke, or was silent for the read timeout.
        """

    def close(self) -> None:
        """Give the connection back, or drop it if the body was not read to its end."""


class BindingTransport(Protocol):
    """HTTPS that presents a binding certificate. Safe to use from many threads."""

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
    ) -> TransportResponse:
        """Send one request, and return as soon as status and headers are here.

        Nothing is retried, no redirect is followed, no cookie is kept, and no header is
        added but ``Host`` and the framing: ``Content-Length`` for bytes, or
        ``Transfer-Encoding: chunked`` for an iterable (unless the caller gave a length).

        Args:
            method: E.g. ``"GET"``.
            url: Absolute, ``https``.
            certificate: What to present, whenever the server asks for it.
            headers: Names and values, latin-1.
            body: ``None`` for no body at all.
            timeout: How long to wait for each step.
            route: Another way to the server; ``None``: the stack's own.

        Raises:
            MsiV2ClientError: The URL is not ``https``, the key is not one of this stack's, or the
                route is one that it cannot go.
            TransportError: No answer came back.
        """

    def drop(self, certificate: BindingCertificate) -> None:
        """Use no connection of a certificate again; the next request makes a new one."""

    def close(self) -> None:
        """Close all connections. A request under way ends within its own timeout."""


@dataclass(frozen=True)
class StoredCertificate:
    """A binding certificate as a store keeps it: without its key.

    Attributes:
        der: The certificate, DER bytes. Its CN is the client id.
        endpoint: The token service's base URL for mutual TLS, no trailing slash.
        tenant_id: The tenant, a GUID.
    """

    der: bytes
    endpoint: str
    tenant_id: str


class CertificateStore(Protocol):
    """Keeps certificates across processes. Best effort: it never raises."""

    def load(
        self, alias: str, key: rsa.RSAPrivateKey, *, expires_after: datetime
    ) -> StoredCertificate | None:
        """Return the newest certificate kept under an alias that is over this very key.

        Certificates under the alias whose key is another one are orphans, and removed.

        Args:
            alias: Identity and kind, e.g. ``system_assigned_managed_identity#att=1``.
            key: The key of this platform's own key store.
            expires_after: Only certificates that end later than this (aware datetime) count.
        """

    def save(self, alias: str, certificate: StoredCertificate, key: rsa.RSAPrivateKey) -> None:
        """Keep a certificate under an alias, in place of those that end earlier."""

    def remove(self, alias: str) -> None:
        """Forget every certificate kept under an alias."""


class Platform(Protocol):
    """All that a host offers. What is ``None`` is not offered."""

    @property
    def key_store(self) -> KeyStore:
        """Where the binding key lives."""

    @property
    def attestor(self) -> Attestor | None:
        """Attests that key."""

    @property
    def transport(self) -> BindingTransport | None:
        """A TLS stack that can use that key; ``None``: the client's own, over OpenSSL."""

    @property
    def certificate_store(self) -> CertificateStore | None:
        """Keeps certificates across processes."""
