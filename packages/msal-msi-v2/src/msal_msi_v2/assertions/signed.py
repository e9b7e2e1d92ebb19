"""Assertions signed by a key that the caller has: in an HSM, a smart card, KeyGuard or memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from cryptography.hazmat.primitives import hashes

from .base import Signer, SigningAssertion
from .certificate import signing_certificate
from .jwt import check_algorithm, padding_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

    from msal_msi_v2.clock import Clock

    from .certificate import CertificateLike
    from .jwt import Algorithm


class RsaSigner(Protocol):
    """Whatever signs as pyca's ``rsa.RSAPrivateKey`` does."""

    def sign(self, data: bytes, padding: AsymmetricPadding, algorithm: Any) -> bytes:
        """Return the signature over some data."""


class SignedAssertion(SigningAssertion):
    """A client assertion signed by any RSA key that can sign.

    The key may be a ``BindingCertificate``'s ``private_key`` (KeyGuard, TPM), one behind PKCS#11,
    or any object with pyca's ``sign(data, padding, algorithm)``.
    """

    def __init__(
        self,
        signer: RsaSigner,
        certificate: CertificateLike,
        *,
        algorithm: Algorithm = "PS256",
        send_x5c: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Keep key and certificate.

        Args:
            signer: The key.
            certificate: Its certificate, registered with the application: PEM, DER, a
                ``BindingCertificate`` or pyca's ``x509.Certificate``.
            algorithm: ``"PS256"`` with ``x5t#S256``, or ``"RS256"`` with ``x5t``.
            send_x5c: Send the certificate itself too, for applications that trust its issuer and
                subject name; without its issuers.
            clock: Tells the time, in tests.

        Raises:
            MsiV2ClientError: ``invalid_request``: an argument is wrong.
        """
        super().__init__(clock)
        check_algorithm(algorithm)
        self._key = signer
        self._certificate = signing_certificate(certificate)
        self._algorithm: Algorithm = algorithm
        header = self._certificate.header(algorithm, send_x5c=send_x5c)
        self._only_signer = Signer("", header, self._sign)

    def _signer(self) -> Signer:
        return self._only_signer

    def _sign(self, signed: bytes) -> bytes:
        signature = self._key.sign(signed, padding_of(self._algorithm), hashes.SHA256())
        self._certificate.check(signature, signed, self._algorithm)
        return signature
