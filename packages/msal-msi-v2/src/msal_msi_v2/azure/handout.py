"""The tokens that a credential has handed out, each with the certificate it is bound to."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msal
import requests

from msal_msi_v2.client import ManagedIdentityClient
from msal_msi_v2.errors import MsiV2ClientError, MsiV2Error, TransportFailure
from msal_msi_v2.fork import renew_after_fork
from msal_msi_v2.imds import ImdsUnreachable, impatience

from .failures import as_azure_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure.core.credentials import AccessTokenInfo, TokenRequestOptions

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.strength import MtlsBindingStrength

_MOST_TOKENS = 1024
_ABSENCE = 60.0
"""Seconds for which an IMDS that has never answered is not asked again."""
_CAE = "CP1"
_SUFFIX = "/.default"


class Handout:
    """Acquires tokens, and remembers their certificates. Safe to use from many threads."""

    def __init__(
        self,
        managed_identity: Mapping[str, Any] | None,
        client: ManagedIdentityClient | None,
        *,
        with_attestation_support: bool,
        min_strength: MtlsBindingStrength | None,
    ) -> None:
        """Choose the client; see ``MsiV2Credential``."""
        if client is not None and managed_identity is not None:
            raise MsiV2ClientError(
                "invalid_request", "Pass managed_identity or client: a client has its identity."
            )
        self.client = client or ManagedIdentityClient(
            managed_identity or msal.SystemAssignedManagedIdentity(),
            http_client=requests.Session(),
        )
        self._options: dict[str, Any] = {
            "mtls_proof_of_possession": True,
            "with_attestation_support": with_attestation_support,
            "min_strength": min_strength,
        }
        self._certificates: OrderedDict[str, BindingCertificate] = OrderedDict()
        self._absent_until = 0.0
        self._why_absent = ""
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Take a new lock; the tokens stay good."""
        self._lock = threading.Lock()

    def acquire(self, scopes: Sequence[str], options: TokenRequestOptions) -> AccessTokenInfo:
        """Return a token for one scope.

        Raises:
            azure.core.exceptions.ClientAuthenticationError: None could be had.
        """
        from azure.core.credentials import AccessTokenInfo  # noqa: PLC0415 - 1.31 brought it

        try:
            result = self._acquire(_resource(scopes), options)
        except MsiV2Error as exc:
            no_imds = isinstance(exc, ImdsUnreachable) and not self.client.host.imds.has_answered
            raise as_azure_error(exc, no_imds=no_imds) from exc
        token = result["access_token"]
        self._remember(token, result["binding_certificate"])
        return AccessTokenInfo(
            token,
            int(time.time()) + result["expires_in"],
            token_type=result["token_type"],
            refresh_on=result.get("refresh_on"),
        )

    def certificate_of(self, token: str) -> BindingCertificate | None:
        """Return what a token is bound to; ``None``: it is none of this credential's."""
        return self._certificates.get(token)

    def _acquire(self, resource: str, options: TokenRequestOptions) -> dict[str, Any]:
        client, imds = self.client, self.client.host.imds
        now = client.host.clock.now()
        if now < self._absent_until <= now + _ABSENCE and not imds.has_answered:
            raise ImdsUnreachable(TransportFailure.CONNECT, self._why_absent)
        if options.get("enable_cae"):
            client = client.with_capabilities(_CAE)
        try:
            with impatience():
                return client.acquire_token_for_client(
                    resource=resource, claims_challenge=options.get("claims"), **self._options
                )
        except ImdsUnreachable as exc:
            self._absent_until = client.host.clock.now() + _ABSENCE
            self._why_absent = exc.error_description
            raise

    def _remember(self, token: str, certificate: BindingCertificate) -> None:
        with self._lock:
            self._certificates[token] = certificate
            self._certificates.move_to_end(token)
            if len(self._certificates) > _MOST_TOKENS:
                self._certificates.popitem(last=False)


def _resource(scopes: Sequence[str]) -> str:
    if len(scopes) != 1 or not scopes[0].strip():
        raise MsiV2ClientError(
            "invalid_request",
            f"There are {len(scopes)} scopes; a managed identity's token is for one resource. "
            "Pass one scope, e.g. 'https://vault.azure.net/.default'.",
        )
    return scopes[0].removesuffix(_SUFFIX)
