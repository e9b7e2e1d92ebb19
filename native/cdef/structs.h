/* Every struct that crosses the border, as Microsoft Learn lays it out. Members that we only
   pass by are plain pointers. */

/* https://learn.microsoft.com/windows/win32/api/bcrypt/ns-bcrypt-bcrypt_pkcs1_padding_info */
typedef struct _BCRYPT_PKCS1_PADDING_INFO {
    const WCHAR *pszAlgId;
} BCRYPT_PKCS1_PADDING_INFO;

/* https://learn.microsoft.com/windows/win32/api/bcrypt/ns-bcrypt-bcrypt_pss_padding_info */
typedef struct _BCRYPT_PSS_PADDING_INFO {
    const WCHAR *pszAlgId;
    DWORD cbSalt;
} BCRYPT_PSS_PADDING_INFO;

/* https://learn.microsoft.com/windows/win32/api/bcrypt/ns-bcrypt-bcrypt_rsakey_blob
   Followed by the public exponent and the modulus, both big-endian. */
typedef struct _BCRYPT_RSAKEY_BLOB {
    DWORD Magic;
    DWORD BitLength;
    DWORD cbPublicExp;
    DWORD cbModulus;
    DWORD cbPrime1;
    DWORD cbPrime2;
} BCRYPT_RSAKEY_BLOB;

/* https://learn.microsoft.com/windows/win32/api/wincrypt/ns-wincrypt-cert_context */
typedef struct _CERT_CONTEXT {
    DWORD dwCertEncodingType;
    BYTE *pbCertEncoded;
    DWORD cbCertEncoded;
    void *pCertInfo;
    HCERTSTORE hCertStore;
} CERT_CONTEXT;

/* https://learn.microsoft.com/windows/win32/api/wincrypt/ns-wincrypt-cert_key_context */
typedef struct _CERT_KEY_CONTEXT {
    DWORD cbSize;
    NCRYPT_KEY_HANDLE hNCryptKey;
    DWORD dwKeySpec;
} CERT_KEY_CONTEXT;

/* https://learn.microsoft.com/windows/win32/api/wincrypt/ns-wincrypt-crypt_key_prov_info */
typedef struct _CRYPT_KEY_PROV_INFO {
    WCHAR *pwszContainerName;
    WCHAR *pwszProvName;
    DWORD dwProvType;
    DWORD dwFlags;
    DWORD cProvParam;
    void *rgProvParam;
    DWORD dwKeySpec;
} CRYPT_KEY_PROV_INFO;

/* https://learn.microsoft.com/windows/win32/api/wincrypt/ns-wincrypt-crypt_integer_blob */
typedef struct _CRYPTOAPI_BLOB {
    DWORD cbData;
    BYTE *pbData;
} CRYPT_DATA_BLOB;

/* https://learn.microsoft.com/windows/win32/api/winnt/ns-winnt-sid_and_attributes */
typedef struct _SID_AND_ATTRIBUTES {
    PSID Sid;
    DWORD Attributes;
} SID_AND_ATTRIBUTES;

/* https://learn.microsoft.com/windows/win32/api/winnt/ns-winnt-token_user */
typedef struct _TOKEN_USER {
    SID_AND_ATTRIBUTES User;
} TOKEN_USER;

/* https://learn.microsoft.com/windows/win32/api/guiddef/ns-guiddef-guid */
typedef struct _GUID {
    DWORD Data1;
    WORD Data2;
    WORD Data3;
    BYTE Data4[8];
} GUID;

/* https://learn.microsoft.com/windows/win32/api/wintrust/ns-wintrust-wintrust_file_info */
typedef struct WINTRUST_FILE_INFO_ {
    DWORD cbStruct;
    const WCHAR *pcwszFilePath;
    HANDLE hFile;
    GUID *pgKnownSubject;
} WINTRUST_FILE_INFO;

/* https://learn.microsoft.com/windows/win32/api/wintrust/ns-wintrust-wintrust_data */
typedef struct _WINTRUST_DATA {
    DWORD cbStruct;
    void *pPolicyCallbackData;
    void *pSIPClientData;
    DWORD dwUIChoice;
    DWORD fdwRevocationChecks;
    DWORD dwUnionChoice;
    WINTRUST_FILE_INFO *pFile;
    DWORD dwStateAction;
    HANDLE hWVTStateData;
    WCHAR *pwszURLReference;
    DWORD dwProvFlags;
    DWORD dwUIContext;
    void *pSignatureSettings;
} WINTRUST_DATA;
