"""A request's two handles, with every option that keeps WinHTTP from deciding anything itself."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from msal_key_attestation._native.constants import (
    WinHttpOption,
    WinHttpOptionValue,
    WinHttpRequestFlag,
)
from msal_key_attestation._native.handles import internet_handle
from msal_key_attestation._native.libs import CData, ffi, winhttp
from msal_key_attestation._native.status import check_result

from .failures import Progress
from .session import set_number
from .target import content_length, header_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from msal_msi_v2.platforms import Timeout

    from .session import Session
    from .target import Target

_FLAGS = (
    WinHttpRequestFlag.WINHTTP_FLAG_SECURE
    | WinHttpRequestFlag.WINHTTP_FLAG_ESCAPE_DISABLE
    | WinHttpRequestFlag.WINHTTP_FLAG_ESCAPE_DISABLE_QUERY
)
_NO_FEATURES = (
    WinHttpOptionValue.WINHTTP_DISABLE_COOKIES
    | WinHttpOptionValue.WINHTTP_DISABLE_REDIRECTS
    | WinHttpOptionValue.WINHTTP_DISABLE_AUTHENTICATION
)
_NUL_TERMINATED = 0xFFFFFFFF
_LONGEST_TIMEOUT = 0x7FFFFFFF


class Request:
    """A request that is ready to be sent; it owns its handles, and its share in the session.

    Attributes:
        target: Where it goes.
        length: The body's length in bytes, where the caller gave it as a header.
        is_head: Whether its answer has no body.
        progress: How far it has come.
    """

    def __init__(
        self,
        session: Session,
        method: str,
        target: Target,
        headers: Sequence[tuple[str, str]],
        timeout: Timeout,
        *,
        chunked: bool,
    ) -> None:
        """Open the handles; of the session, the caller's share is taken over.

        Args:
            session: Whose connections and certificate to use.
            method: E.g. ``"GET"``.
            target: Where it goes.
            headers: All of them, but those of the framing.
            timeout: For each step, in seconds.
            chunked: Whether the body comes in pieces.

        Raises:
            NativeCallError: Windows refused a handle or an option.
            MsiV2ClientError: A header cannot be sent.
        """
        self.target = target
        self.length = content_length(headers) if chunked else None
        self.is_head = method == "HEAD"
        self._timeout = timeout
        self._stack = ExitStack()
        self._stack.callback(session.release)
        try:
            block = header_block(_framed(headers, self.length, chunked=chunked))
            self.progress = self._stack.enter_context(Progress(timeout.connect))
            self._open(session, method)
            _set_options(self.handle, session, timeout)
            if block:
                self._add(block)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the handles, and give the share in the session back."""
        self._stack.close()

    def wait_for_answer(self) -> None:
        """Let the read timeout hold from here on; until the request is sent, TLS is to be set up.

        Raises:
            NativeCallError: Windows refused.
        """
        connect, read = _milliseconds(self._timeout.connect), _milliseconds(self._timeout.read)
        done = winhttp().WinHttpSetTimeouts(self.handle, connect, connect, read, read)
        check_result("WinHttpSetTimeouts", done)

    def _open(self, session: Session, method: str) -> None:
        connection = winhttp().WinHttpConnect(session.handle, self.target.host, self.target.port, 0)
        check_result("WinHttpConnect", connection)
        self._stack.enter_context(internet_handle(connection))
        request = winhttp().WinHttpOpenRequest(
            connection, method, self.target.path, ffi.NULL, ffi.NULL, ffi.NULL, _FLAGS
        )
        check_result("WinHttpOpenRequest", request)
        self._handle = self._stack.enter_context(internet_handle(request))

    @property
    def handle(self) -> CData:
        """The request's ``HINTERNET``."""
        return self._handle.value

    def _add(self, block: str) -> None:
        done = winhttp().WinHttpAddRequestHeaders(
            self.handle, block, _NUL_TERMINATED, WinHttpRequestFlag.WINHTTP_ADDREQ_FLAG_ADD
        )
        check_result("WinHttpAddRequestHeaders", done)


def _framed(
    headers: Sequence[tuple[str, str]], length: int | None, *, chunked: bool
) -> list[tuple[str, str]]:
    """Leave the length to WinHTTP, which adds it; say that the body is chunked where it is."""
    framed = [(name, value) for name, value in headers if name.lower() != "content-length"]
    if chunked and length is None:
        framed.append(("Transfer-Encoding", "chunked"))
    return framed


def _set_options(request: CData, session: Session, timeout: Timeout) -> None:
    connect, read = _milliseconds(timeout.connect), _milliseconds(timeout.read)
    done = winhttp().WinHttpSetTimeouts(request, connect, connect, connect, connect)
    check_result("WinHttpSetTimeouts", done)
    set_number(request, WinHttpOption.WINHTTP_OPTION_RECEIVE_RESPONSE_TIMEOUT, read)
    set_number(request, WinHttpOption.WINHTTP_OPTION_DISABLE_FEATURE, _NO_FEATURES)
    set_number(
        request,
        WinHttpOption.WINHTTP_OPTION_AUTOLOGON_POLICY,
        WinHttpOptionValue.WINHTTP_AUTOLOGON_SECURITY_LEVEL_HIGH,
    )
    option = WinHttpOption.WINHTTP_OPTION_CLIENT_CERT_CONTEXT
    context = session.certificate_context
    done = winhttp().WinHttpSetOption(request, option, context, ffi.sizeof("CERT_CONTEXT"))
    check_result(f"WinHttpSetOption({option.name})", done)


def _milliseconds(seconds: float) -> int:
    """Return a timeout for WinHTTP, to which 0 would mean to wait for ever."""
    return max(1, round(min(seconds * 1000, _LONGEST_TIMEOUT)))
