#include "evidence.h"

#include <stdio.h>
#include <string.h>

enum { NUMBER = 1024 };

static void base64url(const BYTE *data, DWORD size, char text[NUMBER])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned bits = 0, pending = 0;
    for (DWORD i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        for (pending += 8; pending >= 6; pending -= 6)
            *text++ = digits[bits >> (pending - 6) & 63];
    }
    if (pending > 0)
        *text++ = digits[bits << (6 - pending) & 63];
    *text = 0;
}

/* Reads the public key, as the texts that a JWK has. */
static SECURITY_STATUS read_public(NCRYPT_KEY_HANDLE key, char n[NUMBER], char e[NUMBER])
{
    BYTE blob[NUMBER];
    DWORD size = 0;
    const BCRYPT_RSAKEY_BLOB *header = (const BCRYPT_RSAKEY_BLOB *)blob;
    SECURITY_STATUS status =
        NCryptExportKey(key, 0, BCRYPT_RSAPUBLIC_BLOB, NULL, blob, sizeof blob, &size, 0);
    if (status != ERROR_SUCCESS)
        return status;
    if (size > NUMBER / 4 * 3)
        return NTE_BAD_LEN;
    base64url(blob + sizeof *header, header->cbPublicExp, e);
    base64url(blob + sizeof *header + header->cbPublicExp, header->cbModulus, n);
    return ERROR_SUCCESS;
}

static SECURITY_STATUS hash(const char *text, BYTE digest[32])
{
    BCRYPT_ALG_HANDLE algorithm;
    NTSTATUS status = BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_SHA256_ALGORITHM, NULL, 0);
    if (!BCRYPT_SUCCESS(status))
        return NTE_FAIL;
    status = BCryptHash(algorithm, NULL, 0, (BYTE *)text, (ULONG)strlen(text), digest, 32);
    BCryptCloseAlgorithmProvider(algorithm, 0);
    return BCRYPT_SUCCESS(status) ? ERROR_SUCCESS : NTE_FAIL;
}

static SECURITY_STATUS prove(NCRYPT_KEY_HANDLE key, const char *text, char proof[NUMBER])
{
    BCRYPT_PKCS1_PADDING_INFO padding = {BCRYPT_SHA256_ALGORITHM};
    BYTE digest[32], signature[NUMBER / 2];
    DWORD size = 0;
    SECURITY_STATUS status = hash(text, digest);
    if (status == ERROR_SUCCESS)
        status = NCryptSignHash(key, &padding, digest, sizeof digest, signature, sizeof signature,
                                &size, BCRYPT_PAD_PKCS1);
    if (status == ERROR_SUCCESS)
        base64url(signature, size, proof);
    return status;
}

/* A caller's text as the inside of a JSON string. */
static void escape(const char *text, char escaped[NUMBER])
{
    size_t used = 0;
    for (; *text != 0 && used < NUMBER - 8; text++) {
        if (*text == '"' || *text == '\\')
            escaped[used++] = '\\';
        if ((unsigned char)*text < ' ')
            used += (size_t)snprintf(escaped + used, 8, "\\u%04x", *text);
        else
            escaped[used++] = *text;
    }
    escaped[used] = 0;
}

SECURITY_STATUS evidence_make(NCRYPT_KEY_HANDLE key, const char *client_id, const char *payload,
                              char body[EVIDENCE])
{
    char n[NUMBER], e[NUMBER], signed_text[2 * NUMBER], proof[NUMBER];
    char quoted_id[NUMBER], quoted_payload[NUMBER];
    SECURITY_STATUS status = read_public(key, n, e);
    if (status == ERROR_SUCCESS) {
        snprintf(signed_text, sizeof signed_text, "%s.%s", n, e);
        status = prove(key, signed_text, proof);
    }
    if (status != ERROR_SUCCESS)
        return status;
    escape(client_id, quoted_id);
    escape(payload, quoted_payload);
    snprintf(body, EVIDENCE,
             "{\"jwk\":{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"},"
             "\"client_id\":\"%s\",\"client_payload\":\"%s\",\"proof\":\"%s\"}",
             n, e, quoted_id, quoted_payload, proof);
    return ERROR_SUCCESS;
}
