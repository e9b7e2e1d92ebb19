"""The platform that every machine with Python offers: a key in this process's memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from .fork import renew_after_fork
from .platforms import BindingKey
from .strength import MtlsBindingStrength

if TYPE_CHECKING:
    from .errors import MsiV2ClientError

KEY_BITS = 2048
_PUBLIC_EXPONENT = 65537


class SoftwareKeyStore:
    """A ``KeyStore`` whose one key lives, and dies, with the process."""

    def __init__(
        self,
        strength: MtlsBindingStrength = MtlsBindingStrength.SOFTWARE,
        unavailable: tuple[str, ...] = (),
    ) -> None:
        """Describe the key to be.

        Args:
            strength: What the key counts as; anything but ``SOFTWARE`` is for emulated hosts.
            unavailable: Why stronger kinds were not to be had, a sentence each.
        """
        self._strength = strength
        self._unavailable = unavailable
        self._key: BindingKey | None = None
        self.renew_after_fork()
        renew_after_fork(self)

    def renew_after_fork(self) -> None:
        """Take a new lock; the key stays good."""
        self._lock = threading.Lock()

    def get_key(self) -> BindingKey:
        """Return the key, which the first call makes."""
        with self._lock:
            if self._key is None:
                private_key = rsa.generate_private_key(_PUBLIC_EXPONENT, KEY_BITS)
                self._key = BindingKey(private_key, self._strength, self._unavailable)
            return self._key


class SoftwarePlatform:
    """A ``Platform`` of software keys: nothing to attest with, nothing kept across processes.

    Attributes:
        attestation_unavailable: Why the host offers no attestation; the error to raise.
    """

    attestor = None
    transport = None
    certificate_store = None

    def __init__(self, attestation_unavailable: MsiV2ClientError) -> None:
        self.attestation_unavailable = attestation_unavailable
        self.key_store = SoftwareKeyStore(
            unavailable=(f"KeyGuard: {attestation_unavailable.error_description}",)
        )
