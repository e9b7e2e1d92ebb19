"""Managed identity tokens that are bound to a key which cannot leave the machine (MSI v2)."""

__version__ = "0.1.0"
