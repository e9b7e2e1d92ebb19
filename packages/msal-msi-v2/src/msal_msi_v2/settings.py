"""What a client takes from its arguments and the environment, once, when it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .errors import MsiV2ClientError
from .platforms import Timeout
from .protocol import imds

IMDS_TIMEOUT = Timeout(connect=2, read=10)
TOKEN_TIMEOUT = Timeout(connect=30, read=30)
_PAIR = 2


@dataclass(frozen=True)
class Settings:
    """How a client reaches the services.

    Attributes:
        imds_override: ``AZURE_POD_IDENTITY_AUTHORITY_HOST`` as it stood.
        verify: The caller's ``http_client.verify``: a path, or whether to verify at all.
        ca_bundle: ``REQUESTS_CA_BUNDLE`` or else ``SSL_CERT_FILE`` as it stood.
        imds_timeout: For IMDS.
        token_timeout: For the token service.
    """

    imds_override: str | None
    verify: Any
    ca_bundle: str | None
    imds_timeout: Timeout
    token_timeout: Timeout

    @property
    def imds_base(self) -> str:
        """Where IMDS is.

        Raises:
            MsiV2ClientError: ``invalid_request``: the override is not a URL.
        """
        return imds.base_url(self.imds_override)

    def trusted_cas(self) -> str | None:
        """Return the path of the CAs that the OpenSSL transport trusts; ``None``: the default.

        Raises:
            MsiV2ClientError: ``invalid_request``: the caller turned verification off, or the
                path leads nowhere.
        """
        if self.verify is False:
            raise MsiV2ClientError(
                "invalid_request",
                "http_client.verify is False, and a bound token is not asked for, nor shown, over "
                "a connection that nobody verifies. Set it to the path of your CA bundle.",
            )
        bundle = str(self.verify) if _is_path(self.verify) else self.ca_bundle
        if bundle is not None and not os.path.exists(bundle):  # noqa: PTH110 - it is text
            raise MsiV2ClientError(
                "invalid_request",
                f"The CA bundle {bundle!r}, from http_client.verify, REQUESTS_CA_BUNDLE or "
                "SSL_CERT_FILE, does not exist.",
            )
        return bundle


def read_settings(http_client: Any, timeout: float | tuple[float, float] | None) -> Settings:
    """Read the settings of a client that is being made.

    Args:
        http_client: The caller's client.
        timeout: Seconds, or (connect, read), in place of the defaults.

    Raises:
        MsiV2ClientError: ``invalid_request``: the timeout is neither.
    """
    given = None if timeout is None else _timeout(timeout)
    return Settings(
        imds_override=os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST"),
        verify=getattr(http_client, "verify", None),
        ca_bundle=environment_ca_bundle(),
        imds_timeout=given or IMDS_TIMEOUT,
        token_timeout=given or TOKEN_TIMEOUT,
    )


def environment_ca_bundle() -> str | None:
    """Return the path of the CAs that the environment names, if it names any."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or None


def _is_path(verify: Any) -> bool:
    return isinstance(verify, str | os.PathLike) and bool(str(verify))


def _timeout(timeout: Any) -> Timeout:
    pair = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    if len(pair) != _PAIR or not all(_is_duration(seconds) for seconds in pair):
        raise MsiV2ClientError(
            "invalid_request",
            f"timeout is {timeout!r}; it must be a positive number of seconds, or a pair of them: "
            "(connect, read).",
        )
    return Timeout(connect=float(pair[0]), read=float(pair[1]))


def _is_duration(seconds: Any) -> bool:
    return (
        isinstance(seconds, int | float)
        and not isinstance(seconds, bool)
        and 0 < seconds < float("inf")
    )
