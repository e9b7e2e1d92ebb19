/*
 * Why CryptoAPI containers: Wine's TLS reads the private key of a client certificate from one
 * (HKCU\Software\Wine\Crypto\RSA\<container>), and so a key made here can be used by winhttp.
 * Keys and signatures are made by bcrypt all the same: rsaenh knows no PSS, and is slow.
 */
#include "container.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "rsablob.h"

static SECURITY_STATUS last_error(void)
{
    DWORD error = GetLastError();
    return error == 0 ? NTE_FAIL : (SECURITY_STATUS)error;
}

static SECURITY_STATUS acquire(const wchar_t *name, HCRYPTPROV *context, DWORD flags)
{
    BOOL done = CryptAcquireContextW(context, name, MS_ENH_RSA_AES_PROV_W, PROV_RSA_AES, flags);
    return done ? ERROR_SUCCESS : last_error();
}

SECURITY_STATUS container_create(wchar_t name[CONTAINER_NAME], HCRYPTPROV *context)
{
    ULONGLONG random[2];
    if (!BCRYPT_SUCCESS(BCryptGenRandom(NULL, (BYTE *)random, sizeof random,
                                        BCRYPT_USE_SYSTEM_PREFERRED_RNG)))
        return NTE_FAIL;
    _snwprintf(name, CONTAINER_NAME, L"standin-%016llx%016llx", random[0], random[1]);
    return acquire(name, context, CRYPT_NEWKEYSET);
}

SECURITY_STATUS container_open(const wchar_t *name, HCRYPTPROV *context)
{
    return acquire(name, context, 0);
}

void container_delete(const wchar_t *name)
{
    HCRYPTPROV gone;
    acquire(name, &gone, CRYPT_DELETEKEYSET);
}

static SECURITY_STATUS make_key(DWORD bits, BYTE full[RSA_BLOB])
{
    BCRYPT_ALG_HANDLE algorithm;
    BCRYPT_KEY_HANDLE key = NULL;
    DWORD size;
    NTSTATUS status = BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_RSA_ALGORITHM, NULL, 0);
    if (!BCRYPT_SUCCESS(status))
        return NTE_FAIL;
    status = BCryptGenerateKeyPair(algorithm, &key, bits, 0);
    if (BCRYPT_SUCCESS(status))
        status = BCryptFinalizeKeyPair(key, 0);
    if (BCRYPT_SUCCESS(status))
        status = BCryptExportKey(key, NULL, BCRYPT_RSAFULLPRIVATE_BLOB, full, RSA_BLOB, &size, 0);
    if (key != NULL)
        BCryptDestroyKey(key);
    BCryptCloseAlgorithmProvider(algorithm, 0);
    return BCRYPT_SUCCESS(status) ? ERROR_SUCCESS : NTE_FAIL;
}

SECURITY_STATUS container_generate(HCRYPTPROV context, DWORD bits)
{
    BYTE full[RSA_BLOB], legacy[RSA_BLOB];
    HCRYPTKEY key;
    SECURITY_STATUS status = make_key(bits, full);
    if (status != ERROR_SUCCESS)
        return status;
    /* An import is written down at once; a key that rsaenh generates only at release. */
    if (CryptImportKey(context, legacy, rsa_full_to_legacy(full, legacy), 0, CRYPT_EXPORTABLE,
                       &key))
        CryptDestroyKey(key);
    else
        status = last_error();
    SecureZeroMemory(full, sizeof full);
    SecureZeroMemory(legacy, sizeof legacy);
    return status;
}

static SECURITY_STATUS export_key(HCRYPTPROV context, DWORD type, BYTE legacy[RSA_BLOB])
{
    HCRYPTKEY key;
    DWORD size = RSA_BLOB;
    SECURITY_STATUS status = ERROR_SUCCESS;
    if (!CryptGetUserKey(context, AT_SIGNATURE, &key))
        return last_error();
    if (!CryptExportKey(key, 0, type, 0, legacy, &size))
        status = last_error();
    CryptDestroyKey(key);
    return status;
}

/* A fresh bcrypt handle for each: Wine's fails to sign PKCS#1 once it has signed PSS. */
static NTSTATUS sign_with(BYTE *full, DWORD size, void *padding, BYTE *hash, DWORD hash_size,
                          BYTE *signature, DWORD *signature_size, DWORD flags)
{
    BCRYPT_ALG_HANDLE algorithm;
    BCRYPT_KEY_HANDLE key;
    NTSTATUS status = BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_RSA_ALGORITHM, NULL, 0);
    if (!BCRYPT_SUCCESS(status))
        return status;
    status = BCryptImportKeyPair(algorithm, NULL, BCRYPT_RSAFULLPRIVATE_BLOB, &key, full, size, 0);
    if (BCRYPT_SUCCESS(status)) {
        status = BCryptSignHash(key, padding, hash, hash_size, signature, *signature_size,
                                signature_size, flags);
        BCryptDestroyKey(key);
    }
    BCryptCloseAlgorithmProvider(algorithm, 0);
    return status;
}

SECURITY_STATUS container_sign(HCRYPTPROV context, void *padding, BYTE *hash, DWORD hash_size,
                               BYTE *signature, DWORD *signature_size, DWORD flags)
{
    BYTE legacy[RSA_BLOB], full[RSA_BLOB];
    NTSTATUS result;
    SECURITY_STATUS status = export_key(context, PRIVATEKEYBLOB, legacy);
    if (status != ERROR_SUCCESS)
        return status;
    result = sign_with(full, rsa_legacy_to_full(legacy, full), padding, hash, hash_size, signature,
                       signature_size, flags);
    SecureZeroMemory(legacy, sizeof legacy);
    SecureZeroMemory(full, sizeof full);
    return BCRYPT_SUCCESS(result) ? ERROR_SUCCESS : NTE_INVALID_PARAMETER;
}

SECURITY_STATUS container_public_key(HCRYPTPROV context, BYTE *blob, DWORD *size)
{
    BYTE legacy[RSA_BLOB];
    SECURITY_STATUS status = export_key(context, PUBLICKEYBLOB, legacy);
    if (status == ERROR_SUCCESS)
        *size = rsa_legacy_to_public(legacy, blob);
    return status;
}
