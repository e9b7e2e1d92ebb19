#include "rsablob.h"

#include <string.h>

enum { LEGACY_HEADER = sizeof(BLOBHEADER) + sizeof(RSAPUBKEY) };

static const BYTE EXPONENT[RSA_EXPONENT] = {1, 0, 1};
static const DWORD MAGIC_RSA2 = 0x32415352;

static BYTE *put_reversed(BYTE *to, const BYTE *from, DWORD size)
{
    for (DWORD i = 0; i < size; i++)
        to[i] = from[size - 1 - i];
    return to + size;
}

/* After their headers both forms hold n, p, q, dp, dq, 1/q and d, each in the other's order. */
static BYTE *put_numbers(BYTE *to, const BYTE *from, DWORD modulus_size)
{
    to = put_reversed(to, from, modulus_size);
    from += modulus_size;
    for (int i = 0; i < 5; i++, from += modulus_size / 2)
        to = put_reversed(to, from, modulus_size / 2);
    return put_reversed(to, from, modulus_size);
}

DWORD rsa_full_to_legacy(const BYTE *full, BYTE *legacy)
{
    const BCRYPT_RSAKEY_BLOB *header = (const BCRYPT_RSAKEY_BLOB *)full;
    BLOBHEADER type = {PRIVATEKEYBLOB, CUR_BLOB_VERSION, 0, CALG_RSA_SIGN};
    RSAPUBKEY numbers = {MAGIC_RSA2, header->BitLength, 65537};
    memcpy(legacy, &type, sizeof type);
    memcpy(legacy + sizeof type, &numbers, sizeof numbers);
    full += sizeof *header + header->cbPublicExp;
    return (DWORD)(put_numbers(legacy + LEGACY_HEADER, full, numbers.bitlen / 8) - legacy);
}

/* Begins a blob of bcrypt's; returns where its modulus goes. */
static BYTE *put_header(BYTE *blob, DWORD magic, DWORD bits, DWORD prime_size)
{
    BCRYPT_RSAKEY_BLOB header = {magic, bits, RSA_EXPONENT, bits / 8, prime_size, prime_size};
    memcpy(blob, &header, sizeof header);
    memcpy(blob + sizeof header, EXPONENT, RSA_EXPONENT);
    return blob + sizeof header + RSA_EXPONENT;
}

static DWORD legacy_bits(const BYTE *legacy)
{
    RSAPUBKEY numbers;
    memcpy(&numbers, legacy + sizeof(BLOBHEADER), sizeof numbers);
    return numbers.bitlen;
}

DWORD rsa_legacy_to_full(const BYTE *legacy, BYTE *full)
{
    DWORD bits = legacy_bits(legacy);
    BYTE *to = put_header(full, BCRYPT_RSAFULLPRIVATE_MAGIC, bits, bits / 16);
    return (DWORD)(put_numbers(to, legacy + LEGACY_HEADER, bits / 8) - full);
}

DWORD rsa_legacy_to_public(const BYTE *legacy, BYTE *blob)
{
    DWORD bits = legacy_bits(legacy);
    BYTE *to = put_header(blob, BCRYPT_RSAPUBLIC_MAGIC, bits, 0);
    return (DWORD)(put_reversed(to, legacy + LEGACY_HEADER, bits / 8) - blob);
}
