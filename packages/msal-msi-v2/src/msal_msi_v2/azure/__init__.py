"""Bound tokens for the Azure SDK: a credential, and the transport that its clients need for them.

Needs the extra ``azure``. ``msal_msi_v2.azure.aio`` has the asynchronous credential.
"""

from __future__ import annotations

try:
    from .credential import MsiV2Credential
except ImportError as exc:
    raise ImportError(
        f'msal_msi_v2.azure needs azure-core: pip install "msal-msi-v2[azure]" ({exc})'
    ) from exc

__all__ = ["MsiV2Credential"]
