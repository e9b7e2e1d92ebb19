"""A whole Azure host on loopback, to develop and test against.

``MsiV2Emulator`` serves IMDS v1 and v2, an attestation service (MAA), a token service and a
resource with mutual TLS, a login service for applications, and a Key Vault, each on a free port
of its own. It checks what it is sent as strictly as Azure does, or more so, and says in its answer
and in the log (``msal_msi_v2.emulator``) which rule was broken. As a pytest fixture::

    import pytest
    from msal_msi_v2.emulator import MsiV2Emulator

    @pytest.fixture
    def azure(monkeypatch):
        with MsiV2Emulator() as emulator:
            for name, value in emulator.environment.items():
                monkeypatch.setenv(name, value)
            yield emulator

    def test_my_app_recovers_from_a_revoked_certificate(azure):
        client = ManagedIdentityClient(
            msal.SystemAssignedManagedIdentity(),
            http_client=requests.Session(),
            platform=azure.keyguard_platform(),  # attested keys, in software
        )
        ...
        azure.revoke_all()
        ...
        assert [one.status for one in azure.requests_to("token")] == [200, 401, 200]

What is to go wrong is told beforehand, leg by leg::

    azure.faults.add("metadata", Status(503), times=2)
    azure.faults.add("token", Drop(after_bytes=10))
    azure.clock_offset = 8 * 86400  # every certificate has expired

It is for tests: its keys protect nothing, and its services are not for other machines.
"""

from __future__ import annotations

try:
    import jwt as _jwt  # noqa: F401 - only whether it is there
    import OpenSSL as _OpenSSL  # noqa: F401 - the same
    import trustme as _trustme  # noqa: F401 - the same
    import werkzeug as _werkzeug  # noqa: F401 - the same
except ImportError as exc:
    distribution = {"jwt": "PyJWT", "OpenSSL": "pyOpenSSL"}.get(exc.name or "", exc.name)
    raise ImportError(
        f"The emulator needs {distribution}, which is not installed: "
        'pip install "msal-msi-v2[emulator]"'
    ) from exc

from .applications import Application, FederatedCredential
from .faults import (
    LEGS,
    Body,
    Delay,
    Drop,
    Fault,
    Faults,
    IssuedCertificate,
    OAuthError,
    OpaqueToken,
    Status,
    WrongCnf,
)
from .host import MsiV2Emulator
from .keyguard import EmulatedPlatform
from .profile import Identity
from .recording import RecordedRequest
from .vault import PERMISSIONS
from .vault_keys import VaultCertificate

__all__ = [
    "LEGS",
    "PERMISSIONS",
    "Application",
    "Body",
    "Delay",
    "Drop",
    "EmulatedPlatform",
    "Fault",
    "Faults",
    "FederatedCredential",
    "Identity",
    "IssuedCertificate",
    "MsiV2Emulator",
    "OAuthError",
    "OpaqueToken",
    "RecordedRequest",
    "Status",
    "VaultCertificate",
    "WrongCnf",
]
