/* RSA key material in CryptoAPI containers, and what can be done with it. */
#ifndef CONTAINER_H
#define CONTAINER_H

#include <windows.h>
#include <bcrypt.h>
#include <ncrypt.h>
#include <wincrypt.h>

enum { CONTAINER_NAME = 64 };

/* A new, empty container under a random name; zero status or the system's own. */
SECURITY_STATUS container_create(wchar_t name[CONTAINER_NAME], HCRYPTPROV *context);

SECURITY_STATUS container_open(const wchar_t *name, HCRYPTPROV *context);
void container_delete(const wchar_t *name);

/* Makes an RSA key of so many bits inside an empty container, and writes it down at once. */
SECURITY_STATUS container_generate(HCRYPTPROV context, DWORD bits);

/* Signs a hash; `padding` and `flags` as in BCryptSignHash. Wants a buffer that is large enough. */
SECURITY_STATUS container_sign(HCRYPTPROV context, void *padding, BYTE *hash, DWORD hash_size,
                               BYTE *signature, DWORD *signature_size, DWORD flags);

/* The public key as BCRYPT_RSAPUBLIC_BLOB; the buffer is of RSA_BLOB bytes (rsablob.h). */
SECURITY_STATUS container_public_key(HCRYPTPROV context, BYTE *blob, DWORD *size);

#endif
