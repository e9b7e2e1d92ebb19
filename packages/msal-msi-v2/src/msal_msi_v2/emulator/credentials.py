"""Issues binding certificates as IMDS does: from a CSR, and again from its own cache."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from .authority import IssuingAuthority
from .jwts import public_jwk, thumbprint

if TYPE_CHECKING:
    from .clock import Clock
    from .faults import IssuedCertificate


class CredentialIssuer:
    """The part of IMDS that holds certificates. Safe to use from many threads."""

    def __init__(self, authority: IssuingAuthority, clock: Clock, lifetime: float) -> None:
        """Set up an empty cache.

        Args:
            authority: Issues the certificates.
            clock: The services' clock.
            lifetime: Of a certificate, in seconds.
        """
        self._authority = authority
        self._clock = clock
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._cache: dict[tuple[object, ...], x509.Certificate] = {}

    def issue(
        self,
        subject: x509.Name,
        key: rsa.RSAPublicKey,
        *,
        attested: bool,
        bypass_cache: bool,
    ) -> x509.Certificate:
        """Return a certificate over a key: the last one, while more than half its life remains.

        Args:
            subject: The CSR's subject.
            key: The CSR's key.
            attested: Whether an attestation token came with the CSR.
            bypass_cache: Issue a new one in any case.
        """
        name = (subject, thumbprint(public_jwk(key)), attested)
        now = self._clock.now()
        with self._lock:
            certificate = None if bypass_cache else self._cache.get(name)
            if certificate is None or _is_past_half_life(certificate, now):
                certificate = self._authority.issue(
                    subject, key, start=now, lifetime=self._lifetime
                )
                self._cache[name] = certificate
            return certificate

    def issue_faulty(
        self, subject: x509.Name, key: rsa.RSAPublicKey, fault: IssuedCertificate
    ) -> x509.Certificate:
        """Return a new certificate that is as a fault wants it, and forget it."""
        now = self._clock.now()
        authority = self._authority
        if fault.issuer == "other":
            authority = IssuingAuthority("unknown-issuer.invalid", now)
        if fault.key == "other":
            key = rsa.generate_private_key(65537, 2048).public_key()
        replaced = {
            NameOID.DOMAIN_COMPONENT: fault.domain_component,
            NameOID.COMMON_NAME: fault.common_name,
        }
        subject = x509.Name(
            x509.NameAttribute(part.oid, replaced[part.oid] or part.value) for part in subject
        )
        lifetime = self._lifetime if fault.lifetime is None else fault.lifetime
        return authority.issue(subject, key, start=now + fault.not_before, lifetime=lifetime)


def _is_past_half_life(certificate: x509.Certificate, now: float) -> bool:
    start = certificate.not_valid_before_utc.timestamp()
    end = certificate.not_valid_after_utc.timestamp()
    return end - now <= (end - start) / 2
