"""The only place that loads system libraries: one typed view for each DLL.

Every one comes from System32 by its absolute path, and so does whatever it needs in turn; the
current directory and ``PATH`` are never looked at.
"""
# ruff: noqa: N802, PLR0917 - names and arguments of the functions are those of Windows

from __future__ import annotations

import functools
from typing import Any, Protocol, TypeAlias, cast

from msal_key_attestation.errors import NativeLibraryError

from ._ffi import ffi as _generated
from .constants import LoadLibraryFlag

ffi: Any = _generated
"""Untyped: what cffi offers differs by platform, and this package is checked on all of them."""

CData: TypeAlias = Any

_LONGEST_PATH = 260


class Kernel32(Protocol):
    """Modules, named mutexes, handles."""

    def GetSystemDirectoryW(self, buffer: CData, size: int, /) -> int: ...
    def LoadLibraryExW(self, path: str, reserved: CData, flags: int, /) -> CData: ...
    def GetModuleHandleW(self, name: str, /) -> CData: ...
    def GetProcAddress(self, module: CData, name: bytes, /) -> CData: ...
    def CloseHandle(self, handle: CData, /) -> int: ...
    def LocalFree(self, memory: CData, /) -> CData: ...
    def CreateMutexW(self, attributes: CData, owned: int, name: str, /) -> CData: ...
    def WaitForSingleObject(self, handle: CData, milliseconds: int, /) -> int: ...
    def ReleaseMutex(self, mutex: CData, /) -> int: ...
    def GetCurrentProcess(self) -> CData: ...


class Advapi32(Protocol):
    """Whose process this is."""

    def OpenProcessToken(self, process: CData, access: int, token: CData, /) -> int: ...
    def GetTokenInformation(
        self, token: CData, kind: int, buffer: CData, size: int, needed: CData, /
    ) -> int: ...
    def ConvertSidToStringSidW(self, sid: CData, text: CData, /) -> int: ...


class NCrypt(Protocol):
    """Keys that stay where they are; every function returns a SECURITY_STATUS."""

    def NCryptOpenStorageProvider(self, provider: CData, name: str, flags: int, /) -> int: ...
    def NCryptOpenKey(
        self, provider: int, key: CData, name: str, legacy_spec: int, flags: int, /
    ) -> int: ...
    def NCryptCreatePersistedKey(
        self, provider: int, key: CData, algorithm: str, name: str, legacy_spec: int, flags: int, /
    ) -> int: ...
    def NCryptSetProperty(
        self, handle: int, name: str, value: CData, size: int, flags: int, /
    ) -> int: ...
    def NCryptGetProperty(
        self, handle: int, name: str, value: CData, size: int, needed: CData, flags: int, /
    ) -> int: ...
    def NCryptFinalizeKey(self, key: int, flags: int, /) -> int: ...
    def NCryptExportKey(
        self,
        key: int,
        wrapping_key: int,
        blob_type: str,
        parameters: CData,
        blob: CData,
        size: int,
        needed: CData,
        flags: int,
        /,
    ) -> int: ...
    def NCryptSignHash(
        self,
        key: int,
        padding: CData,
        digest: CData,
        digest_size: int,
        signature: CData,
        signature_size: int,
        needed: CData,
        flags: int,
        /,
    ) -> int: ...
    def NCryptDeleteKey(self, key: int, flags: int, /) -> int: ...
    def NCryptFreeObject(self, handle: int, /) -> int: ...


class Crypt32(Protocol):
    """Certificates and their stores."""

    def CertCreateCertificateContext(self, encoding: int, der: bytes, size: int, /) -> CData: ...
    def CertDuplicateCertificateContext(self, context: CData, /) -> CData: ...
    def CertFreeCertificateContext(self, context: CData, /) -> int: ...
    def CertGetCertificateContextProperty(
        self, context: CData, property_id: int, data: CData, size: CData, /
    ) -> int: ...
    def CertSetCertificateContextProperty(
        self, context: CData, property_id: int, flags: int, data: CData, /
    ) -> int: ...
    def CertOpenStore(
        self, provider: CData, encoding: int, crypt_provider: int, flags: int, name: CData, /
    ) -> CData: ...
    def CertCloseStore(self, store: CData, flags: int, /) -> int: ...
    def CertControlStore(self, store: CData, flags: int, control: int, data: CData, /) -> int: ...
    def CertEnumCertificatesInStore(self, store: CData, previous: CData, /) -> CData: ...
    def CertAddCertificateContextToStore(
        self, store: CData, context: CData, disposition: int, stored: CData, /
    ) -> int: ...
    def CertDeleteCertificateFromStore(self, context: CData, /) -> int: ...


