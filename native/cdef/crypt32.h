/* Certificates and their stores: crypt32.dll. */

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certcreatecertificatecontext */
const CERT_CONTEXT *CertCreateCertificateContext(DWORD dwCertEncodingType,
                                                 const BYTE *pbCertEncoded, DWORD cbCertEncoded);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certduplicatecertificatecontext */
const CERT_CONTEXT *CertDuplicateCertificateContext(const CERT_CONTEXT *pCertContext);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certfreecertificatecontext */
BOOL CertFreeCertificateContext(const CERT_CONTEXT *pCertContext);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certgetcertificatecontextproperty */
BOOL CertGetCertificateContextProperty(const CERT_CONTEXT *pCertContext, DWORD dwPropId,
                                       void *pvData, DWORD *pcbData);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certsetcertificatecontextproperty */
BOOL CertSetCertificateContextProperty(const CERT_CONTEXT *pCertContext, DWORD dwPropId,
                                       DWORD dwFlags, const void *pvData);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certopenstore */
HCERTSTORE CertOpenStore(const char *lpszStoreProvider, DWORD dwEncodingType,
                         HCRYPTPROV_LEGACY hCryptProv, DWORD dwFlags, const void *pvPara);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certclosestore */
BOOL CertCloseStore(HCERTSTORE hCertStore, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certcontrolstore */
BOOL CertControlStore(HCERTSTORE hCertStore, DWORD dwFlags, DWORD dwCtrlType,
                      const void *pvCtrlPara);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certenumcertificatesinstore */
const CERT_CONTEXT *CertEnumCertificatesInStore(HCERTSTORE hCertStore,
                                                const CERT_CONTEXT *pPrevCertContext);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certaddcertificatecontexttostore */
BOOL CertAddCertificateContextToStore(HCERTSTORE hCertStore, const CERT_CONTEXT *pCertContext,
                                      DWORD dwAddDisposition, const CERT_CONTEXT **ppStoreContext);

/* https://learn.microsoft.com/windows/win32/api/wincrypt/nf-wincrypt-certdeletecertificatefromstore */
BOOL CertDeleteCertificateFromStore(const CERT_CONTEXT *pCertContext);
