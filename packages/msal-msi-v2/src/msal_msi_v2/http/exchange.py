"""One short message over a binding transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msal_msi_v2.errors import MsiV2ServiceError
from msal_msi_v2.protocol.messages import LONGEST_BODY, REQUEST_FAILED, Request, Response

if TYPE_CHECKING:
    from msal_msi_v2.binding import BindingCertificate
    from msal_msi_v2.platforms import BindingTransport, Timeout, TransportResponse


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
        body = _read(answer)
    finally:
        answer.close()
    headers = {name.lower(): value for name, value in answer.headers}
    return Response(answer.status, headers, body)


def _read(answer: TransportResponse) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise MsiV2ServiceError(
                REQUEST_FAILED,
                f"The token service answered with more than {LONGEST_BODY} bytes, which is "
                "refused.",
                status_code=answer.status,
            )
    return bytes(body)
