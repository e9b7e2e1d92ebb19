"""The numbers and names of the Windows headers, as far as they are used here.

``native/abi_probe.c`` holds every number against the headers themselves.
"""

from __future__ import annotations

import enum


class LoadLibraryFlag(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/api/libloaderapi/nf-libloaderapi-loadlibraryexw."""

    LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR = 0x00000100
    LOAD_LIBRARY_SEARCH_SYSTEM32 = 0x00000800


class Win32Error(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/debug/system-error-codes."""

    ERROR_FILE_NOT_FOUND = 2
    ERROR_ACCESS_DENIED = 5
    ERROR_INVALID_PARAMETER = 87
    ERROR_INSUFFICIENT_BUFFER = 122
    ERROR_MOD_NOT_FOUND = 126
    ERROR_PROC_NOT_FOUND = 127
    ERROR_MORE_DATA = 234
    ERROR_BAD_EXE_FORMAT = 193
    WSAETIMEDOUT = 10060


class Wait(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/synchapi/nf-synchapi-waitforsingleobject."""

    WAIT_OBJECT_0 = 0x00000000
    WAIT_ABANDONED = 0x00000080
    WAIT_TIMEOUT = 0x00000102


class Token(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/securitybaseapi/nf-securitybaseapi-gettokeninformation."""

    TOKEN_QUERY = 0x0008
    TokenUser = 1


class NteStatus(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/com/com-error-codes-4."""

    NTE_BAD_SIGNATURE = 0x80090006
    NTE_BAD_KEY_STATE = 0x8009000B
    NTE_NO_MEMORY = 0x8009000E
    NTE_EXISTS = 0x8009000F
    NTE_PERM = 0x80090010
    NTE_NOT_FOUND = 0x80090011
    NTE_BAD_KEYSET = 0x80090016
    NTE_KEYSET_ENTRY_BAD = 0x8009001A
    NTE_SILENT_CONTEXT = 0x80090022
    NTE_NOT_SUPPORTED = 0x80090029
    NTE_DEVICE_NOT_READY = 0x80090030
    NTE_DEVICE_NOT_FOUND = 0x80090035
    NTE_VBS_UNAVAILABLE = 0x80090039
    NTE_VBS_CANNOT_DECRYPT_KEY = 0x8009003A


VBS_NOT_AVAILABLE = 0x80890014
"""What the key storage provider answers where virtualization-based security is off; the headers
have no name for it. It is MSAL .NET's ``WindowsCngKeyOperations.IsVbsUnavailable``."""


class NCryptFlag(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptcreatepersistedkey."""

    NCRYPT_PAD_PKCS1_FLAG = 0x00000002
    NCRYPT_PAD_PSS_FLAG = 0x00000008
    NCRYPT_SILENT_FLAG = 0x00000040
    NCRYPT_OVERWRITE_KEY_FLAG = 0x00000080
    NCRYPT_USE_VIRTUAL_ISOLATION_FLAG = 0x00020000
    NCRYPT_USE_PER_BOOT_KEY_FLAG = 0x00040000
    NCRYPT_PERSIST_FLAG = 0x80000000


class KeyBlob(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/bcrypt/ns-bcrypt-bcrypt_rsakey_blob."""

    BCRYPT_RSAPUBLIC_MAGIC = 0x31415352


MS_KEY_STORAGE_PROVIDER = "Microsoft Software Key Storage Provider"
MS_PLATFORM_KEY_STORAGE_PROVIDER = "Microsoft Platform Crypto Provider"
BCRYPT_RSA_ALGORITHM = "RSA"
BCRYPT_RSAPUBLIC_BLOB = "RSAPUBLICBLOB"
NCRYPT_LENGTH_PROPERTY = "Length"
NCRYPT_EXPORT_POLICY_PROPERTY = "Export Policy"
NCRYPT_USE_VIRTUAL_ISOLATION_PROPERTY = "Virtual Iso"


class Encoding(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/seccrypto/certificate-and-message-encoding-types."""

    X509_ASN_ENCODING = 0x00000001


class CertProperty(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certsetcertificatecontextproperty."""

    CERT_KEY_PROV_INFO_PROP_ID = 2
    CERT_KEY_CONTEXT_PROP_ID = 5
    CERT_FRIENDLY_NAME_PROP_ID = 11
    CERT_NCRYPT_KEY_HANDLE_PROP_ID = 78


class CertPropertyFlag(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certsetcertificatecontextproperty."""

    CERT_STORE_NO_CRYPT_RELEASE_FLAG = 0x00000001
    CERT_SET_PROPERTY_INHIBIT_PERSIST_FLAG = 0x40000000


class KeySpec(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/wincrypt/ns-wincrypt-cert_key_context."""

    AT_SIGNATURE = 2
    CERT_NCRYPT_KEY_SPEC = 0xFFFFFFFF


class CertStore(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certopenstore."""

    CERT_STORE_PROV_SYSTEM_W = 10
    CERT_STORE_ADD_REPLACE_EXISTING = 3
    CERT_STORE_CTRL_COMMIT = 3


class CertStoreFlag(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certopenstore."""

    CERT_STORE_OPEN_EXISTING_FLAG = 0x00004000
    CERT_STORE_READONLY_FLAG = 0x00008000
    CERT_SYSTEM_STORE_CURRENT_USER = 0x00010000


class WinHttpOpenFlag(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpopen."""

    WINHTTP_ACCESS_TYPE_DEFAULT_PROXY = 0
    WINHTTP_ACCESS_TYPE_NO_PROXY = 1
    WINHTTP_ACCESS_TYPE_NAMED_PROXY = 3
    WINHTTP_ACCESS_TYPE_AUTOMATIC_PROXY = 4


class WinHttpRequestFlag(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpopenrequest."""

    WINHTTP_FLAG_ESCAPE_DISABLE = 0x00000040
    WINHTTP_FLAG_ESCAPE_DISABLE_QUERY = 0x00000080
    WINHTTP_FLAG_SECURE = 0x00800000
    WINHTTP_ADDREQ_FLAG_ADD = 0x20000000


class WinHttpOption(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/winhttp/option-flags."""

    WINHTTP_OPTION_RECEIVE_RESPONSE_TIMEOUT = 7
    WINHTTP_OPTION_CLIENT_CERT_CONTEXT = 47
    WINHTTP_OPTION_DISABLE_FEATURE = 63
    WINHTTP_OPTION_AUTOLOGON_POLICY = 77
    WINHTTP_OPTION_SECURE_PROTOCOLS = 84


class WinHttpOptionValue(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/winhttp/option-flags."""

    WINHTTP_DISABLE_COOKIES = 0x00000001
    WINHTTP_DISABLE_REDIRECTS = 0x00000002
    WINHTTP_DISABLE_AUTHENTICATION = 0x00000004
    WINHTTP_AUTOLOGON_SECURITY_LEVEL_HIGH = 2
    WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_2 = 0x00000800
    WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_3 = 0x00002000


class WinHttpQuery(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/winhttp/query-info-flags."""

    WINHTTP_QUERY_RAW_HEADERS_CRLF = 22


class WinHttpStatus(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/api/winhttp/nc-winhttp-winhttp_status_callback."""

    WINHTTP_CALLBACK_STATUS_CONNECTED_TO_SERVER = 0x00000008
    WINHTTP_CALLBACK_STATUS_SENDING_REQUEST = 0x00000010
    WINHTTP_CALLBACK_STATUS_SECURE_FAILURE = 0x00010000
    WINHTTP_CALLBACK_FLAG_CONNECT_TO_SERVER = 0x0000000C
    WINHTTP_CALLBACK_FLAG_SEND_REQUEST = 0x00000030
    WINHTTP_CALLBACK_FLAG_SECURE_FAILURE = 0x00010000


class SecureFailure(enum.IntFlag):
    """https://learn.microsoft.com/windows/win32/api/winhttp/nc-winhttp-winhttp_status_callback."""

    WINHTTP_CALLBACK_STATUS_FLAG_CERT_REV_FAILED = 0x00000001
    WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CERT = 0x00000002
    WINHTTP_CALLBACK_STATUS_FLAG_CERT_REVOKED = 0x00000004
    WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CA = 0x00000008
    WINHTTP_CALLBACK_STATUS_FLAG_CERT_CN_INVALID = 0x00000010
    WINHTTP_CALLBACK_STATUS_FLAG_CERT_DATE_INVALID = 0x00000020
    WINHTTP_CALLBACK_STATUS_FLAG_CERT_WRONG_USAGE = 0x00000040
    WINHTTP_CALLBACK_STATUS_FLAG_SECURITY_CHANNEL_ERROR = 0x80000000


class WinHttpError(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/winhttp/error-messages."""

    ERROR_WINHTTP_TIMEOUT = 12002
    ERROR_WINHTTP_NAME_NOT_RESOLVED = 12007
    ERROR_WINHTTP_CANNOT_CONNECT = 12029
    ERROR_WINHTTP_CONNECTION_ERROR = 12030
    ERROR_WINHTTP_SECURE_CERT_DATE_INVALID = 12037
    ERROR_WINHTTP_SECURE_CERT_CN_INVALID = 12038
    ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED = 12044
    ERROR_WINHTTP_SECURE_INVALID_CA = 12045
    ERROR_WINHTTP_SECURE_CERT_REV_FAILED = 12057
    ERROR_WINHTTP_INVALID_SERVER_RESPONSE = 12152
    ERROR_WINHTTP_SECURE_CHANNEL_ERROR = 12157
    ERROR_WINHTTP_SECURE_INVALID_CERT = 12169
    ERROR_WINHTTP_SECURE_CERT_REVOKED = 12170
    ERROR_WINHTTP_SECURE_FAILURE = 12175
    ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE = 12179
    ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY = 12185
    ERROR_WINHTTP_CLIENT_CERT_NO_ACCESS_PRIVATE_KEY = 12186


class WinTrust(enum.IntEnum):
    """https://learn.microsoft.com/windows/win32/api/wintrust/ns-wintrust-wintrust_data."""

    WTD_UI_NONE = 2
    WTD_REVOKE_NONE = 0
    WTD_CHOICE_FILE = 1
    WTD_STATEACTION_VERIFY = 1
    WTD_STATEACTION_CLOSE = 2


WINTRUST_ACTION_GENERIC_VERIFY_V2 = "00aac56b-cd44-11d0-8cc2-00c04fc295ee"
"""https://learn.microsoft.com/windows/win32/api/wintrust/nf-wintrust-winverifytrust"""


class AttestationLogLevel(enum.IntEnum):
    """MSAL .NET, ``AttestationClientLib.LogLevel``."""

    ERROR = 0
    WARN = 1
    INFO = 2
    DEBUG = 3
