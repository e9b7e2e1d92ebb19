"""Runs anywhere: the face of an ``MsiV2Emulator`` that runs in another process.

Under Wine the emulator stays on the Linux side, so that its CA can be trusted before the tests
start. ``RemoteEmulator.connect()`` finds it; tests use it like the real one.
"""

from __future__ import annotations

import http.client
import os
import pickle
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from msal_msi_v2.emulator import Application, Fault, RecordedRequest, VaultCertificate

CONTROL_VARIABLE = "WINE_EMULATOR"
_SECONDS = 60


class RemoteFaults:
    """The faults of a remote emulator; see ``msal_msi_v2.emulator.Faults``."""

    def __init__(self, emulator: RemoteEmulator) -> None:
        self._emulator = emulator

    def add(self, leg: str, fault: Fault, *, times: int | None = 1) -> None:
        self._emulator.call("faults.add", leg, fault, times=times)

    def clear(self) -> None:
        self._emulator.call("faults.clear")


class RemoteEmulator:
    """An emulator by its control URL; see ``msal_msi_v2.emulator.MsiV2Emulator``.

    Every attribute that is not named here is fetched from the emulator: URLs, ``tenant_id``,
    ``identities``, ``clock_offset``. Exceptions arrive as they were raised.

    Attributes:
        faults: What goes wrong, and when.
    """

    faults: RemoteFaults

    def __init__(self, control_url: str) -> None:
        # Past __setattr__, which writes to the emulator.
        self.__dict__.update(_control=urlsplit(control_url), faults=RemoteFaults(self))

    @classmethod
    def connect(cls) -> RemoteEmulator:
        """Return the emulator that the harness started.

        Raises:
            KeyError: There is none: this is not a run of the harness.
        """
        return cls(os.environ[CONTROL_VARIABLE])

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point a client at the emulator, with paths of this system."""
        found: dict[str, str] = self.get("environment")
        return {name: _local_path(value) for name, value in found.items()}

    @property
    def ca_bundle(self) -> str:
        """The PEM file with the CA of all servers, as a path of this system."""
        return _local_path(self.get("ca_bundle"))

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in order of arrival."""
        found: list[RecordedRequest] = self.get("requests")
        return found

    def requests_to(self, leg: str) -> list[RecordedRequest]:
        """Return the requests of one leg so far, in order of arrival."""
        found: list[RecordedRequest] = self.call("requests_to", leg)
        return found

    def connections(self, service: str) -> int:
        """Return how many TCP connections a service has accepted."""
        found: int = self.call("connections", service)
        return found

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self.call("clear_requests")

    def revoke(self, certificate: bytes | int) -> None:
        """Revoke a binding certificate, DER bytes or serial number."""
        self.call("revoke", certificate)

    def revoke_all(self) -> None:
        """Revoke every binding certificate issued so far."""
        self.call("revoke_all")

    def register_application(self, **options: Any) -> Application:
        """Register an application; see ``msal_msi_v2.emulator.MsiV2Emulator``."""
        found: Application = self.call("register_application", **options)
        return found

    def create_vault_certificate(self, name: str, **options: Any) -> VaultCertificate:
        """Make a certificate in the vault; see ``msal_msi_v2.emulator.MsiV2Emulator``."""
        found: VaultCertificate = self.call("create_vault_certificate", name, **options)
        return found

    def create_vault_key(self, name: str) -> str:
        """Make a key in the vault; see ``msal_msi_v2.emulator.MsiV2Emulator``."""
        found: str = self.call("create_vault_key", name)
        return found

    def add_app_certificate(self, client_id: str, der: bytes) -> None:
        """Register one more certificate of an application."""
        self.call("add_app_certificate", client_id, der)

    def remove_app_certificate(self, client_id: str, thumbprint: str) -> None:
        """Forget a certificate of an application."""
        self.call("remove_app_certificate", client_id, thumbprint)

    def reset(self) -> None:
        """Let the next test find nothing wrong, nothing recorded and the right time.

        Certificates that were revoked stay revoked. The attestation endpoint becomes the
        plain one again: the stand-in for the attestation library speaks plain HTTP.
        """
        self.faults.clear()
        self.clock_offset = 0.0
        self.client_certificates = "handshake"
        self.attestation_endpoint = self.attestation_plain_url
        self.clear_requests()

    def get(self, name: str) -> Any:
        """Return an attribute of the emulator."""
        return self._perform("get", name)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what a method of the emulator, or of an attribute, returns."""
        return self._perform("call", name, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._perform("set", name, (value,))

    def _perform(
        self, operation: str, name: str, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        body = pickle.dumps((operation, name, args, kwargs or {}))
        connection = http.client.HTTPConnection(self._control.netloc, timeout=_SECONDS)
        try:
            connection.request("POST", self._control.path, body)
            with connection.getresponse() as response:
                succeeded, outcome = pickle.loads(response.read())
        finally:
            connection.close()
        if not succeeded:
            raise outcome
        return outcome


def _local_path(value: str) -> str:
    """Return the emulator's absolute path as one of this system; anything else as it is."""
    if os.name == "nt" and value.startswith("/"):
        return "Z:" + value.replace("/", "\\")
    return value
