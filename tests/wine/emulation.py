"""An emulator of this side that programs under Wine can use."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from msal_msi_v2.emulator import MsiV2Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

_P256_BITS = 256


@contextmanager
def running_emulator() -> Iterator[MsiV2Emulator]:
    """Start an emulator whose servers Wine believes, and whose attestation is in plain HTTP.

    Wine 8 refuses an ECDSA signature with a number that is shorter than the curve's: one in 128.
    So another emulator is started when a certificate of this one is so signed.
    """
    while True:
        with MsiV2Emulator() as emulator:
            if all(map(_is_believed, _certificates(emulator))):
                emulator.attestation_endpoint = emulator.attestation_plain_url
                yield emulator
                return


def _certificates(emulator: MsiV2Emulator) -> Iterator[x509.Certificate]:
    yield from x509.load_pem_x509_certificates(Path(emulator.ca_bundle).read_bytes())
    url = urlsplit(emulator.attestation_url)
    pem = ssl.get_server_certificate((url.hostname or "", url.port or 0))
    yield x509.load_pem_x509_certificate(pem.encode())


def _is_believed(certificate: x509.Certificate) -> bool:
    """Say whether Wine accepts a certificate's signature, which is by a key of its own kind."""
    if not isinstance(certificate.public_key(), ec.EllipticCurvePublicKey):
        return True
    numbers = decode_dss_signature(certificate.signature)
    return all(number.bit_length() > _P256_BITS - 8 for number in numbers)
