"""``MtlsAdapter``: requests over TLS with a binding certificate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import rewind_body
from urllib3.exceptions import ProtocolError
from urllib3.util import Timeout as Urllib3Timeout

from msal_msi_v2.errors import MsiV2ClientError, TransportError, TransportFailure
from msal_msi_v2.platforms import Route, Timeout

from .bodies import raw_response, request_body
from .presenting import presenter_of
from .proxies import chosen_proxy
from .resource import ResourceTokens
from .stacks import StackTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.client import ManagedIdentityClient
    from msal_msi_v2.platforms import TransportResponse
    from msal_msi_v2.strength import MtlsBindingStrength

    from .presenting import Presenter

_EXCEPTIONS: dict[TransportFailure, type[requests.RequestException]] = {
    TransportFailure.CONNECT: requests.ConnectionError,
    TransportFailure.PROXY: requests.exceptions.ProxyError,
    TransportFailure.CONNECT_TIMEOUT: requests.ConnectTimeout,
    TransportFailure.READ_TIMEOUT: requests.ReadTimeout,
    TransportFailure.SERVER_CERTIFICATE: requests.exceptions.SSLError,
    TransportFailure.HANDSHAKE: requests.exceptions.SSLError,
    TransportFailure.BROKEN: requests.ConnectionError,
}
_MAYBE_RECEIVED = {TransportFailure.HANDSHAKE, TransportFailure.BROKEN}
_ORIGIN = "msal_msi_v2.origin"
_HTTPS_PORT = 443


class MtlsAdapter(HTTPAdapter):
    """Carries the requests of a ``requests.Session`` over TLS with a binding certificate.

    A key that can be exported goes over OpenSSL, any other over the TLS stack of its platform:
    WinHTTP for keys that Windows keeps. Where a redirect leads to another origin, neither token
    nor certificate goes along. Plain ``http`` and ``verify=False`` are refused.

    Mount it for the one host that the token is for, not for all of ``https://``, unless the
    session is used for nothing else::

        session.mount("https://example.vault.azure.net", MtlsAdapter(certificate))
    """

    def __init__(
        self, certificate: BindingCertificate | Presenter, *, ca_bundle: str | None = None
    ) -> None:
        """Choose what to present.

        Args:
            certificate: The certificate; the caller sets ``Authorization``. Or whatever decides
                about both with each request, as ``for_resource`` does.
            ca_bundle: A PEM file, or an OpenSSL directory, of the CAs to trust where the session
                names none; ``None``: those that ``requests`` trusts.
        """
        super().__init__()
        self._presenter = presenter_of(certificate)
        self._transport = StackTransport(ca_bundle)

    @classmethod
    def for_resource(
        cls,
        client: ManagedIdentityClient,
        resource: str,
        *,
        with_attestation_support: bool = False,
        min_strength: MtlsBindingStrength | None = None,
    ) -> Self:
        """Return an adapter that gets a token, and takes its certificate, for every request.

        Args:
            client: Acquires the tokens, and says whom to trust.
            resource: The resource's URL or application id URI.
            with_attestation_support: As for ``acquire_token_for_client``.
            min_strength: As for ``acquire_token_for_client``.
        """
        tokens = ResourceTokens(
            client,
            resource,
            with_attestation_support=with_attestation_support,
            min_strength=min_strength,
        )
        return cls(tokens, ca_bundle=client.ca_bundle)

    def send(  # noqa: PLR0917 - the signature of requests
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request; see ``requests.adapters.HTTPAdapter.send``.

        Raises:
            requests.RequestException: No answer came back; its cause is a ``TransportError``.
            MsiV2Error: The request must not be sent so, or no token could be had for it.
        """
        _check(request, verify, cert)
        if _has_left(request):
            return super().send(request, stream, timeout, verify, None, proxies)
        bundle = None if verify in {None, True} else os.fspath(verify)
        route = Route(bundle, chosen_proxy(request.url or "", proxies))
        outgoing = _Outgoing(request, self._transport, _timeout(timeout), route)
        answer = self._presenter.send(outgoing)
        return self.build_response(request, raw_response(answer, request.method or ""))

    def close(self) -> None:
        """Close the connections, but those of a platform's own stack, which others share."""
        super().close()
        self._transport.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: keys do not leave the process."""
        raise TypeError(f"a {type(self).__name__} cannot be pickled: it holds a private key")


class _Outgoing:
    """An ``Outgoing`` over a prepared request."""

    def __init__(
        self,
        request: requests.PreparedRequest,
        transport: StackTransport,
        timeout: Timeout,
        route: Route,
    ) -> None:
        self._request = request
        self._transport = transport
        self._timeout = timeout
        self._route = route

    def header(self, name: str) -> str | None:
        value = self._request.headers.get(name)
        return None if value is None else _text(value)

    def send(
        self, certificate: BindingCertificate, headers: Mapping[str, str]
    ) -> TransportResponse:
        request = self._request
        merged = request.headers.copy()
        merged.update(headers)
        merged.pop("Transfer-Encoding", None)  # the transport's business
        try:
            return self._transport.request(
                request.method or "",
                request.url or "",
                certificate=certificate,
                headers=[(name, _text(value)) for name, value in merged.items()],
                body=request_body(request.body),
                timeout=self._timeout,
                route=self._route,
            )
        except TransportError as exc:
            raise _as_requests_has_it(exc, request) from exc

    def drop(self, certificate: BindingCertificate) -> None:
        self._transport.drop(certificate)

    def rewind(self) -> bool:
        if isinstance(self._request.body, (bytes, str, type(None))):
            return True
        try:
            rewind_body(self._request)
        except requests.exceptions.UnrewindableBodyError:
            return False
        return True


def _as_requests_has_it(
    error: TransportError, request: requests.PreparedRequest
) -> requests.RequestException:
    """Return requests' exception for a failure.

    Where the server may have received the request, it is about a ``ProtocolError``, as requests'
    own is. That is what tells the Azure SDK.
    """
    about = ProtocolError(str(error)) if error.failure in _MAYBE_RECEIVED else error
    return _EXCEPTIONS[error.failure](about, request=request)


def _check(request: requests.PreparedRequest, verify: Any, cert: Any) -> None:
    """Refuse what would be sent otherwise than its caller thinks, or than anybody should."""
    if urlsplit(request.url or "").scheme != "https":
        raise MsiV2ClientError(
            "invalid_request",
            "A bound token goes over https only, and this URL is another. Use its https form.",
        )
    if verify is False:
        raise MsiV2ClientError(
            "invalid_request",
            "verify is False, and a bound token is not shown over a connection that nobody "
            "verifies. Set it to the path of your CA bundle.",
        )
    if cert:
        raise MsiV2ClientError(
            "invalid_request",
            "cert is set, and this adapter presents the certificate that the token is bound to. "
            "Leave cert out.",
        )


def origin_of(url: str) -> tuple[str, str | None, int]:
    """Return the origin of an ``https`` URL: scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _HTTPS_PORT


def _has_left(request: requests.PreparedRequest) -> bool:
    """Tell whether redirects have led a request away from the origin that it was made for.

    The hooks are all that requests hands on from a request to the one that a redirect makes of it.
    They get a dict of their own here, since it hands them on to a copy, too.
    """
    hooks = cast("dict[str, Any]", request.hooks)
    origin = origin_of(request.url or "")
    has_left: bool = hooks.get(_ORIGIN, origin) != origin
    # Left for good, wherever the next redirect leads.
    request.hooks = {**hooks, _ORIGIN: None if has_left else origin}
    return has_left


def _timeout(given: Any) -> Timeout:
    """Return requests' timeout, where ``None`` waits for ever, as ours.

    What urllib3 knows as the total bounds either step.
    """
    if isinstance(given, Urllib3Timeout):
        begun = given.clone()
        begun.start_connect()  # from when on a total names the time that is left to read
        steps = (begun.connect_timeout, begun.read_timeout)
        connect, read = (Urllib3Timeout.resolve_default_timeout(step) for step in steps)
    else:
        connect, read = given if isinstance(given, tuple) else (given, given)
    return Timeout(*(float("inf") if step is None else float(step) for step in (connect, read)))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
