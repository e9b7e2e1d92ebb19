"""Sends requests over a transport, for tests about what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from msal_msi_v2.errors import TransportError
from msal_msi_v2.platforms import Timeout

if TYPE_CHECKING:
    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import BindingTransport

PATIENT = Timeout(connect=20, read=20)


class Caller:
    """Sends requests with one certificate and reads what comes back."""

    def __init__(self, transport: BindingTransport, certificate: BindingCertificate) -> None:
        self.transport = transport
        self.certificate = certificate

    def __call__(
        self, url: str, method: str = "GET", *, timeout: Timeout = PATIENT, **options: Any
    ) -> tuple[int, bytes]:
        response = self.transport.request(
            method, url, certificate=self.certificate, timeout=timeout, **options
        )
        try:
            return response.status, b"".join(response.iter_bytes())
        finally:
            response.close()

    def failure(self, url: str, method: str = "GET", **options: Any) -> TransportError:
        with pytest.raises(TransportError) as caught:
            self(url, method, **options)
        return caught.value
