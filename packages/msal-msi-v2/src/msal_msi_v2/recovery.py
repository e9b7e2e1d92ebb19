"""What a new certificate may mend."""

from __future__ import annotations

from .errors import MsiV2ServiceError, TransportError, TransportFailure

_BINDING_CODES = range(1000610, 1000615)
"""The AADSTS codes that say that the attestation behind the binding certificate is of no use."""

_MOST_RENEWALS = 3
_TLS_FAILURES = {TransportFailure.HANDSHAKE, TransportFailure.BROKEN}


def renewals_allowed(error: MsiV2ServiceError, *, of_client: int = 1) -> int:
    """Return how many new certificates a failure of the token request is worth.

    A refused handshake may be about our certificate, and with TLS 1.3 the refusal arrives only
    when the answer is read, as a broken connection. That *we* refused the server's certificate is
    nothing that ours could mend.

    Args:
        error: The failure.
        of_client: How many, where the service refuses the client, and its codes say that neither
            certificate nor attestation are at fault.
    """
    if error.stands_for:
        return 0  # the service wants to be left alone
    if isinstance(error, TransportError):
        return 1 if error.failure in _TLS_FAILURES else 0
    if error.error != "invalid_client":
        return 0
    codes = error.error_codes
    about_binding = not codes or any(code in _BINDING_CODES for code in codes)
    return _MOST_RENEWALS if about_binding else of_client


def backoff(renewals: int, jitter: float) -> float:
    """Return how many seconds to wait before the next renewal.

    Args:
        renewals: How many there have been; the first one is not waited for.
        jitter: A random number from 0 to 1, so that a fleet does not come back all at once.
    """
    return 0.0 if renewals == 0 else 2.0 ** (renewals - 1) * (1.0 + jitter)
