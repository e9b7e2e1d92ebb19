"""The certificate signing request (PKCS#10, RFC 2986) that IMDS v2 wants."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from .messages import malformed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from .metadata import ComputeUnit, PlatformMetadata

CUID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.311.90.2.10")
_SALT_LENGTH = 32
_LONGEST_COMMON_NAME = 64  # X.520, ub-common-name
_OK = 200


def build_csr(key: rsa.RSAPrivateKey, metadata: PlatformMetadata) -> str:
    """Return a request over a key for the identity and machine of the metadata.

    The subject is ``DC={tenant}`` then ``CN={client}`` in DER order, the one attribute is the
    compute unit's id, and the signature is RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a
    salt of 32 bytes. Any subclass of pyca's key class will do: only its ``sign()`` and
    ``public_key()`` are used, so a key that cannot be exported works.

    Returns:
        Base64 of the DER, padded, on one line, without PEM armour.

    Raises:
        MsiV2ServiceError: ``managed_identity_request_failed``: the client id does not fit
            into a common name.
    """
    if len(metadata.client_id) > _LONGEST_COMMON_NAME:
        raise malformed("platform metadata", "names a client that fits no certificate", _OK)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, metadata.tenant_id),
            x509.NameAttribute(NameOID.COMMON_NAME, metadata.client_id),
        ]
    )
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_attribute(CUID_OID, compute_unit_json(metadata.compute_unit).encode("ascii"))
        .sign(
            key,
            hashes.SHA256(),
            rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), _SALT_LENGTH),
        )
    )
    return base64.b64encode(csr.public_bytes(Encoding.DER)).decode("ascii")


def compute_unit_json(compute_unit: ComputeUnit) -> str:
    """Return compact JSON of a compute unit: ``vmId``, ``vmssId``, absent ones left out."""
    members = {"vmId": compute_unit.vm_id, "vmssId": compute_unit.vmss_id}
    present = {name: value for name, value in members.items() if value is not None}
    return json.dumps(present, separators=(",", ":"))
