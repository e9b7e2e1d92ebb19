"""What a client sends to have a key attested, and whether it proves anything."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .exchange import parse_object
from .guids import is_guid

_REQUIRED = {"jwk", "client_id", "client_payload"}
_KEY_BITS = 2048
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class BadEvidence(Exception):  # noqa: N818 - a verdict; the attestation service words the error
    """The evidence is malformed; the message says how."""


@dataclass(frozen=True)
class Evidence:
    """The evidence about a key.

    Attributes:
        key: The key.
        client_id: The managed identity's client id.
        client_payload: The text of a JSON object, which the JWT repeats.
        signed: What a proof signs: ``n`` and ``e`` as they were sent, joined by a dot.
        proof: A signature by the key; ``None``: none was sent.
    """

    key: rsa.RSAPublicKey
    client_id: str
    client_payload: str
    signed: bytes
    proof: bytes | None

    def is_proven_by(self, proof: bytes) -> bool:
        """Say whether a proof shows that the sender can use the private key.

        Either padding will do: what a key store offers differs.
        """
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
        return any(self._verifies(proof, scheme) for scheme in (padding.PKCS1v15(), pss))

    def _verifies(self, proof: bytes, scheme: padding.AsymmetricPadding) -> bool:
        try:
            self.key.verify(proof, self.signed, scheme, hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def parse_evidence(content: dict[str, Any]) -> Evidence:
    """Read the body of an attestation request.

    Raises:
        BadEvidence: It is malformed.
    """
    if not _REQUIRED <= content.keys() <= {*_REQUIRED, "proof"}:
        raise BadEvidence("The members are jwk, client_id, client_payload and, at most, proof.")
    client_id, jwk = content["client_id"], content["jwk"]
    if not isinstance(client_id, str) or not is_guid(client_id):
        raise BadEvidence("client_id must be a GUID.")
    _check_payload(content["client_payload"])
    key = _parse_key(jwk)
    proof = None
    if "proof" in content:
        try:
            proof = _decode(content["proof"])
        except ValueError as exc:
            raise BadEvidence("proof must be base64url of a signature.") from exc
    signed = f"{jwk['n']}.{jwk['e']}".encode("ascii")
    return Evidence(key, client_id, content["client_payload"], signed, proof)


def _check_payload(text: object) -> None:
    if not isinstance(text, str) or parse_object(text) is None:
        raise BadEvidence("client_payload must be the text of a JSON object.")


def _parse_key(jwk: object) -> rsa.RSAPublicKey:
    complaint = "jwk must be an RSA key of 2048 bits: exactly kty, n and e."
    if not isinstance(jwk, dict) or jwk.keys() != {"kty", "n", "e"} or jwk["kty"] != "RSA":
        raise BadEvidence(complaint)
    try:
        n, e = (int.from_bytes(_decode(jwk[name]), "big") for name in ("n", "e"))
        key = rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError as exc:
        raise BadEvidence(complaint) from exc
    if key.key_size != _KEY_BITS:
        raise BadEvidence(complaint)
    return key


def _decode(text: object) -> bytes:
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise ValueError("This is not base64url.")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc
