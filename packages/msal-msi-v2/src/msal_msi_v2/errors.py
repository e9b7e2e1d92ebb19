"""Every error that the proof-of-possession path raises.

::

    msal.ManagedIdentityError (a ValueError)
    └── MsiV2Error                  anything that the PoP path raises
        ├── MsiV2ClientError        the environment or the request is wrong: do not retry
        └── MsiV2ServiceError       IMDS, the token service, MAA or the TLS leg failed
            ├── TransportError      no HTTP answer came back at all
            ├── AttestationError    the key could not be attested
            └── KeyVaultError       Key Vault did not give a certificate, or did not sign

The codes in ``error`` are listed, each with what to do about it, in ``docs/errors.md``.
"""

from __future__ import annotations

import enum
import re
from urllib.parse import unquote

from msal import ManagedIdentityError

_LONGEST_QUOTE = 500
# A JWT, or a run of base64 as long as a line of a wrapped CSR, certificate or key. NUL stands for
# the white space between two lines of it.
_SECRETS = re.compile(
    r"[A-Za-z0-9_\0-]{10,}\.[A-Za-z0-9_\0-]{10,}\.[A-Za-z0-9_\0-]*|[A-Za-z0-9+/_=\0-]{56,}"
)
# A line of base64url may end anywhere, at a hyphen for instance, and so be short.
_WRAPPED = re.compile(
    r"(?<=[A-Za-z0-9+/_=.-]{20})\s+(?=[A-Za-z0-9+/_=.-]{20})"
    r"|(?<=[A-Za-z0-9+/_=.-]{20})\s*\n\s*(?=[A-Za-z0-9+/_=.-])"
    r"|(?<=[A-Za-z0-9+/_=.-])\s*\n\s*(?=[A-Za-z0-9+/_=.-]{20})"
)


def quote(text: str) -> str:
    """Return a server's text, fit for an error message or a log line.

    A server may echo what it was sent, so anything that looks like a token, a CSR or a key
    is cut out; the text is put on one line and shortened.
    """
    plain = unquote(text).replace("\\/", "/").replace("\\n", "\n").replace("\\r", "\r")
    clean = _SECRETS.sub("<redacted>", _WRAPPED.sub("\0", plain.replace("\0", " ")))
    printable = " ".join(clean.replace("\0", " ").split())
    return printable if len(printable) <= _LONGEST_QUOTE else printable[:_LONGEST_QUOTE] + "..."


class MsiV2Error(ManagedIdentityError):  # type: ignore[misc]  # msal is untyped
    """A proof-of-possession token could not be had, or could not be used.

    Attributes:
        error: The machine-readable code, e.g. ``"mtls_pop_requires_keyguard"``.
        error_description: What happened and what to do next, for a person.
        correlation_id: The GUID under which the services logged the request, where one was made.
        status_code: The HTTP status that the failing service answered, where it answered.
        is_retryable: Whether the same call may succeed later, nothing else having changed.
    """

    def __init__(
        self,
        error: str,
        error_description: str,
        *,
        correlation_id: str | None = None,
        status_code: int | None = None,
        is_retryable: bool = False,
    ) -> None:
        """Describe the failure; see the class for the meaning of each argument."""
        super().__init__(error, error_description)
        self.error = error
        self.error_description = error_description
        self.correlation_id = correlation_id
        self.status_code = status_code
        self.is_retryable = is_retryable

    def __str__(self) -> str:
        """Return code, description and, where known, the correlation id."""
        suffix = f" (correlation id {self.correlation_id})" if self.correlation_id else ""
        return f"{self.error}: {self.error_description}{suffix}"


class MsiV2ClientError(MsiV2Error):
    """The environment or the request is wrong; the same call will fail again."""


class MsiV2ServiceError(MsiV2Error):
    """IMDS, the token service, the attestation service or the TLS connection failed.

    Attributes:
        error_codes: The numeric AADSTS codes that the token service gave, e.g. ``(7000215,)``.
        stands_for: For how many seconds the token service wants to be left alone.
    """

    error_codes: tuple[int, ...] = ()
    stands_for: float = 0.0


class AttestationError(MsiV2ServiceError):
    """The key could not be attested.

    Attributes:
        native_error_code: What ``AttestationClientLib.dll`` returned, where it was reached.
    """

    native_error_code: int | None = None


class KeyVaultError(MsiV2ServiceError):
    """Key Vault did not give a certificate, or did not sign.

    Attributes:
        permission: What the caller lacks, e.g. ``"keys/sign"``, where that is the reason.
        reason: Key Vault's own code, e.g. ``"ForbiddenByRbac"``, where it gave one.
    """

    permission: str | None = None
    reason: str | None = None


class TransportFailure(enum.Enum):
    """Where below HTTP a request failed."""

    CONNECT = "connect"
    """Name resolution or TCP: the request never left."""
    PROXY = "proxy"
    """The proxy refused, or could not be reached: the request never left.

    WinHTTP tells only that the proxy asks for a login; else it is ``CONNECT``.
    """
    CONNECT_TIMEOUT = "connect_timeout"
    """No connection within the connect timeout: the request never left."""
    READ_TIMEOUT = "read_timeout"
    """No answer within the read timeout."""
    SERVER_CERTIFICATE = "server_certificate"
    """We refused the server's certificate; the request never left."""
    HANDSHAKE = "handshake"
    """The peer refused the TLS handshake, most often because of our certificate."""
    BROKEN = "broken"
    """The connection broke, or what came back is not HTTP."""


class TransportError(MsiV2ServiceError):
    """No HTTP answer came back.

    Attributes:
        failure: Where it failed.
    """

    def __init__(
        self,
        failure: TransportFailure,
        error_description: str,
        *,
        correlation_id: str | None = None,
    ) -> None:
        """Derive the code and ``is_retryable`` from where it failed."""
        timed_out = failure in {TransportFailure.CONNECT_TIMEOUT, TransportFailure.READ_TIMEOUT}
        super().__init__(
            "request_timeout" if timed_out else "managed_identity_unreachable_network",
            error_description,
            correlation_id=correlation_id,
            is_retryable=failure is not TransportFailure.SERVER_CERTIFICATE,
        )
        self.failure = failure

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the arguments of this class, not by those of its base."""
        return type(self), (self.failure, self.error_description), self.__dict__
