"""Assertions signed by the key of a certificate in Key Vault, which rotates by itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msal_msi_v2.errors import MsiV2Error
from msal_msi_v2.flight import SingleFlight

from .base import Signer, SigningAssertion
from .jwt import check_algorithm
from .refusals import NOT_FOUND, UNUSABLE
from .rest import VaultConnection
from .vault import check_name, check_vault_url, check_version, read_certificate, sign

if TYPE_CHECKING:
    import requests

    from msal_msi_v2.clock import Clock

    from .jwt import Algorithm
    from .vault import VaultCertificate

logger = logging.getLogger("msal_msi_v2")

REREAD_PERIOD = 3600.0
"""Seconds after which the newest version is looked up again.

Rotation leaves the old version valid, so an hour's delay harms nobody; 24 reads a day cost nothing.
"""
PAUSE = 60.0
"""Seconds for which a certificate that could not be read again is kept before the next try."""
_OUT_OF_USE = frozenset({UNUSABLE, NOT_FOUND})


@dataclass(frozen=True)
class _Reading:
    """A certificate.

    Attributes:
        found: The certificate.
        since: When it was read, or could not be read again, Unix seconds.
        period: For how many seconds from then it is taken for the newest.
    """

    found: VaultCertificate
    since: float
    period: float


class KeyVaultCertificateAssertion(SigningAssertion):
    """A client assertion signed by a certificate in Key Vault, whose key never leaves it.

    The certificate is read once, and again every hour and after ``invalidate()``, so that a new
    version is taken up; a pinned ``version`` is read again after ``invalidate()`` only. If it
    cannot be read again after an hour, a warning is logged, and the one that is known is kept for
    another minute. Each signature is checked with the certificate before it is used.
    """

    def __init__(
        self,
        vault_url: str,
        certificate_name: str,
        credential: Any,
        *,
        version: str | None = None,
        algorithm: Algorithm = "PS256",
        send_x5c: bool = False,
        resource: str | None = None,
        http_client: requests.Session | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Keep what to sign with. Nothing is sent yet.

        Args:
            vault_url: E.g. ``"https://name.vault.azure.net"``.
            certificate_name: The certificate's name in the vault.
            credential: What opens the vault: a ``ManagedIdentityClient`` of this package or a
                ``BoundCredential`` (bound tokens over mutual TLS, and nothing less), an
                ``msal.ManagedIdentityClient`` or a ``BearerCredential``, a ``TokenCredential`` of
                the Azure SDK, or a function that takes the resource and returns a bearer token.
            version: The certificate's version to stay with; ``None``: the newest.
            algorithm: ``"PS256"`` with ``x5t#S256``, or ``"RS256"`` with ``x5t``.
            send_x5c: Send the certificate itself too, for applications that trust its issuer and
                subject name. It goes without its issuers, which Key Vault's ``cer`` does not hold.
            resource: What tokens for the vault are for, e.g. ``"https://vault.azure.net"``, which
                saves a request; ``None``: the vault is asked, without a token. Either way the
                vault's host must be one of the resource's. Only a named resource admits a vault
                on this machine, as in tests.
            http_client: A session for what carries no bound token, with its proxies and ``verify``.
            clock: Tells the time and waits, in tests.

        Raises:
            MsiV2ClientError: ``invalid_request``: an argument is wrong.
        """
        super().__init__(clock)
        check_algorithm(algorithm)
        self._name = check_name(certificate_name)
        self._version = version if version is None else check_version(version)
        self._algorithm: Algorithm = algorithm
        self._send_x5c = send_x5c
        self._connection = VaultConnection(
            check_vault_url(vault_url),
            credential,
            resource=resource,
            http_client=http_client,
            clock=self._clock,
        )
        self._reading: _Reading | None = None
        self._flights: SingleFlight[_Reading] = SingleFlight()
        self._warned: set[str] = set()

    def invalidate(self) -> None:
        """Forget the certificate and every assertion; see ``ClientAssertion``."""
        super().invalidate()
        # A certificate that is being read right now is not to be the next call's.
        self._flights = SingleFlight()
        self._reading = None

    def _signer(self) -> Signer:
        found = self._certificate()
        header = found.certificate.header(self._algorithm, send_x5c=self._send_x5c)
        return Signer(found.key_id.version, header, lambda signed: self._sign(found, signed))

    def _is_superseded(self, signer: Signer, error: MsiV2Error) -> bool:
        """Tell whether a version is out of use or deleted, so that the newest takes its place."""
        if error.error not in _OUT_OF_USE or self._version is not None:
            return False
        reading = self._reading
        if reading is not None and reading.found.key_id.version == signer.key_version:
            self._reading = None
        return True

    def _certificate(self) -> VaultCertificate:
        flights = self._flights
        reading = self._fresh() or flights.run("", lambda: self._fresh() or self._read(flights))
        return reading.found

    def _fresh(self) -> _Reading | None:
        reading = self._reading
        if reading is None or self._version is not None:
            return reading
        age = self._clock.now() - reading.since
        return reading if 0 <= age < reading.period else None

    def _read(self, flights: SingleFlight[_Reading]) -> _Reading:
        reading = self._read_or_keep()
        if flights is self._flights:
            self._reading = reading
        return reading

    def _read_or_keep(self) -> _Reading:
        try:
            found = read_certificate(self._connection, self._name, self._version)
        except Exception as exc:  # a credential raises what it likes
            known = self._reading
            if known is None:
                raise
            self._warn_of_failure(known.found, exc)
            return _Reading(known.found, self._clock.now(), PAUSE)
        self._warn_if_exportable(found)
        return _Reading(found, self._clock.now(), REREAD_PERIOD)

    def _warn_of_failure(self, kept: VaultCertificate, failure: Exception) -> None:
        logger.warning(
            "certificate %s in Key Vault could not be read again, so version %s signs for another "
            "minute: %s",
            self._name,
            kept.key_id.version,
            failure if isinstance(failure, MsiV2Error) else type(failure).__name__,
        )

    def _warn_if_exportable(self, found: VaultCertificate) -> None:
        version = found.key_id.version
        if found.exportable and version not in self._warned:
            self._warned.add(version)
            logger.warning(
                "the key of certificate %s, version %s, in Key Vault is exportable: whoever may "
                "read the vault's secrets can copy it. Issue one whose policy says exportable: "
                "false.",
                self._name,
                version,
            )

    def _sign(self, found: VaultCertificate, signed: bytes) -> bytes:
        signature = sign(self._connection, found.key_id, signed, self._algorithm)
        found.certificate.check(signature, signed, self._algorithm)
        return signature
