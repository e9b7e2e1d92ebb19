"""Assertions signed by a key in Key Vault whose certificate the caller knows: one call each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msal_msi_v2._base64 import b64url_decode
from msal_msi_v2.errors import MsiV2ClientError

from .base import Signer, SigningAssertion
from .certificate import signing_certificate, thumbprint_header
from .jwt import check_algorithm
from .rest import VaultConnection
from .vault import parse_key_id, sign

if TYPE_CHECKING:
    import requests

    from msal_msi_v2.clock import Clock

    from .certificate import CertificateLike, SigningCertificate
    from .jwt import Algorithm


class KeyVaultKeyAssertion(SigningAssertion):
    """A client assertion signed by one version of a key in Key Vault.

    Nothing but the signature is asked of the vault. With ``certificate`` each signature is checked
    before it is used; with a thumbprint alone, only what the vault says of the key that signed is,
    and Entra is the first to notice that the thumbprint is of another version (AADSTS700027).
    """

    def __init__(
        self,
        key_id: str,
        credential: Any,
        *,
        thumbprint_sha256: str | None = None,
        thumbprint: str | None = None,
        certificate: CertificateLike | None = None,
        algorithm: Algorithm = "PS256",
        resource: str | None = None,
        http_client: requests.Session | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Keep what to sign with. Nothing is sent yet.

        Args:
            key_id: ``https://{vault}/keys/{name}/{version}``.
            credential: What opens the vault; see ``KeyVaultCertificateAssertion``.
            thumbprint_sha256: SHA-256 of the certificate's DER, base64url or hex.
            thumbprint: SHA-1 of it, hex (as the portal shows it) or base64url; for ``"RS256"``
                only.
            certificate: The certificate itself; exactly one of the three is given.
            algorithm: ``"PS256"`` with ``x5t#S256``, or ``"RS256"`` with ``x5t``.
            resource: See ``KeyVaultCertificateAssertion``.
            http_client: See ``KeyVaultCertificateAssertion``.
            clock: Tells the time and waits, in tests.

        Raises:
            MsiV2ClientError: ``invalid_request``: an argument is wrong.
        """
        super().__init__(clock)
        check_algorithm(algorithm)
        if [thumbprint_sha256, thumbprint, certificate].count(None) != 2:  # noqa: PLR2004 - of three
            raise MsiV2ClientError(
                "invalid_request",
                "Name the certificate in one way: thumbprint_sha256, thumbprint or certificate.",
            )
        self._key_id = parse_key_id(key_id)
        self._algorithm: Algorithm = algorithm
        self._certificate: SigningCertificate | None = None
        if certificate is not None:
            self._certificate = signing_certificate(certificate)
            header = self._certificate.header(algorithm, send_x5c=False)
        else:
            header = _header(algorithm, thumbprint_sha256, thumbprint)
        self._connection = VaultConnection(
            self._key_id.vault_url,
            credential,
            resource=resource,
            http_client=http_client,
            clock=self._clock,
        )
        self._only_signer = Signer(self._key_id.version, header, self._sign)

    def _signer(self) -> Signer:
        return self._only_signer

    def _sign(self, signed: bytes) -> bytes:
        signature = sign(self._connection, self._key_id, signed, self._algorithm)
        if self._certificate is not None:
            self._certificate.check(signature, signed, self._algorithm)
        return signature


def _header(algorithm: Algorithm, sha256: str | None, sha1: str | None) -> dict[str, Any]:
    if sha256 is not None:
        return thumbprint_header(algorithm, sha1=None, sha256=_decode(sha256, 32))
    if algorithm != "RS256":
        raise MsiV2ClientError(
            "invalid_request",
            "PS256 names the certificate by its SHA-256: pass thumbprint_sha256 in place of "
            "thumbprint, or algorithm='RS256'.",
        )
    return thumbprint_header(algorithm, sha1=_decode(sha1, 20), sha256=None)


def _decode(text: str | None, size: int) -> bytes:
    """Read a thumbprint, hex (perhaps with colons) or base64url."""
    compact = text.replace(":", "").strip() if isinstance(text, str) else ""
    try:
        if re.fullmatch(rf"[0-9A-Fa-f]{{{2 * size}}}", compact):
            return bytes.fromhex(compact)
        decoded = b64url_decode(compact.rstrip("="))
    except ValueError:
        decoded = b""
    if len(decoded) != size:
        raise MsiV2ClientError(
            "invalid_request", f"{text!r} is no thumbprint: {size} bytes in hex or base64url."
        )
    return decoded
