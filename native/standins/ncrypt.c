/*
 * A test-only ncrypt.dll: KeyGuard-like RSA keys on a machine that has no KeyGuard.
 *
 * It refuses what the real one refuses (private export, unknown flags, unfinalized keys, foreign
 * handles), fails as its script says, and logs every call. See native/README.md.
 */
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "keystore.h"
#include "properties.h"
#include "rsablob.h"
#include "standin.h"

#ifndef NCRYPT_USE_VIRTUAL_ISOLATION_FLAG /* mingw-w64 10 */
#define NCRYPT_USE_VIRTUAL_ISOLATION_FLAG 0x00020000
#define NCRYPT_USE_PER_BOOT_KEY_FLAG 0x00040000
#endif

enum { ISOLATION_FLAGS = NCRYPT_USE_VIRTUAL_ISOLATION_FLAG | NCRYPT_USE_PER_BOOT_KEY_FLAG };
static const SECURITY_STATUS VIRTUALIZATION_OFF = (SECURITY_STATUS)0x80890014;
static const SECURITY_STATUS MATERIAL_GONE = (SECURITY_STATUS)0x8009003A;

const wchar_t *const standin_name = L"ncrypt";

static const char *label(ProviderKind kind)
{
    return kind == SOFTWARE_PROVIDER ? "ksp" : "tpm";
}

/*
 * What the script wants of a function: first a wait of `<function>.delay` milliseconds, then
 * the status `<provider>.<function>.status`, or `<function>.status`, or success.
 */
static SECURITY_STATUS scripted(ProviderKind kind, const char *function)
{
    char name[64];
    long long status;
    snprintf(name, sizeof name, "%s.delay", function);
    standin_wait(name);
    snprintf(name, sizeof name, "%s.%s.status", label(kind), function);
    status = standin_number(name, -1);
    if (status == -1)
        status = standin_number(name + strlen("ksp."), 0);
    return (SECURITY_STATUS)status;
}

/* Logs one call on a key, and hands on its status. */
static SECURITY_STATUS done(const char *function, const Key *key, DWORD flags,
                            SECURITY_STATUS status)
{
    char name[STANDIN_VALUE];
    standin_log("%s\tstatus=0x%08lx\tprovider=%s\tkey=%s\tflags=0x%08lx", function, status,
                label(key->provider), standin_utf8(key->name, name), flags);
    return status;
}

static SECURITY_STATUS bad_handle(const char *function)
{
    standin_log("%s\tstatus=0x%08lx", function, NTE_INVALID_HANDLE);
    return NTE_INVALID_HANDLE;
}

/* A per-boot key of an earlier boot: still listed, its material gone. */
static bool is_dead(const Key *key)
{
    return (key->flags & NCRYPT_USE_PER_BOOT_KEY_FLAG) && key->boot != standin_number("boot", 0);
}

SECURITY_STATUS WINAPI NCryptOpenStorageProvider(NCRYPT_PROV_HANDLE *provider, LPCWSTR name,
                                                 DWORD flags)
{
    ProviderKind kind = SOFTWARE_PROVIDER;
    SECURITY_STATUS status;
    char text[STANDIN_VALUE];
    if (provider == NULL)
        return NTE_INVALID_PARAMETER;
    if (name != NULL && wcscmp(name, MS_PLATFORM_CRYPTO_PROVIDER) == 0)
        kind = PLATFORM_PROVIDER;
    status = scripted(kind, "provider");
    if (status == ERROR_SUCCESS && name != NULL && kind == SOFTWARE_PROVIDER &&
        wcscmp(name, MS_KEY_STORAGE_PROVIDER) != 0)
        status = NTE_NOT_FOUND;
    if (status == ERROR_SUCCESS && (flags & ~(DWORD)NCRYPT_SILENT_FLAG))
        status = NTE_BAD_FLAGS;
    if (status == ERROR_SUCCESS)
        *provider = handle_add_provider(kind);
    standin_log("provider\tstatus=0x%08lx\tprovider=%s\tname=%s\tflags=0x%08lx", status,
                label(kind), standin_utf8(name, text), flags);
    return status;
}

SECURITY_STATUS WINAPI NCryptOpenKey(NCRYPT_PROV_HANDLE provider, NCRYPT_KEY_HANDLE *handle,
                                     LPCWSTR name, DWORD legacy_spec, DWORD flags)
{
    Key key = {0};
    SECURITY_STATUS status;
    HANDLE lock;
    if (!handle_find_provider(provider, &key.provider))
        return bad_handle("open");
    if (handle == NULL || name == NULL || wcslen(name) >= KEY_NAME || legacy_spec != 0)
        return NTE_INVALID_PARAMETER;
    wcscpy(key.name, name);
    if (flags & ~(DWORD)NCRYPT_SILENT_FLAG)
        return done("open", &key, flags, NTE_BAD_FLAGS);
    if ((status = scripted(key.provider, "open")) != ERROR_SUCCESS)
        return done("open", &key, flags, status);
    lock = keys_lock();
    if (!key_load(key.provider, name, &key))
        status = NTE_BAD_KEYSET;
    else if (is_dead(&key))
        status = (SECURITY_STATUS)standin_number("dead.open", ERROR_SUCCESS);
    if (status == ERROR_SUCCESS)
        status = container_open(key.container, &key.context);
    keys_unlock(lock);
    if (status == ERROR_SUCCESS) {
        handle_add_key(&key);
        *handle = key.context;
    }
    return done("open", &key, flags, status);
}

/* What the host makes of the isolation flags; sets what the key will say of its isolation. */
static SECURITY_STATUS isolate(Key *key)
{
    char mode[STANDIN_VALUE];
    key->virtual_iso = NO_VIRTUAL_ISO;
    if (!(key->flags & ISOLATION_FLAGS))
        return ERROR_SUCCESS;
    if (key->provider != SOFTWARE_PROVIDER)
        return NTE_BAD_FLAGS;
    if (!standin_scripted("isolation", mode))
        strcpy(mode, "on");
    if (strcmp(mode, "off") == 0)
        return (SECURITY_STATUS)standin_number("isolation.status", VIRTUALIZATION_OFF);
    if (strcmp(mode, "missing") != 0 && (key->flags & NCRYPT_USE_VIRTUAL_ISOLATION_FLAG))
        key->virtual_iso = strcmp(mode, "zero") == 0 ? 0 : 1;
    return ERROR_SUCCESS;
}

static SECURITY_STATUS refuse_existing(const Key *key)
{
    Key existing;
    if (key->flags & NCRYPT_OVERWRITE_KEY_FLAG)
        return ERROR_SUCCESS;
    return key_load(key->provider, key->name, &existing) ? NTE_EXISTS : ERROR_SUCCESS;
}

SECURITY_STATUS WINAPI NCryptCreatePersistedKey(NCRYPT_PROV_HANDLE provider,
                                                NCRYPT_KEY_HANDLE *handle, LPCWSTR algorithm,
                                                LPCWSTR name, DWORD legacy_spec, DWORD flags)
{
    const DWORD known = NCRYPT_SILENT_FLAG | NCRYPT_OVERWRITE_KEY_FLAG | ISOLATION_FLAGS;
    Key key = {.flags = flags, .length = 2048, .usage = NCRYPT_ALLOW_ALL_USAGES};
    SECURITY_STATUS status;
    if (!handle_find_provider(provider, &key.provider))
        return bad_handle("create");
    if (handle == NULL || name == NULL || wcslen(name) >= KEY_NAME || legacy_spec != 0)
        return NTE_INVALID_PARAMETER;
    wcscpy(key.name, name);
    if (algorithm == NULL || wcscmp(algorithm, BCRYPT_RSA_ALGORITHM) != 0)
        return done("create", &key, flags, NTE_NOT_SUPPORTED);
    if (flags & ~known)
        return done("create", &key, flags, NTE_BAD_FLAGS);
    status = scripted(key.provider, "create");
    if (status == ERROR_SUCCESS)
        status = isolate(&key);
    if (status == ERROR_SUCCESS)
        status = refuse_existing(&key);
    if (status == ERROR_SUCCESS)
        status = container_create(key.container, &key.context);
    if (status == ERROR_SUCCESS) {
        handle_add_key(&key);
        *handle = key.context;
    }
    return done("create", &key, flags, status);
}

/* Makes the material and the key file. The lock is held: another process may be as far. */
static SECURITY_STATUS persist(Key *key, bool *overwrites)
{
    Key existing;
    SECURITY_STATUS status;
    *overwrites = key_load(key->provider, key->name, &existing);
    status = refuse_existing(key);
    if (status == ERROR_SUCCESS)
        status = container_generate(key->context, key->length);
    if (status == ERROR_SUCCESS && !key_save(key))
        status = NTE_FAIL;
    return status;
}

SECURITY_STATUS WINAPI NCryptFinalizeKey(NCRYPT_KEY_HANDLE handle, DWORD flags)
{
    Key key;
    SECURITY_STATUS status;
    bool overwrites = false;
    HANDLE lock;
    if (!handle_find_key(handle, &key))
        return bad_handle("finalize");
    if (key.finalized)
        return done("finalize", &key, flags, NTE_BAD_KEY_STATE);
    if (flags & ~(DWORD)NCRYPT_SILENT_FLAG)
        return done("finalize", &key, flags, NTE_BAD_FLAGS);
    status = scripted(key.provider, "finalize");
    if (status == ERROR_SUCCESS) {
        key.boot = standin_number("boot", 0);
        lock = keys_lock();
        status = persist(&key, &overwrites);
        keys_unlock(lock);
    }
    if (status == ERROR_SUCCESS) {
        key.finalized = true;
        handle_update_key(&key);
        done(overwrites ? "overwritten" : "created", &key, key.flags, status);
    }
    return done("finalize", &key, flags, status);
}

SECURITY_STATUS WINAPI NCryptGetProperty(NCRYPT_HANDLE object, LPCWSTR property, PBYTE output,
                                         DWORD room, DWORD *result, DWORD flags)
{
    Key key;
    ProviderKind kind;
    SECURITY_STATUS status;
    char text[STANDIN_VALUE];
    (void)flags;
    if (property == NULL)
        return NTE_INVALID_PARAMETER;
    if (handle_find_provider(object, &kind))
        return provider_property(kind, property, output, room, result);
    if (!handle_find_key(object, &key))
        return bad_handle("get");
    if ((status = scripted(key.provider, "get")) == ERROR_SUCCESS)
        status = key_property(&key, property, output, room, result);
    standin_log("get\tstatus=0x%08lx\tprovider=%s\tproperty=%s", status, label(key.provider),
                standin_utf8(property, text));
    return status;
}

SECURITY_STATUS WINAPI NCryptSetProperty(NCRYPT_HANDLE object, LPCWSTR property, PBYTE input,
                                         DWORD size, DWORD flags)
{
    Key key;
    SECURITY_STATUS status;
    DWORD value = 0;
    char text[STANDIN_VALUE];
    if (property == NULL || input == NULL)
        return NTE_INVALID_PARAMETER;
    if (!handle_find_key(object, &key))
        return bad_handle("set");
    if ((status = scripted(key.provider, "set")) == ERROR_SUCCESS) {
        if (key.finalized)
            status = NTE_BAD_KEY_STATE;
        else if (size != sizeof value)
            status = NTE_BAD_LEN;
    }
    if (status == ERROR_SUCCESS) {
        memcpy(&value, input, sizeof value);
        status = key_set_number(&key, property, value);
    }
    if (status == ERROR_SUCCESS)
        handle_update_key(&key);
    standin_log("set\tstatus=0x%08lx\tprovider=%s\tproperty=%s\tvalue=%lu\tflags=0x%08lx", status,
                label(key.provider), standin_utf8(property, text), value, flags);
    return status;
}

