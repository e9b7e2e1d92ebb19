"""One short message over a binding transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msal_msi_v2.protocol.messages import Request, Response, read_body

if TYPE_CHECKING:
    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import BindingTransport, Timeout


def exchange(
    request: Request,
    transport: BindingTransport,
    certificate: BindingCertificate,
    timeout: Timeout,
) -> Response:
    """Send a request, presenting a certificate, and read the whole answer, whatever its status.

    Raises:
        MsiV2ServiceError: ``managed_identity_request_failed``: the answer is too long.
        TransportError: No answer came back.
    """
    answer = transport.request(
        request.method,
        request.url,
        certificate=certificate,
        headers=tuple(request.headers.items()),
        body=request.body.encode("utf-8") if request.body is not None else None,
        timeout=timeout,
    )
    try:
        body = read_body(answer.iter_bytes(), "The token service", answer.status)
    finally:
        answer.close()
    headers = {name.lower(): value for name, value in answer.headers}
    return Response(answer.status, headers, body)
