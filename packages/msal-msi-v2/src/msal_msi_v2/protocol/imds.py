"""What every call to IMDS v2 has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msal_msi_v2.errors import MsiV2ClientError, MsiV2ServiceError

from .messages import REQUEST_FAILED, Response, describe_failure

if TYPE_CHECKING:
    from .identity import Identity

DEFAULT_BASE = "http://169.254.169.254"
API_VERSION = {"cred-api-version": "2.0"}
_LOWEST_SERVER_ERROR = 500
_TRANSIENT = frozenset({404, 408, 410, 429})


def base_url(override: str | None) -> str:
    """Return where IMDS is: scheme, host and port, no trailing slash.

    Args:
        override: ``AZURE_POD_IDENTITY_AUTHORITY_HOST``. ``None`` or blank means the default;
            its path, query and user info do not count.

    Raises:
        MsiV2ClientError: ``invalid_request``: the override is not an http(s) URL.
    """
    if override is None or not override.strip():
        return DEFAULT_BASE
    try:
        parts = urlsplit(override.strip())
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise _bad_override(override) from exc
    if parts.scheme not in {"http", "https"} or not host:
        raise _bad_override(override)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def _bad_override(override: str) -> MsiV2ClientError:
    return MsiV2ClientError(
        "invalid_request",
        f"AZURE_POD_IDENTITY_AUTHORITY_HOST is {override.rpartition('@')[2]!r}, which is not a URL "
        f"like {DEFAULT_BASE!r}. Correct it, or unset it to use the default.",
    )


def headers(correlation_id: str) -> dict[str, str]:
    """Return the headers of every IMDS v2 call."""
    return {"Metadata": "true", "x-ms-client-request-id": correlation_id}


def query(identity: Identity) -> dict[str, str]:
    """Return the query of every IMDS v2 call."""
    return {**API_VERSION, **identity.query}


def check_success(response: Response, what: str) -> None:
    """Refuse an answer that is not a 200 of IMDS itself.

    Raises:
        MsiV2ServiceError: ``managed_identity_request_failed``.
    """
    if response.status == 200:  # noqa: PLR2004 - HTTP's own number
        return
    raise MsiV2ServiceError(
        REQUEST_FAILED,
        f"IMDS refused the {what} with HTTP {response.status}: {describe_failure(response)}",
        status_code=response.status,
        is_retryable=response.status in _TRANSIENT or response.status >= _LOWEST_SERVER_ERROR,
    )
