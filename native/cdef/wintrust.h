/* Whether a file carries a valid Authenticode signature: wintrust.dll. */

/* https://learn.microsoft.com/windows/win32/api/wintrust/nf-wintrust-winverifytrust */
LONG WinVerifyTrust(HWND hwnd, GUID *pgActionID, void *pWVTData);
