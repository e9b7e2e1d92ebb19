"""The Windows functions that the stand-ins' own tests call, declared apart from the product's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cffi
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

ffi = cffi.FFI()
ffi.cdef(
    """
    typedef struct { const char16_t *algorithm; uint32_t salt; } Padding;
    typedef struct { uint32_t magic, bits, exponent, modulus, prime1, prime2; } RsaBlob;

    uint32_t NCryptOpenStorageProvider(uintptr_t *, const char16_t *, uint32_t);
    uint32_t NCryptOpenKey(uintptr_t, uintptr_t *, const char16_t *, uint32_t, uint32_t);
    uint32_t NCryptCreatePersistedKey(
        uintptr_t, uintptr_t *, const char16_t *, const char16_t *, uint32_t, uint32_t);
    uint32_t NCryptSetProperty(uintptr_t, const char16_t *, void *, uint32_t, uint32_t);
    uint32_t NCryptGetProperty(
        uintptr_t, const char16_t *, void *, uint32_t, uint32_t *, uint32_t);
    uint32_t NCryptFinalizeKey(uintptr_t, uint32_t);
    uint32_t NCryptSignHash(
        uintptr_t, void *, const void *, uint32_t, void *, uint32_t, uint32_t *, uint32_t);
    uint32_t NCryptExportKey(
        uintptr_t, uintptr_t, const char16_t *, void *, void *, uint32_t, uint32_t *, uint32_t);
    uint32_t NCryptDeleteKey(uintptr_t, uint32_t);
    uint32_t NCryptFreeObject(uintptr_t);
    int32_t NCryptIsKeyHandle(uintptr_t);
    int32_t StandinOpenHandles(void);

    typedef void (*LogCallback)(
        void *, const char *, int32_t, const char *, int32_t, const char *);
    typedef struct { LogCallback log; void *context; } AttestationLogInfo;
    int32_t InitAttestationLib(AttestationLogInfo *);
    int32_t AttestKeyGuardImportKey(
        const char *, const char *, const char *, uintptr_t, char **, const char *);
    void FreeAttestationToken(char *);
    void UninitAttestationLib(void);
    int32_t StandinOutstandingTokens(void);

    typedef struct { uint32_t size; uintptr_t handle; uint32_t spec; } KeyContext;
    void *CertCreateCertificateContext(uint32_t, const uint8_t *, uint32_t);
    int32_t CertSetCertificateContextProperty(void *, uint32_t, uint32_t, const void *);
    int32_t CertFreeCertificateContext(void *);

    void *WinHttpOpen(
        const char16_t *, uint32_t, const char16_t *, const char16_t *, uint32_t);
    void *WinHttpConnect(void *, const char16_t *, uint16_t, uint32_t);
    void *WinHttpOpenRequest(
        void *, const char16_t *, const char16_t *, void *, void *, void *, uint32_t);
    int32_t WinHttpSetOption(void *, uint32_t, void *, uint32_t);
    int32_t WinHttpSendRequest(void *, void *, uint32_t, void *, uint32_t, uint32_t, uintptr_t);
    int32_t WinHttpReceiveResponse(void *, void *);
    int32_t WinHttpQueryHeaders(void *, uint32_t, void *, void *, uint32_t *, void *);
    int32_t WinHttpCloseHandle(void *);
    int32_t CryptReleaseContext(uintptr_t, uint32_t);
    uint32_t GetLastError(void);
    """
)

SOFTWARE = "Microsoft Software Key Storage Provider"
PLATFORM = "Microsoft Platform Crypto Provider"
SILENT, OVERWRITE, ISOLATED, PER_BOOT = 0x40, 0x80, 0x20000, 0x40000
KEYGUARD = SILENT | ISOLATED | PER_BOOT
PKCS1, PSS = 2, 8

NTE_PERM = 0x80090010
NTE_BAD_FLAGS = 0x80090009
NTE_BAD_KEY_STATE = 0x8009000B
NTE_EXISTS = 0x8009000F
NTE_NOT_FOUND = 0x80090011
NTE_BAD_KEYSET = 0x80090016
NTE_INVALID_HANDLE = 0x80090026
NTE_NOT_SUPPORTED = 0x80090029


def load(dll: str | Path) -> Any:
    """Return a DLL, with the functions above as its attributes."""
    return ffi.dlopen(str(dll))


class Failed(Exception):  # noqa: N818 - a status, which a test expects
    """A function of ncrypt did not return zero.

    Attributes:
        status: What it returned.
    """

    def __init__(self, function: str, status: int) -> None:
        super().__init__(f"{function}: {status:#010x}")
        self.status = status


class NCrypt:
    """ncrypt.dll, whichever one is loaded; failures raise ``Failed``."""

    def __init__(self) -> None:
        self.lib = load("ncrypt.dll")

    def call(self, function: str, *arguments: Any) -> None:
        status = getattr(self.lib, function)(*arguments)
        if status != 0:
            raise Failed(function, status)

    def provider(self, name: str = SOFTWARE) -> int:
        handle = ffi.new("uintptr_t *")
        self.call("NCryptOpenStorageProvider", handle, name, 0)
        return int(handle[0])

    def open(self, provider: int, name: str, flags: int = SILENT) -> Key:
        handle = ffi.new("uintptr_t *")
        self.call("NCryptOpenKey", provider, handle, name, 0, flags)
        return Key(self, int(handle[0]))

    def begin(self, provider: int, name: str, flags: int = KEYGUARD) -> Key:
        """Create a key, and leave it unfinalized."""
        handle = ffi.new("uintptr_t *")
        self.call("NCryptCreatePersistedKey", provider, handle, "RSA", name, 0, flags)
        return Key(self, int(handle[0]))

    def create(self, provider: int, name: str, flags: int = KEYGUARD) -> Key:
        key = self.begin(provider, name, flags)
        self.call("NCryptFinalizeKey", key.handle, SILENT)
        return key

    def free(self, handle: int) -> None:
        self.call("NCryptFreeObject", handle)


@dataclass(frozen=True)
class Key:
    """A key's handle; a context manager that frees it."""

    ncrypt: NCrypt
    handle: int

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ncrypt.free(self.handle)

    def number(self, name: str) -> int:
        value, size = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        self.ncrypt.call("NCryptGetProperty", self.handle, name, value, 4, size, 0)
        return int(value[0])

    def text(self, name: str) -> str:
        size = ffi.new("uint32_t *")
        self.ncrypt.call("NCryptGetProperty", self.handle, name, ffi.NULL, 0, size, 0)
        value = ffi.new("uint8_t[]", size[0])
        self.ncrypt.call("NCryptGetProperty", self.handle, name, value, size[0], size, 0)
        return bytes(ffi.buffer(value)).decode("utf-16-le").rstrip("\0")

    def set_number(self, name: str, number: int) -> None:
        value = ffi.new("uint32_t *", number)
        self.ncrypt.call("NCryptSetProperty", self.handle, name, value, 4, 0)

    def export(self, blob_type: str) -> bytes:
        size = ffi.new("uint32_t *")
        fixed = (self.handle, 0, blob_type, ffi.NULL)
        self.ncrypt.call("NCryptExportKey", *fixed, ffi.NULL, 0, size, 0)
        blob = ffi.new("uint8_t[]", size[0])
        self.ncrypt.call("NCryptExportKey", *fixed, blob, size[0], size, 0)
        return bytes(ffi.buffer(blob, size[0]))

    def public_key(self) -> rsa.RSAPublicKey:
        blob = self.export("RSAPUBLICBLOB")
        header: Any = ffi.from_buffer("RsaBlob *", blob)
        numbers = blob[ffi.sizeof("RsaBlob") :]
        assert len(numbers) == header.exponent + header.modulus
        exponent, modulus = numbers[: header.exponent], numbers[header.exponent :]
        return rsa.RSAPublicNumbers(
            int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")
        ).public_key()

    def sign(
        self,
        message: bytes,
        flags: int = PSS,
        algorithm: str = "SHA256",
        salt: int | None = None,
    ) -> bytes:
        """Sign; the salt is as long as the hash unless a length in bytes is given."""
        digest = hashlib.new(algorithm, message).digest()
        length = len(digest) if salt is None else salt
        name = ffi.new("char16_t[]", algorithm)
        padding = ffi.new("Padding *", {"algorithm": name, "salt": length})
        size = ffi.new("uint32_t *")
        fixed = (self.handle, padding, digest, len(digest))
        self.ncrypt.call("NCryptSignHash", *fixed, ffi.NULL, 0, size, flags)
        signature = ffi.new("uint8_t[]", size[0])
        self.ncrypt.call("NCryptSignHash", *fixed, signature, size[0], size, flags | SILENT)
        return bytes(ffi.buffer(signature, size[0]))