class WinHttp(Protocol):
    """HTTPS that presents a client certificate through SChannel."""

    def WinHttpOpen(
        self, agent: CData, access: int, proxy: CData, bypass: CData, flags: int, /
    ) -> CData: ...
    def WinHttpConnect(self, session: CData, host: str, port: int, reserved: int, /) -> CData: ...
    def WinHttpOpenRequest(
        self,
        connection: CData,
        method: str,
        target: str,
        version: CData,
        referrer: CData,
        accept: CData,
        flags: int,
        /,
    ) -> CData: ...
    def WinHttpSetOption(self, handle: CData, option: int, value: CData, size: int, /) -> int: ...
    def WinHttpSetTimeouts(
        self, handle: CData, resolve: int, connect: int, send: int, receive: int, /
    ) -> int: ...
    def WinHttpSetStatusCallback(
        self, handle: CData, callback: CData, notifications: int, reserved: int, /
    ) -> CData: ...
    def WinHttpAddRequestHeaders(
        self, request: CData, headers: str, size: int, modifiers: int, /
    ) -> int: ...
    def WinHttpSendRequest(
        self,
        request: CData,
        headers: CData,
        headers_size: int,
        data: CData,
        data_size: int,
        total_size: int,
        context: int,
        /,
    ) -> int: ...
    def WinHttpWriteData(
        self, request: CData, data: CData, size: int, written: CData, /
    ) -> int: ...
    def WinHttpReceiveResponse(self, request: CData, reserved: CData, /) -> int: ...
    def WinHttpQueryHeaders(
        self, request: CData, what: int, name: CData, buffer: CData, size: CData, index: CData, /
    ) -> int: ...
    def WinHttpQueryDataAvailable(self, request: CData, available: CData, /) -> int: ...
    def WinHttpReadData(self, request: CData, buffer: CData, size: int, read: CData, /) -> int: ...
    def WinHttpCloseHandle(self, handle: CData, /) -> int: ...


class WinTrust(Protocol):
    """Whether a file carries a valid signature."""

    def WinVerifyTrust(self, window: CData, action: CData, data: CData, /) -> int: ...


class AttestationLibrary(Protocol):
    """What ``AttestationClientLib.dll`` exports."""

    def InitAttestationLib(self, info: CData, /) -> int: ...
    def AttestKeyGuardImportKey(
        self,
        endpoint: bytes,
        auth_token: bytes,
        client_payload: bytes,
        key: int,
        token: CData,
        client_id: bytes,
        /,
    ) -> int: ...
    def FreeAttestationToken(self, token: CData, /) -> None: ...
    def UninitAttestationLib(self) -> None: ...


@functools.cache
def kernel32() -> Kernel32:
    """Return kernel32.dll, which every process has loaded before anything else."""
    flags = LoadLibraryFlag.LOAD_LIBRARY_SEARCH_SYSTEM32
    return cast("Kernel32", ffi.dlopen("kernel32.dll", flags))


@functools.cache
def advapi32() -> Advapi32:
    """Return advapi32.dll."""
    return cast("Advapi32", _load("advapi32.dll"))


@functools.cache
def ncrypt() -> NCrypt:
    """Return ncrypt.dll."""
    return cast("NCrypt", _load("ncrypt.dll"))


@functools.cache
def crypt32() -> Crypt32:
    """Return crypt32.dll."""
    return cast("Crypt32", _load("crypt32.dll"))


@functools.cache
def winhttp() -> WinHttp:
    """Return winhttp.dll."""
    return cast("WinHttp", _load("winhttp.dll"))


@functools.cache
def wintrust() -> WinTrust:
    """Return wintrust.dll."""
    return cast("WinTrust", _load("wintrust.dll"))


@functools.cache
def is_wine() -> bool:
    """Whether this is Wine, which differs from Windows in places that we cannot pass over."""
    ntdll = kernel32().GetModuleHandleW("ntdll.dll")
    return bool(kernel32().GetProcAddress(ntdll, b"wine_get_version"))


def _load(name: str) -> CData:
    buffer = ffi.new("WCHAR[]", _LONGEST_PATH)
    kernel32().GetSystemDirectoryW(buffer, _LONGEST_PATH)
    path = f"{ffi.string(buffer)}\\{name}"
    try:
        return ffi.dlopen(path, LoadLibraryFlag.LOAD_LIBRARY_SEARCH_SYSTEM32)
    except OSError as exc:
        raise NativeLibraryError(
            "attestation_package_broken", f"Windows' own {path} does not load: {exc}"
        ) from exc
