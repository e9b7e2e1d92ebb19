/*
 * One RSA key in two forms: CryptoAPI's (PRIVATEKEYBLOB, PUBLICKEYBLOB: little-endian) and
 * bcrypt's (BCRYPT_RSAFULLPRIVATE_BLOB, BCRYPT_RSAPUBLIC_BLOB: big-endian). Wine's bcrypt does
 * not read CryptoAPI's. The public exponent is 65537 everywhere here.
 */
#ifndef RSABLOB_H
#define RSABLOB_H

#include <windows.h>
#include <bcrypt.h>
#include <ncrypt.h>
#include <wincrypt.h>

enum { RSA_BLOB = 4096, RSA_EXPONENT = 3 /* bytes */ };

/* Each takes a whole blob, writes the other form into one of RSA_BLOB bytes, returns its size. */
DWORD rsa_full_to_legacy(const BYTE *full, BYTE *legacy);
DWORD rsa_legacy_to_full(const BYTE *legacy, BYTE *full);
DWORD rsa_legacy_to_public(const BYTE *legacy, BYTE *blob);

#endif
