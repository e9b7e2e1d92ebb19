/*
 * Wine 8 has no bcryptprimitives.dll, and the cryptography wheels for Windows want the one
 * function of it that Rust's standard library uses.
 */
#include <windows.h>

BOOLEAN WINAPI SystemFunction036(PVOID buffer, ULONG size); /* RtlGenRandom, in advapi32 */

BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T size);

BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T size)
{
    while (size > 0) {
        ULONG part = size > 0x10000000 ? 0x10000000 : (ULONG)size;
        if (!SystemFunction036(buffer, part))
            return FALSE;
        buffer += part;
        size -= part;
    }
    return TRUE;
}
