"""Leads requests for any host to one server, as name resolution would."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter


def redirect(request: Any, url: str) -> None:
    """Lead one prepared request there; its header ``X-Asked-Host`` says who was asked for."""
    parts = urlsplit(request.url)
    if f"{parts.scheme}://{parts.netloc}" != url and parts.scheme == "https":
        request.headers["X-Asked-Host"] = parts.netloc
        request.url = url + parts._replace(scheme="", netloc="").geturl()


class Detour(HTTPAdapter):
    """An adapter that does so with every request."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        redirect(request, self._url)
        return super().send(request, *args, **kwargs)
