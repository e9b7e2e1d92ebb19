/* HTTPS that presents a client certificate through SChannel: winhttp.dll. */

/* https://learn.microsoft.com/windows/win32/api/winhttp/nc-winhttp-winhttp_status_callback */
typedef void (*WINHTTP_STATUS_CALLBACK)(HINTERNET hInternet, DWORD_PTR dwContext,
                                        DWORD dwInternetStatus, void *lpvStatusInformation,
                                        DWORD dwStatusInformationLength);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpopen */
HINTERNET WinHttpOpen(const WCHAR *pszAgentW, DWORD dwAccessType, const WCHAR *pszProxyW,
                      const WCHAR *pszProxyBypassW, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpconnect */
HINTERNET WinHttpConnect(HINTERNET hSession, const WCHAR *pswzServerName,
                         INTERNET_PORT nServerPort, DWORD dwReserved);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpopenrequest */
HINTERNET WinHttpOpenRequest(HINTERNET hConnect, const WCHAR *pwszVerb,
                             const WCHAR *pwszObjectName, const WCHAR *pwszVersion,
                             const WCHAR *pwszReferrer, const WCHAR **ppwszAcceptTypes,
                             DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpsetoption */
BOOL WinHttpSetOption(HINTERNET hInternet, DWORD dwOption, void *lpBuffer, DWORD dwBufferLength);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpsettimeouts */
BOOL WinHttpSetTimeouts(HINTERNET hInternet, INT nResolveTimeout, INT nConnectTimeout,
                        INT nSendTimeout, INT nReceiveTimeout);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpsetstatuscallback */
WINHTTP_STATUS_CALLBACK WinHttpSetStatusCallback(HINTERNET hInternet,
                                                 WINHTTP_STATUS_CALLBACK lpfnInternetCallback,
                                                 DWORD dwNotificationFlags, DWORD_PTR dwReserved);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpaddrequestheaders */
BOOL WinHttpAddRequestHeaders(HINTERNET hRequest, const WCHAR *lpszHeaders, DWORD dwHeadersLength,
                              DWORD dwModifiers);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpsendrequest */
BOOL WinHttpSendRequest(HINTERNET hRequest, const WCHAR *lpszHeaders, DWORD dwHeadersLength,
                        void *lpOptional, DWORD dwOptionalLength, DWORD dwTotalLength,
                        DWORD_PTR dwContext);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpwritedata */
BOOL WinHttpWriteData(HINTERNET hRequest, const void *lpBuffer, DWORD dwNumberOfBytesToWrite,
                      DWORD *lpdwNumberOfBytesWritten);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpreceiveresponse */
BOOL WinHttpReceiveResponse(HINTERNET hRequest, void *lpReserved);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpqueryheaders */
BOOL WinHttpQueryHeaders(HINTERNET hRequest, DWORD dwInfoLevel, const WCHAR *pwszName,
                         void *lpBuffer, DWORD *lpdwBufferLength, DWORD *lpdwIndex);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpquerydataavailable */
BOOL WinHttpQueryDataAvailable(HINTERNET hRequest, DWORD *lpdwNumberOfBytesAvailable);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpreaddata */
BOOL WinHttpReadData(HINTERNET hRequest, void *lpBuffer, DWORD dwNumberOfBytesToRead,
                     DWORD *lpdwNumberOfBytesRead);

/* https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpclosehandle */
BOOL WinHttpCloseHandle(HINTERNET hInternet);
