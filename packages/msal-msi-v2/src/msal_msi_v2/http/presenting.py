"""Which certificate, and which token with it, a request is sent with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msal_msi_v2.binding import BindingCertificate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msal_msi_v2.platforms import TransportResponse


class Outgoing(Protocol):
    """A request of requests or httpx that waits for a certificate."""

    def header(self, name: str) -> str | None:
        """Return the value that the caller gave a header."""

    def send(
        self, certificate: BindingCertificate, headers: Mapping[str, str]
    ) -> TransportResponse:
        """Send it over TLS with a certificate.

        Args:
            certificate: What to present.
            headers: Headers that take the place of the caller's own of the same name.
        """

    def drop(self, certificate: BindingCertificate) -> None:
        """Use no connection of a certificate again."""

    def rewind(self) -> bool:
        """Make it ready to be sent once more; ``False``: its body can be sent only once."""


class Presenter(Protocol):
    """Sends requests, each with the right certificate. Safe to use from many threads."""

    def send(self, outgoing: Outgoing) -> TransportResponse:
        """Send a request, more than once only where that is safe.

        Raises:
            MsiV2Error: No token, or no certificate, could be had.
        """


class FixedCertificate:
    """A ``Presenter`` of one certificate; what else it takes is the caller's business."""

    def __init__(self, certificate: BindingCertificate) -> None:
        self._certificate = certificate

    def send(self, outgoing: Outgoing) -> TransportResponse:
        """Send a request as it is."""
        return outgoing.send(self._certificate, {})


def presenter_of(certificate: BindingCertificate | Presenter) -> Presenter:
    """Return the presenter of a certificate, or the one that is given."""
    if isinstance(certificate, BindingCertificate):
        return FixedCertificate(certificate)
    return certificate
