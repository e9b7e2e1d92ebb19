"""Runs on Windows: adds certificates to CurrentUser\\ROOT, so that winhttp trusts their servers.

Wine reads the store once per process, so this is a program of its own that ends before those
that rely on it. Where Windows asks whether to trust a root, use LocalMachine instead.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cffi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_X509_ASN_ENCODING = 1
_REPLACE_EXISTING = 3

_ffi = cffi.FFI()
_ffi.cdef(
    """
    void *CertOpenSystemStoreW(uintptr_t provider, const char16_t *name);
    int32_t CertAddEncodedCertificateToStore(
        void *store, uint32_t encoding, const uint8_t *der, uint32_t size,
        uint32_t disposition, void **context);
    int32_t CertCloseStore(void *store, uint32_t flags);
    """
)


def trust(pem: Path) -> int:
    """Add all certificates of a PEM file, and return how many.

    Raises:
        OSError: Windows refused one.
    """
    crypt32: Any = _ffi.dlopen("crypt32.dll")
    certificates = x509.load_pem_x509_certificates(pem.read_bytes())
    store = crypt32.CertOpenSystemStoreW(0, "ROOT")
    for certificate in certificates:
        der = certificate.public_bytes(Encoding.DER)
        if not crypt32.CertAddEncodedCertificateToStore(
            store, _X509_ASN_ENCODING, der, len(der), _REPLACE_EXISTING, _ffi.NULL
        ):
            raise OSError(f"CurrentUser\\ROOT does not take a certificate of {pem}.")
    crypt32.CertCloseStore(store, 0)  # only now is it written
    return len(certificates)


if __name__ == "__main__":
    print("CA certificates trusted:", sum(trust(Path(argument)) for argument in sys.argv[1:]))
