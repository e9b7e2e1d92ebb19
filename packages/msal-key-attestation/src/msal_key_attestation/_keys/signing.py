"""Signatures of a key that NCrypt holds: padding, digest, and the public key to check them with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding as asym_padding
from cryptography.hazmat.primitives.asymmetric import rsa, utils

from msal_key_attestation._native.constants import (
    BCRYPT_RSAPUBLIC_BLOB,
    KeyBlob,
    NCryptFlag,
    NteStatus,
)
from msal_key_attestation._native.libs import ffi, ncrypt
from msal_key_attestation._native.status import call_error, check_status

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

_CNG_NAMES = {"sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}


class Digest(NamedTuple):
    """What is signed: a digest, and what made it."""

    value: bytes
    algorithm: hashes.HashAlgorithm


def digest_of(data: Any, algorithm: Any) -> Digest:
    """Return the digest of some data, or the data itself where the caller has hashed it.

    Raises:
        UnsupportedAlgorithm: The algorithm is not SHA-256, SHA-384 or SHA-512.
        ValueError: The caller's digest has another length than the algorithm's.
    """
    prehashed = isinstance(algorithm, utils.Prehashed)
    # pyca hands this out to its own back end only.
    kind = algorithm._algorithm if prehashed else algorithm  # noqa: SLF001
    if not isinstance(kind, hashes.HashAlgorithm) or kind.name not in _CNG_NAMES:
        raise UnsupportedAlgorithm(f"{kind!r} is not SHA-256, SHA-384 or SHA-512")
    if not prehashed:
        hasher = hashes.Hash(kind)
        hasher.update(data)
        return Digest(hasher.finalize(), kind)
    value = bytes(data)
    if len(value) != kind.digest_size:
        raise ValueError(f"a {kind.name} digest has {kind.digest_size} bytes, this {len(value)}")
    return Digest(value, kind)


def sign_digest(
    handle: int, digest: Digest, padding: AsymmetricPadding, public_key: rsa.RSAPublicKey
) -> bytes:
    """Sign a digest with the key behind a handle.

    Raises:
        NativeCallError: The key did not sign.
        UnsupportedAlgorithm: The padding is neither PSS over the digest's own hash nor PKCS#1 v1.5.
    """
    name = ffi.new("WCHAR[]", _CNG_NAMES[digest.algorithm.name])
    if isinstance(padding, asym_padding.PKCS1v15):
        info, flag = ffi.new("BCRYPT_PKCS1_PADDING_INFO *"), NCryptFlag.NCRYPT_PAD_PKCS1_FLAG
    else:
        info, flag = ffi.new("BCRYPT_PSS_PADDING_INFO *"), NCryptFlag.NCRYPT_PAD_PSS_FLAG
        info.cbSalt = _salt_length(padding, digest.algorithm, public_key)
    info.pszAlgId = name
    size = (public_key.key_size + 7) // 8
    signature, written = ffi.new("BYTE[]", size), ffi.new("DWORD *")
    status = ncrypt().NCryptSignHash(
        handle,
        info,
        ffi.from_buffer("BYTE[]", digest.value),
        len(digest.value),
        signature,
        size,
        written,
        flag | NCryptFlag.NCRYPT_SILENT_FLAG,
    )
    check_status("NCryptSignHash", status)
    return bytes(ffi.buffer(signature, written[0]))


def export_public_key(handle: int) -> rsa.RSAPublicKey:
    """Return the public half of the RSA key behind an ``NCRYPT_KEY_HANDLE``.

    Raises:
        NativeCallError: There is no key behind the handle, or no RSA key.
    """
    blob = _call_for_bytes(
        "NCryptExportKey",
        lambda buffer, size, needed: ncrypt().NCryptExportKey(
            handle, 0, BCRYPT_RSAPUBLIC_BLOB, ffi.NULL, buffer, size, needed, 0
        ),
    )
    header = ffi.new("BCRYPT_RSAKEY_BLOB *")
    start = ffi.sizeof("BCRYPT_RSAKEY_BLOB")
    ffi.memmove(header, blob[:start].ljust(start, b"\0"), start)
    if header.Magic != KeyBlob.BCRYPT_RSAPUBLIC_MAGIC:
        raise call_error("NCryptExportKey", NteStatus.NTE_NOT_SUPPORTED)
    middle = start + header.cbPublicExp
    exponent = int.from_bytes(blob[start:middle], "big")
    modulus = int.from_bytes(blob[middle : middle + header.cbModulus], "big")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as exc:
        raise call_error("NCryptExportKey", NteStatus.NTE_NOT_SUPPORTED) from exc


def _salt_length(
    padding: AsymmetricPadding, algorithm: hashes.HashAlgorithm, public_key: rsa.RSAPublicKey
) -> int:
    if not isinstance(padding, asym_padding.PSS):
        raise UnsupportedAlgorithm(f"{padding.name} is neither PSS nor PKCS#1 v1.5")
    # pyca hands these two out to its own back end only.
    mask_hash, length = padding.mgf._algorithm, padding._salt_length  # noqa: SLF001
    if mask_hash.name != algorithm.name:
        raise UnsupportedAlgorithm("CNG masks with the hash that it signs, and no other")
    if isinstance(length, int):
        return length
    if length is asym_padding.PSS.DIGEST_LENGTH:
        return algorithm.digest_size
    if length is asym_padding.PSS.MAX_LENGTH:
        return asym_padding.calculate_max_pss_salt_length(public_key, algorithm)
    raise ValueError("the salt length can be left open only when a signature is checked")


def _call_for_bytes(api: str, call: Callable[[Any, int, Any], int]) -> bytes:
    """Ask how many bytes there are, then for the bytes."""
    needed = ffi.new("DWORD *")
    check_status(api, call(ffi.NULL, 0, needed))
    buffer = ffi.new("BYTE[]", needed[0])
    check_status(api, call(buffer, needed[0], needed))
    return bytes(ffi.buffer(buffer, needed[0]))
