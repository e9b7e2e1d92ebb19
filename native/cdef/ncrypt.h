/* Keys that stay where they are: ncrypt.dll. */

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptopenstorageprovider */
SECURITY_STATUS NCryptOpenStorageProvider(NCRYPT_PROV_HANDLE *phProvider,
                                          const WCHAR *pszProviderName, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptopenkey */
SECURITY_STATUS NCryptOpenKey(NCRYPT_PROV_HANDLE hProvider, NCRYPT_KEY_HANDLE *phKey,
                              const WCHAR *pszKeyName, DWORD dwLegacyKeySpec, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptcreatepersistedkey */
SECURITY_STATUS NCryptCreatePersistedKey(NCRYPT_PROV_HANDLE hProvider, NCRYPT_KEY_HANDLE *phKey,
                                         const WCHAR *pszAlgId, const WCHAR *pszKeyName,
                                         DWORD dwLegacyKeySpec, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptsetproperty */
SECURITY_STATUS NCryptSetProperty(NCRYPT_HANDLE hObject, const WCHAR *pszProperty, BYTE *pbInput,
                                  DWORD cbInput, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptgetproperty */
SECURITY_STATUS NCryptGetProperty(NCRYPT_HANDLE hObject, const WCHAR *pszProperty, BYTE *pbOutput,
                                  DWORD cbOutput, DWORD *pcbResult, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptfinalizekey */
SECURITY_STATUS NCryptFinalizeKey(NCRYPT_KEY_HANDLE hKey, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptexportkey */
SECURITY_STATUS NCryptExportKey(NCRYPT_KEY_HANDLE hKey, NCRYPT_KEY_HANDLE hExportKey,
                                const WCHAR *pszBlobType, NCryptBufferDesc *pParameterList,
                                BYTE *pbOutput, DWORD cbOutput, DWORD *pcbResult, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptsignhash */
SECURITY_STATUS NCryptSignHash(NCRYPT_KEY_HANDLE hKey, void *pPaddingInfo, BYTE *pbHashValue,
                               DWORD cbHashValue, BYTE *pbSignature, DWORD cbSignature,
                               DWORD *pcbResult, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptdeletekey */
SECURITY_STATUS NCryptDeleteKey(NCRYPT_KEY_HANDLE hKey, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/ncrypt/nf-ncrypt-ncryptfreeobject */
SECURITY_STATUS NCryptFreeObject(NCRYPT_HANDLE hObject);
