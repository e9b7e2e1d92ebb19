"""The strict examination of a certificate signing request, by means of its own."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY_BITS = 2048
_SALT_BYTES = 32
_CU_ID_OID = "1.3.6.1.4.1.311.90.2.10"
_CU_ID_OID_DER = bytes.fromhex("060a2b0601040182375a020a")
_UTF8_STRING, _SEQUENCE, _SET, _ATTRIBUTES = 0x0C, 0x30, 0x31, 0xA0


class BadSigningRequest(Exception):  # noqa: N818 - a verdict; IMDS words the error
    """A rule about signing requests is broken; the message says which."""


def examine(
    text: object, *, tenant_id: str, client_id: str, cu_id: Mapping[str, str]
) -> tuple[rsa.RSAPublicKey, x509.Name]:
    """Return key and subject of a signing request that keeps every rule.

    Args:
        text: The member ``csr``: base64 of the DER on one line, no armour.
        tenant_id: The DC that the subject must begin with.
        client_id: The CN that the subject must end with.
        cu_id: The compute-unit id that the one attribute must hold, members in order.

    Raises:
        BadSigningRequest: It breaks a rule.
    """
    request = _parse(text)
    key = _examine_key(request)
    _examine_signature(request, key)
    _examine_subject(request.subject, tenant_id, client_id)
    _examine_attribute(request, cu_id)
    return key, request.subject


def _parse(text: object) -> x509.CertificateSigningRequest:
    if not isinstance(text, str):
        raise BadSigningRequest("csr must be a text.")
    try:
        return x509.load_der_x509_csr(base64.b64decode(text, validate=True))
    except binascii.Error as exc:
        raise BadSigningRequest("csr must be base64 on one line, without armour.") from exc
    except ValueError as exc:
        raise BadSigningRequest("csr is not the DER of a PKCS#10 request.") from exc


def _examine_key(request: x509.CertificateSigningRequest) -> rsa.RSAPublicKey:
    key = request.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != _KEY_BITS:
        raise BadSigningRequest(f"The key must be RSA of {_KEY_BITS} bits.")
    return key


def _examine_signature(request: x509.CertificateSigningRequest, key: rsa.RSAPublicKey) -> None:
    """Check the signature against what the request declares, and against what it must be."""
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=_SALT_BYTES)
    try:
        is_as_declared = request.is_signature_valid
        key.verify(request.signature, request.tbs_certrequest_bytes, pss, hashes.SHA256())
    except (InvalidSignature, ValueError) as exc:
        raise BadSigningRequest(
            "The signature must be RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes."
        ) from exc
    if not is_as_declared:
        raise BadSigningRequest("The signature is not of the algorithm that the request declares.")


def _examine_subject(subject: x509.Name, tenant_id: str, client_id: str) -> None:
    """Check names, values and their order in the DER."""
    expected = [(NameOID.DOMAIN_COMPONENT, tenant_id), (NameOID.COMMON_NAME, client_id)]
    found = [[(part.oid, part.value) for part in rdn] for rdn in subject.rdns]
    if found != [[part] for part in expected]:
        raise BadSigningRequest(
            "The subject must be DC=<tenant id> and then CN=<client id>, as metadata named them."
        )


def _examine_attribute(request: x509.CertificateSigningRequest, cu_id: Mapping[str, str]) -> None:
    try:
        attributes = [(one.oid.dotted_string, one.value) for one in request.attributes]
    except ValueError as exc:
        raise BadSigningRequest("The attributes cannot be read.") from exc
    if [oid for oid, _ in attributes] != [_CU_ID_OID]:
        raise BadSigningRequest(f"There must be exactly one attribute, {_CU_ID_OID}.")
    expected = json.dumps(cu_id, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    if attributes[0][1] != expected:
        raise BadSigningRequest(
            "The attribute must hold the compact JSON of cuId as metadata told it, "
            "members in the order vmId, vmssId."
        )
    # Attributes are the last part of what is signed, so that their exact DER can be looked for.
    values = _der(_SET, _der(_UTF8_STRING, expected))
    attribute = _der(_ATTRIBUTES, _der(_SEQUENCE, _CU_ID_OID_DER + values))
    if not request.tbs_certrequest_bytes.endswith(attribute):
        raise BadSigningRequest("The attribute's value must be a UTF8String.")


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - the short form of a length (X.690 §8.1.3.4)
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
