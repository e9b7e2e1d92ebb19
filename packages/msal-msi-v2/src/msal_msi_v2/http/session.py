"""``MtlsSession``: a ``requests.Session`` that calls resources with bound tokens."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from .adapter import MtlsAdapter


class MtlsSession(requests.Session):
    """A ``requests.Session`` whose every request goes through one ``MtlsAdapter``.

    Cookies are neither kept nor sent, unless you set another policy on ``cookies``.
    """

    def __init__(self, adapter: MtlsAdapter, ca_bundle: str | None) -> None:
        """Take the adapter, and the CAs to trust; ``None``: those that ``requests`` trusts."""
        super().__init__()
        self.verify = ca_bundle or True
        self.auth = _as_it_is
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("https://", adapter)
        self.mount("http://", adapter)  # which refuses

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Let the session's own ``verify`` go before the environment's, unlike requests."""
        verify = self.verify if verify is None or verify is True else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """Leave a login behind where a redirect leads elsewhere; unlike requests, look for none."""
        urls = response.request.url, prepared_request.url
        if self.should_strip_auth(*urls):  # type: ignore[no-untyped-call]  # in requests' stubs
            prepared_request.headers.pop("Authorization", None)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from looking for a password in ``.netrc``: the token is the login."""
    return request
