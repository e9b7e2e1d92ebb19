/* The Windows names for fixed-width types. Windows is LLP64: its `long` has 32 bits, also on x64,
   so the C names `int`, `long` and `wchar_t` appear nowhere in these declarations.
   https://learn.microsoft.com/windows/win32/winprog/windows-data-types */

typedef int32_t BOOL;
typedef int32_t INT;
typedef uint32_t UINT;
typedef uint8_t BYTE;
typedef uint16_t WORD;
typedef uint32_t DWORD;
typedef int32_t LONG;
typedef uintptr_t DWORD_PTR;
typedef char16_t WCHAR;

typedef void *HANDLE;
typedef void *HMODULE;
typedef void *HWND;
typedef void *HLOCAL;
typedef void *FARPROC;
typedef void *HCERTSTORE;
typedef void *HINTERNET;
typedef void *PSID;

/* An enum in winnt.h: the compiler gives it the width of an int. */
typedef int32_t TOKEN_INFORMATION_CLASS;

typedef LONG SECURITY_STATUS;
typedef uintptr_t NCRYPT_HANDLE;
typedef uintptr_t NCRYPT_PROV_HANDLE;
typedef uintptr_t NCRYPT_KEY_HANDLE;
typedef uintptr_t HCRYPTPROV_LEGACY;

typedef WORD INTERNET_PORT;

/* Only ever null pointers here. */
typedef struct _SECURITY_ATTRIBUTES SECURITY_ATTRIBUTES;
typedef struct _BCryptBufferDesc NCryptBufferDesc;