SECURITY_STATUS WINAPI NCryptSignHash(NCRYPT_KEY_HANDLE handle, VOID *padding, PBYTE hash,
                                      DWORD hash_size, PBYTE signature, DWORD room, DWORD *result,
                                      DWORD flags)
{
    const DWORD paddings = NCRYPT_PAD_PKCS1_FLAG | BCRYPT_PAD_PSS;
    Key key;
    SECURITY_STATUS status;
    DWORD size;
    if (!handle_find_key(handle, &key))
        return bad_handle("sign");
    if (!key.finalized)
        return done("sign", &key, flags, NTE_BAD_KEY_STATE);
    if (hash == NULL || result == NULL || padding == NULL || !(flags & paddings))
        return done("sign", &key, flags, NTE_INVALID_PARAMETER);
    if (flags & ~(paddings | NCRYPT_SILENT_FLAG))
        return done("sign", &key, flags, NTE_BAD_FLAGS);
    size = key.length / 8;
    if ((flags & BCRYPT_PAD_PSS) && ((BCRYPT_PSS_PADDING_INFO *)padding)->cbSalt < hash_size)
        return done("sign", &key, flags, NTE_NOT_SUPPORTED); /* Wine would lengthen the salt */
    *result = size;
    if (signature == NULL)
        return ERROR_SUCCESS;
    if (room < size)
        return NTE_BUFFER_TOO_SMALL;
    if (is_dead(&key))
        return done("sign", &key, flags, (SECURITY_STATUS)standin_number("dead.sign", MATERIAL_GONE));
    if ((status = scripted(key.provider, "sign")) == ERROR_SUCCESS)
        status = container_sign(key.context, padding, hash, hash_size, signature, &room,
                                flags & paddings);
    return done("sign", &key, flags, status);
}

SECURITY_STATUS WINAPI NCryptExportKey(NCRYPT_KEY_HANDLE handle, NCRYPT_KEY_HANDLE export_key,
                                       LPCWSTR type, NCryptBufferDesc *parameters, PBYTE output,
                                       DWORD room, DWORD *result, DWORD flags)
{
    Key key;
    SECURITY_STATUS status;
    BYTE blob[RSA_BLOB];
    DWORD size;
    if (!handle_find_key(handle, &key))
        return bad_handle("export");
    if (type == NULL || result == NULL || export_key != 0 || parameters != NULL)
        return NTE_INVALID_PARAMETER;
    if (!key.finalized)
        return done("export", &key, flags, NTE_BAD_KEY_STATE);
    if (wcscmp(type, BCRYPT_RSAPUBLIC_BLOB) != 0)
        return done("export.private", &key, flags, NTE_NOT_SUPPORTED);
    size = sizeof(BCRYPT_RSAKEY_BLOB) + RSA_EXPONENT + key.length / 8;
    if (output == NULL)
        return give(NULL, size, NULL, 0, result);
    if ((status = scripted(key.provider, "export")) == ERROR_SUCCESS && is_dead(&key))
        status = (SECURITY_STATUS)standin_number("dead.export", ERROR_SUCCESS);
    if (status == ERROR_SUCCESS)
        status = container_public_key(key.context, blob, &size);
    if (status == ERROR_SUCCESS)
        status = give(blob, size, output, room, result);
    return done("export", &key, flags, status);
}

/* Lets go of a key; one that was never finalized goes for good. */
static void release(const Key *key)
{
    CryptReleaseContext(key->context, 0);
    if (!key->finalized)
        container_delete(key->container);
}

SECURITY_STATUS WINAPI NCryptDeleteKey(NCRYPT_KEY_HANDLE handle, DWORD flags)
{
    Key key;
    SECURITY_STATUS status;
    HANDLE lock;
    if (!handle_find_key(handle, &key))
        return bad_handle("delete");
    if ((status = scripted(key.provider, "delete")) != ERROR_SUCCESS)
        return done("delete", &key, flags, status);
    lock = keys_lock();
    if (key.finalized)
        key_forget(&key);
    keys_unlock(lock);
    handle_remove_key(handle, &key);
    key.finalized = false;
    release(&key);
    return done("delete", &key, flags, ERROR_SUCCESS);
}

SECURITY_STATUS WINAPI NCryptFreeObject(NCRYPT_HANDLE object)
{
    Key key;
    if (handle_remove_provider(object)) {
        standin_log("free\tstatus=0x00000000\tobject=provider");
        return ERROR_SUCCESS;
    }
    if (!handle_remove_key(object, &key))
        return bad_handle("free");
    release(&key);
    standin_log("free\tstatus=0x00000000\tobject=key");
    return ERROR_SUCCESS;
}

BOOL WINAPI NCryptIsKeyHandle(NCRYPT_KEY_HANDLE handle)
{
    Key key;
    return handle_find_key(handle, &key);
}

/* How many handles of this process are open: keys and providers. */
int WINAPI StandinOpenHandles(void);

int WINAPI StandinOpenHandles(void)
{
    return handle_count();
}
