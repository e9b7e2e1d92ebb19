"""What an administrator would set up in Key Vault and Entra."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from .profile import OTHER_TENANT_ID
from .vault import PERMISSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .applications import Application, FederatedCredential
    from .assembly import Services
    from .vault_keys import KeyVersion, VaultCertificate


class Administration(abc.ABC):
    """The part of ``MsiV2Emulator`` that is about keys, certificates and applications."""

    @property
    @abc.abstractmethod
    def _services(self) -> Services:
        """The services, once they run."""

    @property
    def other_tenant_id(self) -> str:
        """A second tenant, a GUID: applications sign in there, too."""
        return OTHER_TENANT_ID

    @property
    def vault_permissions(self) -> frozenset[str]:
        """What callers may do in the vault; settable at any time, to fewer than all at first."""
        return self._services.vault.permissions

    @vault_permissions.setter
    def vault_permissions(self, permissions: Iterable[str]) -> None:
        wanted = frozenset(permissions)
        if not wanted <= PERMISSIONS:
            raise ValueError(f"Permissions are some of {sorted(PERMISSIONS)}.")
        self._services.vault.permissions = wanted

    def create_vault_certificate(
        self, name: str, *, exportable: bool = False, key_size: int = 2048
    ) -> VaultCertificate:
        """Make a certificate in the vault; of a name that is there, a new version.

        Its key signs while the certificate is valid: for a year by ``clock_offset``.

        Args:
            name: 1 to 127 ASCII letters, digits and hyphens.
            exportable: Let those who may read secrets download the key.
            key_size: 2048, 3072 or 4096 bits.

        Raises:
            ValueError: Key Vault would not make one of that name or size.
        """
        now = self._services.vault.now
        return self._services.keys.create_certificate(
            name, exportable=exportable, key_size=key_size, now=now
        )

    def create_vault_key(self, name: str) -> str:
        """Make an RSA key in the vault, or a new version of it, and return its URL.

        Raises:
            ValueError: Key Vault would not make one of that name.
        """
        return self._services.keys.create_key(name)

    def disable_vault_key(self, name: str, version: str = "") -> None:
        """Put a version of a key, and of its certificate, out of use; by default the newest.

        Raises:
            KeyError: There is none.
        """
        self._find_key(name, version).enabled = False

    def enable_vault_key(self, name: str, version: str = "") -> None:
        """Put it back into use.

        Raises:
            KeyError: There is none.
        """
        self._find_key(name, version).enabled = True

    def register_application(
        self,
        *,
        certificates: Iterable[bytes | str] = (),
        federated: Iterable[FederatedCredential] = (),
    ) -> Application:
        """Register a multi-tenant application.

        Args:
            certificates: Those that its assertions may be signed with, each DER bytes or PEM.
            federated: Whose tokens it may sign in with.

        Raises:
            ValueError: A certificate cannot be read, or is not over an RSA key.
        """
        return self._services.applications.register(certificates, federated)

    def add_app_certificate(self, client_id: str, certificate: bytes | str) -> None:
        """Let an application's assertions be signed with one more certificate, DER bytes or PEM.

        Raises:
            KeyError: There is no such application.
            ValueError: The certificate cannot be read, or is not over an RSA key.
        """
        self._services.applications.add_certificate(client_id, certificate)

    def remove_app_certificate(self, client_id: str, thumbprint: str) -> None:
        """Let them be signed with one fewer, named by its ``x5t#S256``.

        Raises:
            KeyError: There is no such application, or it has no such certificate.
        """
        self._services.applications.remove_certificate(client_id, thumbprint)

    def _find_key(self, name: str, version: str) -> KeyVersion:
        found = self._services.keys.find(name, version)
        if found is None:
            raise KeyError(name)
        return found
