"""The TLS stack that can use a certificate's key, whichever that is."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from .openssl import OpenSslTransport
from .proxies import environment_proxy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import Route, Timeout, TransportResponse

_OPENSSL_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class StackTransport:
    """A ``BindingTransport`` that goes over the stack of each certificate's own platform.

    Certificates whose platform brings no stack go over OpenSSL, in connections of this object.
    """

    def __init__(self, ca_bundle: str | None = None) -> None:
        """Choose whom to trust over OpenSSL; see ``OpenSslTransport``."""
        self._openssl = OpenSslTransport(ca_bundle)

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
        """Send one request; see ``BindingTransport.request``."""
        transport = certificate.transport or self._openssl
        if certificate.transport is not None and route is not None:
            route = _asked_for(route, url)
        return transport.request(
            method,
            url,
            certificate=certificate,
            headers=headers,
            body=body,
            timeout=timeout,
            route=route,
        )

    def drop(self, certificate: BindingCertificate) -> None:
        """Use no connection of a certificate again; see ``BindingTransport.drop``."""
        (certificate.transport or self._openssl).drop(certificate)

    def close(self) -> None:
        """Close the connections of this object; those of a platform are its own."""
        self._openssl.close()


def _asked_for(route: Route, url: str) -> Route | None:
    """Leave a platform's stack its own ways, where the environment alone says otherwise.

    requests merges what the environment says into what its caller says. But CA bundles there are
    OpenSSL's, and proxies, Windows' settings among them, the stack finds better by itself.
    """
    if route.ca_bundle in {os.environ.get(name) for name in _OPENSSL_VARIABLES}:
        route = replace(route, ca_bundle=None)
    if route.proxy is not None and route.proxy == environment_proxy(url):
        route = replace(route, proxy=None)
    return None if route.ca_bundle is None and route.proxy is None else route
