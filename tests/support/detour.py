"""Leads requests for any host to one server, as name resolution would."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter


class Detour(HTTPAdapter):
    """An adapter for ``requests``; the header ``X-Asked-Host`` says who was asked for."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" != self._url:
            request.headers["X-Asked-Host"] = parts.netloc
            request.url = self._url + parts._replace(scheme="", netloc="").geturl()
        return super().send(request, *args, **kwargs)
