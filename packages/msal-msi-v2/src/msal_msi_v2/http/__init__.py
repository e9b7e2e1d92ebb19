"""HTTPS that presents a binding certificate, for requests."""

from .adapter import MtlsAdapter

__all__ = ["MtlsAdapter"]
