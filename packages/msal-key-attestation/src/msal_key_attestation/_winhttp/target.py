"""What of a request goes where: the URL and the headers, checked before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from msal_msi_v2.errors import MsiV2ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

_HTTPS_PORT = 443
_SPACE, _DELETE, _LATIN_1 = 0x20, 0x7F, 0xFF
_AS_GIVEN = "%/:?#[]@!$&'()*+,;=~"
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Target(NamedTuple):
    """Where a request goes.

    Attributes:
        host: A DNS name, or an address; IPv6 in brackets.
        port: The TCP port.
        path: Path and query, percent-encoded.
    """

    host: str
    port: int
    path: str

    def __str__(self) -> str:
        """Return host and port, for messages; the path may hold what a log should not."""
        return f"{self.host}:{self.port}"


def parse_target(url: str) -> Target:
    """Take a URL apart.

    Raises:
        MsiV2ClientError: ``invalid_request``: it is no ``https`` URL, or holds credentials.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _HTTPS_PORT
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError as exc:
        raise _refused("The URL cannot be parsed.") from exc
    if parts.scheme != "https":
        raise _refused(
            f"A bound token is sent over https only, and the URL's scheme is {parts.scheme!r}."
        )
    if not host or parts.username is not None or any(_is_control(character) for character in url):
        raise _refused("The URL has no host, or holds credentials, blanks or control characters.")
    path = quote(parts.path or "/", safe=_AS_GIVEN)
    query = f"?{quote(parts.query, safe=_AS_GIVEN)}" if parts.query else ""
    return Target(f"[{host}]" if ":" in host else host, port, path + query)


def check_method(method: str) -> None:
    """Refuse a method that is none.

    Raises:
        MsiV2ClientError: ``invalid_request``.
    """
    if not method or not _TOKEN.issuperset(method):
        raise _refused(f"{method!r} is not an HTTP method.")


def header_block(headers: Sequence[tuple[str, str]]) -> str:
    """Return headers as they go over the wire.

    Raises:
        MsiV2ClientError: ``invalid_request``: a name or value would break the framing.
    """
    for name, value in headers:
        if not name or not _TOKEN.issuperset(name):
            raise _refused(f"{name!r} is not the name of a header.")
        if any(character in "\r\n\0" or ord(character) > _LATIN_1 for character in value):
            raise _refused(f"The value of the header {name} holds characters that it cannot.")
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


def content_length(headers: Sequence[tuple[str, str]]) -> int | None:
    """Return the body's length as the headers give it, in bytes, or ``None``."""
    for name, value in headers:
        if name.lower() == "content-length" and value.strip().isdecimal():
            return int(value)
    return None


def _is_control(character: str) -> bool:
    return ord(character) <= _SPACE or ord(character) == _DELETE


def _refused(text: str) -> MsiV2ClientError:
    return MsiV2ClientError("invalid_request", text)
