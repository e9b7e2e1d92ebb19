/* Modules, named mutexes, handles: kernel32.dll. */

/* https://learn.microsoft.com/windows/win32/api/sysinfoapi/nf-sysinfoapi-getsystemdirectoryw */
UINT GetSystemDirectoryW(WCHAR *lpBuffer, UINT uSize);

/* https://learn.microsoft.com/windows/win32/api/libloaderapi/nf-libloaderapi-loadlibraryexw */
HMODULE LoadLibraryExW(const WCHAR *lpLibFileName, HANDLE hFile, DWORD dwFlags);

/* https://learn.microsoft.com/windows/win32/api/libloaderapi/nf-libloaderapi-getmodulehandlew */
HMODULE GetModuleHandleW(const WCHAR *lpModuleName);

/* https://learn.microsoft.com/windows/win32/api/libloaderapi/nf-libloaderapi-getprocaddress */
FARPROC GetProcAddress(HMODULE hModule, const char *lpProcName);

/* https://learn.microsoft.com/windows/win32/api/handleapi/nf-handleapi-closehandle */
BOOL CloseHandle(HANDLE hObject);

/* https://learn.microsoft.com/windows/win32/api/winbase/nf-winbase-localfree */
HLOCAL LocalFree(HLOCAL hMem);

/* https://learn.microsoft.com/windows/win32/api/synchapi/nf-synchapi-createmutexw */
HANDLE CreateMutexW(SECURITY_ATTRIBUTES *lpMutexAttributes, BOOL bInitialOwner, const WCHAR *lpName);

/* https://learn.microsoft.com/windows/win32/api/synchapi/nf-synchapi-waitforsingleobject */
DWORD WaitForSingleObject(HANDLE hHandle, DWORD dwMilliseconds);

/* https://learn.microsoft.com/windows/win32/api/synchapi/nf-synchapi-releasemutex */
BOOL ReleaseMutex(HANDLE hMutex);

/* https://learn.microsoft.com/windows/win32/api/processthreadsapi/nf-processthreadsapi-getcurrentprocess */
HANDLE GetCurrentProcess(void);
