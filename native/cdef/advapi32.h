/* Whose process this is: advapi32.dll. */

/* https://learn.microsoft.com/windows/win32/api/processthreadsapi/nf-processthreadsapi-openprocesstoken */
BOOL OpenProcessToken(HANDLE ProcessHandle, DWORD DesiredAccess, HANDLE *TokenHandle);

/* https://learn.microsoft.com/windows/win32/api/securitybaseapi/nf-securitybaseapi-gettokeninformation */
BOOL GetTokenInformation(HANDLE TokenHandle, TOKEN_INFORMATION_CLASS TokenInformationClass,
                         void *TokenInformation, DWORD TokenInformationLength,
                         DWORD *ReturnLength);

/* https://learn.microsoft.com/windows/win32/api/sddl/nf-sddl-convertsidtostringsidw */
BOOL ConvertSidToStringSidW(PSID Sid, WCHAR **StringSid);
