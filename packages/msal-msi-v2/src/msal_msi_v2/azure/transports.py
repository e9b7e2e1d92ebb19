"""The Azure SDK's transport, with which a token stays at the origin that it was first sent to."""

from __future__ import annotations

from typing import Any

from azure.core.pipeline.policies import SensitiveHeaderCleanupPolicy
from azure.core.pipeline.transport import RequestsTransport

from msal_msi_v2.http.adapter import origin_of

_REDIRECTED_BY = "_msal_msi_v2_redirected_by"
_HAS_LEFT = "_msal_msi_v2_has_left"


class BoundTransport(RequestsTransport):  # type: ignore[misc]  # which azure-core loads lazily
    """Sends with a session of ours; see ``keep_tokens_here`` for redirects."""

    def send(self, request: Any, **kwargs: Any) -> Any:
        """Send a request; see ``azure.core.pipeline.transport.RequestsTransport.send``."""
        keep_tokens_here(request)
        response = super().send(request, **kwargs)
        note_redirect(request, response)
        return response


def keep_tokens_here(request: Any) -> None:
    """Take the tokens out of a request that a redirect has led to another origin.

    The SDK's redirect policy writes the new URL into the request that was answered with the
    redirect, and a policy below it may put the token back in. Hosts that change otherwise, as
    Storage's retry policy has it for an account's secondary, are the SDK's own choice.

    Args:
        request: The SDK's request, of either kind.
    """
    marks = vars(request)
    redirected_by = marks.pop(_REDIRECTED_BY, None)
    if redirected_by not in {None, origin_of(request.url)}:
        marks[_HAS_LEFT] = True  # for good, wherever the next redirect leads
    if _HAS_LEFT in marks:
        for name in SensitiveHeaderCleanupPolicy.DEFAULT_SENSITIVE_HEADERS:
            request.headers.pop(name, None)


def note_redirect(request: Any, response: Any) -> None:
    """Remember which origin has named another place to a request, if it did."""
    if "location" in response.headers:
        vars(request)[_REDIRECTED_BY] = origin_of(request.url)
