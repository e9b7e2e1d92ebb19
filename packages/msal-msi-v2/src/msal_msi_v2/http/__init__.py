"""HTTPS that presents a binding certificate, for requests and for httpx.

``MtlsTransport`` and ``AsyncMtlsTransport`` need the extra ``httpx``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .adapter import MtlsAdapter

if TYPE_CHECKING:
    from .httpx_transport import AsyncMtlsTransport, MtlsTransport

__all__ = ["AsyncMtlsTransport", "MtlsAdapter", "MtlsTransport"]


def __getattr__(name: str) -> Any:
    """Load httpx when it is used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import httpx_transport  # noqa: PLC0415 - httpx is an extra
    except ImportError as exc:
        raise ImportError(f'{name} needs httpx: pip install "msal-msi-v2[httpx]" ({exc})') from exc
    return getattr(httpx_transport, name)
