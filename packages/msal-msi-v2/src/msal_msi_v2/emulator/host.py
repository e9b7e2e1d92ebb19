"""``MsiV2Emulator``: the host, put together, started and stopped."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .administration import Administration
from .assembly import PORTS, Options, Services, make_services, make_tls
from .authority import ISSUER, IssuingAuthority
from .keyguard import EmulatedPlatform, make_keyguard_platform
from .profile import DEFAULT_IDENTITIES, TENANT_ID, VM_ID, HostProfile, Identity
from .recording import Recorder
from .server import Server, ServerGroup
from .service import Context
from .tls import ServerCertificates

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from typing_extensions import Self

    from .faults import Faults
    from .recording import RecordedRequest
    from .tls import ClientCertificates

_BACKLOG = 128


class MsiV2Emulator(Administration):
    """A whole Azure host on loopback: IMDS, MAA, token and login services, resource, vault.

    A context manager, to be used once. Each emulator has ports, CAs and signing keys of its
    own: what one issues, no other accepts.

    Attributes:
        faults: What goes wrong, and when.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        imds_version: int = 2,
        tenant_id: str = TENANT_ID,
        identities: Sequence[Identity] | None = None,
        vm_id: str | None = VM_ID,
        vmss_id: str | None = None,
        security_type: str = "TrustedLaunch",
        os_type: str = "Windows",
        token_lifetime: float = 86400,
        refresh_in: int | None = None,
        certificate_lifetime: float = 7 * 86400,
        attestation_lifetime: float = 8 * 3600,
        require_attestation: bool = False,
        trusted_keys_only: bool = False,
        attestation_endpoint: str | None = None,
        audiences: Collection[str] | None = None,
        secrets: Mapping[str, str] | None = None,
        client_certificates: ClientCertificates = "handshake",
        keep_requests: int | None = None,
    ) -> None:
        """Describe the host; nothing listens before ``start()``.

        Args:
            host: The IPv4 address to listen on.
            imds_version: 2, or 1 for a host whose IMDS has no v2 endpoints.
            tenant_id: The tenant, a GUID.
            identities: The managed identities; by default one of each kind.
            vm_id: The virtual machine's id; ``None``: metadata names none.
            vmss_id: The scale set's id; ``None``: the machine is not part of one.
            security_type: As compute metadata tells it: ``TrustedLaunch``, ``ConfidentialVM``, "".
            os_type: As compute metadata tells it: ``Windows`` or ``Linux``.
            token_lifetime: Of an access token, in seconds; more than 0, at most 50 years.
            refresh_in: The token answer's ``refresh_in``, in seconds; ``None``: none.
            certificate_lifetime: Of a binding certificate, within the same bounds.
            attestation_lifetime: Of an attestation token, within the same bounds.
            require_attestation: Refuse to issue a certificate without an attestation token.
            trusted_keys_only: Attest keys of ``keyguard_platform()`` only; otherwise any key
                whose owner proves that he can sign with it.
            attestation_endpoint: What platform metadata names; ``None``: ``attestation_url``.
            audiences: The resource's values of ``aud``; ``None``: any ``https`` URL.
            secrets: The vault's secrets, values by name; by default one named ``x``.
            client_certificates: When resource and vault ask for certificates; see the property.
            keep_requests: How many requests ``requests`` holds at most, the newest; ``None``: all.

        Raises:
            ValueError: Neither ``vm_id`` nor ``vmss_id`` is given, or there is no such version,
                lifetime or time for certificates.
        """
        if not (vm_id or vmss_id) or imds_version not in {1, 2}:
            raise ValueError("A host has a vm_id or a vmss_id, and IMDS of version 1 or 2.")
        self._profile = HostProfile(
            imds_version=imds_version,
            tenant_id=tenant_id,
            identities=DEFAULT_IDENTITIES if identities is None else tuple(identities),
            vm_id=vm_id,
            vmss_id=vmss_id,
            security_type=security_type,
            os_type=os_type,
            attestation_endpoint=attestation_endpoint or "",
        )
        self._options = Options(
            host=host,
            token_lifetime=token_lifetime,
            refresh_in=refresh_in,
            certificate_lifetime=certificate_lifetime,
            attestation_lifetime=attestation_lifetime,
            require_attestation=require_attestation,
            trusted_keys_only=trusted_keys_only,
            audiences=audiences,
            secrets={"x": "the emulator's secret"} if secrets is None else dict(secrets),
        )
        self._context = Context(threading.Event(), recorder=Recorder(keep_requests))
        self.client_certificates = client_certificates
        self._resources = ExitStack()
        self._urls: dict[str, str] = {}
        self._running: Services | None = None
        self._ca_bundle = ""
        self._authority = IssuingAuthority(ISSUER, time.time())
        self.faults: Faults = self._context.faults

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Open the ports, and serve.

        Raises:
            RuntimeError: The emulator has been started before.
            OSError: The address cannot be listened on.
        """
        if self._urls:
            raise RuntimeError("An emulator is used once. Make another.")
        with ExitStack() as resources:
            self._serve(resources)
            self._resources = resources.pop_all()

    def stop(self) -> None:
        """Close ports and connections, end all threads, delete the CA bundle; harmless twice."""
        self._resources.close()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point a client at this emulator."""
        return {
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.imds_url,
            "SSL_CERT_FILE": self.ca_bundle,
            "REQUESTS_CA_BUNDLE": self.ca_bundle,
        }

    @property
    def ca_bundle(self) -> str:
        """The path of a PEM file with the CA of all servers; deleted at ``stop()``."""
        self._services  # noqa: B018 - raises unless they run
        return self._ca_bundle

    @property
    def imds_url(self) -> str:
        """The base URL of IMDS; plain HTTP."""
        return self._url("imds")

    @property
    def attestation_url(self) -> str:
        """The base URL of the attestation service, also its ``iss``."""
        return self._url("attestation")

    @property
    def attestation_plain_url(self) -> str:
        """The attestation service once more, in plain HTTP."""
        return self._url("attestation_plain")

    @property
    def token_url(self) -> str:
        """The base URL of the token service: the ``mtls_authentication_endpoint``."""
        return self._url("token")

    @property
    def login_url(self) -> str:
        """The base URL of the login service, where applications sign in: an authority's."""
        return self._url("login")

    @property
    def resource_url(self) -> str:
        """The base URL of the resource."""
        return self._url("resource")

    @property
    def vault_url(self) -> str:
        """The base URL of the Key Vault."""
        return self._url("vault")

    @property
    def attestation_endpoint(self) -> str:
        """What platform metadata names; settable at any time."""
        return self._profile.attestation_endpoint

    @attestation_endpoint.setter
    def attestation_endpoint(self, url: str) -> None:
        self._profile.attestation_endpoint = url

    @property
    def tenant_id(self) -> str:
        """The tenant, a GUID."""
        return self._profile.tenant_id

    @property
    def identities(self) -> tuple[Identity, ...]:
        """The managed identities of the host."""
        return tuple(self._profile.identities)

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in order of arrival; of many the newest, see ``keep_requests``."""
        return self._context.recorder.requests()

    def requests_to(self, leg: str) -> list[RecordedRequest]:
        """Return the requests of one leg so far, in order of arrival."""
        return [one for one in self.requests if one.leg == leg]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._context.recorder.clear()

    def connections(self, service: str) -> int:
        """Return how many TCP connections a service has accepted.

        Args:
            service: ``imds``, ``attestation`` (both ports), ``token``, ``login``, ``resource`` or
                ``vault``.
        """
        return self._context.recorder.connections(service)

    @property
    def clock_offset(self) -> float:
        """Seconds that the services' clock is ahead of the system's; settable at any time."""
        return self._context.clock.offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self._context.clock.offset = seconds

    @property
    def keep_alive(self) -> bool:
        """Whether connections outlive an answer; settable at any time.

        Some TLS stacks pool connections without regard for the client certificate: a test about
        which certificate is presented turns this off.
        """
        return not self._context.closing.is_set()

    @keep_alive.setter
    def keep_alive(self, keep: bool) -> None:
        if keep:
            self._context.closing.clear()
        else:
            self._context.closing.set()

    @property
    def client_certificates(self) -> ClientCertificates:
        """When resource and vault ask for the client's certificate; settable at any time.

        ``handshake``: in the TLS handshake. ``renegotiation`` (TLS 1.2 only) and
        ``post_handshake`` (TLS 1.3 only): once they have read a request, as Key Vault does; the
        vault for a bound token only. A change is for connections accepted from then on: one that
        is kept alive stays as it began.
        """
        return self._context.timing.mode

    @client_certificates.setter
    def client_certificates(self, mode: ClientCertificates) -> None:
        self._context.timing.mode = mode

    @property
    def refresh_in(self) -> int | None:
        """The token answers' ``refresh_in``, in seconds; settable at any time."""
        return self._services.token.refresh_in

    @refresh_in.setter
    def refresh_in(self, seconds: int | None) -> None:
        self._services.token.refresh_in = seconds

    def revoke(self, certificate: bytes | int) -> None:
        """Revoke a binding certificate, DER bytes or serial number, from the next request on."""
        self._authority.revoke(certificate)

    def revoke_all(self) -> None:
        """Revoke every binding certificate issued so far, from the next request on."""
        self._authority.revoke_all()

    def keyguard_platform(self) -> EmulatedPlatform:
        """Return a platform with a key of its own, which this emulator takes for KeyGuard's."""
        return make_keyguard_platform(self.ca_bundle, self._services.attestation.trust)

    def _url(self, name: str) -> str:
        self._services  # noqa: B018 - raises unless they run
        return self._urls[name]

    @property
    def _services(self) -> Services:
        if self._running is None:
            raise RuntimeError("The emulator has not been started.")
        return self._running

    def _serve(self, resources: ExitStack) -> None:
        """Open everything, and leave its closing, in reverse order, to a stack."""
        directory = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        listeners = {name: resources.enter_context(self._listen()) for name in PORTS}
        self._urls = {
            name: self._options.url(name, listener.getsockname()[1])
            for name, listener in listeners.items()
        }
        self._profile.attestation_endpoint = (
            self._profile.attestation_endpoint or self._urls["attestation"]
        )
        certificates = ServerCertificates(self._options.host)
        self._ca_bundle = str(directory / "ca.pem")
        certificates.write_bundle(Path(self._ca_bundle))
        self._running = make_services(
            self._context, self._profile, self._options, self._authority, self._urls
        )
        contexts = make_tls(certificates, self._authority, self._context.timing)
        servers = []
        for name, listener in listeners.items():
            service = self._running.by_port[name]
            server = Server(listener, service, tls=contexts.get(name), context=self._context)
            servers.append(resources.enter_context(server))
        group = ServerGroup(servers, self._context.stopping)
        resources.callback(group.stop)
        group.start()

    def _listen(self) -> socket.socket:
        return socket.create_server((self._options.host, 0), backlog=_BACKLOG)
