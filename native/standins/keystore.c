#include "keystore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "standin.h"

enum { MOST_HANDLES = 1024 };

/* A used slot has a handle: the key's context, or for a provider the slot's own address. */
typedef struct {
    NCRYPT_HANDLE handle;
    bool is_provider;
    ProviderKind kind;
    Key key;
} Slot;

static Slot slots[MOST_HANDLES];
static SRWLOCK slots_lock = SRWLOCK_INIT;

HANDLE keys_lock(void)
{
    HANDLE mutex = CreateMutexW(NULL, FALSE, L"Local\\standin-ncrypt-keys");
    WaitForSingleObject(mutex, INFINITE);
    return mutex;
}

void keys_unlock(HANDLE lock)
{
    ReleaseMutex(lock);
    CloseHandle(lock);
}

/* `keys\<provider>-<name>.key`; what a file name may not hold is written as %XXXX. */
static void key_path(ProviderKind provider, const wchar_t *name, wchar_t path[STANDIN_PATH])
{
    wchar_t leaf[6 * KEY_NAME], directory[STANDIN_PATH];
    size_t used = (size_t)_snwprintf(leaf, 16, L"keys\\%s-",
                                     provider == SOFTWARE_PROVIDER ? L"ksp" : L"tpm");
    for (; *name != 0 && used < 6 * KEY_NAME - 16; name++) {
        bool plain = wcschr(L"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
                            *name) != NULL;
        used += (size_t)_snwprintf(leaf + used, 8, plain ? L"%c" : L"%%%04x", *name);
    }
    wcscpy(leaf + used, L".key");
    standin_path(L"keys", directory);
    CreateDirectoryW(directory, NULL);
    standin_path(leaf, path);
}

static long long number(const char *text, const char *name, long long otherwise)
{
    char value[STANDIN_VALUE];
    return standin_find(text, name, value) ? strtoll(value, NULL, 0) : otherwise;
}

bool key_load(ProviderKind provider, const wchar_t *name, Key *key)
{
    wchar_t path[STANDIN_PATH];
    char text[STANDIN_TEXT], container[STANDIN_VALUE];
    key_path(provider, name, path);
    standin_read(path, text);
    if (!standin_find(text, "container", container))
        return false;
    memset(key, 0, sizeof *key);
    key->provider = provider;
    wcsncpy(key->name, name, KEY_NAME - 1);
    MultiByteToWideChar(CP_UTF8, 0, container, -1, key->container, CONTAINER_NAME);
    key->flags = (DWORD)number(text, "flags", 0);
    key->length = (DWORD)number(text, "length", 0);
    key->export_policy = (DWORD)number(text, "export_policy", 0);
    key->usage = (DWORD)number(text, "usage", 0);
    key->virtual_iso = number(text, "virtual_iso", NO_VIRTUAL_ISO);
    key->boot = number(text, "boot", 0);
    key->finalized = true;
    return true;
}

bool key_save(const Key *key)
{
    wchar_t path[STANDIN_PATH];
    char text[STANDIN_VALUE], container[STANDIN_VALUE];
    DWORD written;
    BOOL done;
    HANDLE file;
    int length = snprintf(text, sizeof text,
                          "container=%s\nflags=0x%08lx\nlength=%lu\nexport_policy=%lu\n"
                          "usage=%lu\nvirtual_iso=%lld\nboot=%lld\n",
                          standin_utf8(key->container, container), key->flags, key->length,
                          key->export_policy, key->usage, key->virtual_iso, key->boot);
    key_path(key->provider, key->name, path);
    file = CreateFileW(path, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return false;
    done = WriteFile(file, text, (DWORD)length, &written, NULL);
    CloseHandle(file);
    return done;
}

bool key_forget(const Key *key)
{
    wchar_t path[STANDIN_PATH];
    key_path(key->provider, key->name, path);
    return DeleteFileW(path);
}

/* The slot of a handle; the lock is held. */
static Slot *find(NCRYPT_HANDLE handle, bool is_provider)
{
    for (int i = 0; i < MOST_HANDLES && handle != 0; i++)
        if (slots[i].handle == handle && slots[i].is_provider == is_provider)
            return &slots[i];
    return NULL;
}

static Slot *find_free(void)
{
    for (int i = 0; i < MOST_HANDLES; i++)
        if (slots[i].handle == 0)
            return &slots[i];
    fputs("stand-in: a test leaks handles by the thousand\n", stderr);
    abort();
}

void handle_add_key(const Key *key)
{
    Slot *slot;
    AcquireSRWLockExclusive(&slots_lock);
    slot = find_free();
    *slot = (Slot){.handle = key->context, .key = *key};
    ReleaseSRWLockExclusive(&slots_lock);
}

bool handle_find_key(NCRYPT_HANDLE handle, Key *copy)
{
    Slot *slot;
    AcquireSRWLockShared(&slots_lock);
    slot = find(handle, false);
    if (slot != NULL)
        *copy = slot->key;
    ReleaseSRWLockShared(&slots_lock);
    return slot != NULL;
}

void handle_update_key(const Key *key)
{
    Slot *slot;
    AcquireSRWLockExclusive(&slots_lock);
    slot = find(key->context, false);
    if (slot != NULL)
        slot->key = *key;
    ReleaseSRWLockExclusive(&slots_lock);
}

static bool handle_remove(NCRYPT_HANDLE handle, bool is_provider, Key *copy)
{
    Slot *slot;
    AcquireSRWLockExclusive(&slots_lock);
    slot = find(handle, is_provider);
    if (slot != NULL) {
        if (copy != NULL)
            *copy = slot->key;
        slot->handle = 0;
    }
    ReleaseSRWLockExclusive(&slots_lock);
    return slot != NULL;
}

bool handle_remove_key(NCRYPT_HANDLE handle, Key *copy)
{
    return handle_remove(handle, false, copy);
}

NCRYPT_PROV_HANDLE handle_add_provider(ProviderKind kind)
{
    Slot *slot;
    NCRYPT_PROV_HANDLE handle;
    AcquireSRWLockExclusive(&slots_lock);
    slot = find_free();
    handle = (NCRYPT_PROV_HANDLE)slot;
    *slot = (Slot){.handle = handle, .is_provider = true, .kind = kind};
    ReleaseSRWLockExclusive(&slots_lock);
    return handle;
}

bool handle_find_provider(NCRYPT_HANDLE handle, ProviderKind *kind)
{
    Slot *slot;
    AcquireSRWLockShared(&slots_lock);
    slot = find(handle, true);
    if (slot != NULL)
        *kind = slot->kind;
    ReleaseSRWLockShared(&slots_lock);
    return slot != NULL;
}

bool handle_remove_provider(NCRYPT_HANDLE handle)
{
    return handle_remove(handle, true, NULL);
}

int handle_count(void)
{
    int count = 0;
    AcquireSRWLockShared(&slots_lock);
    for (int i = 0; i < MOST_HANDLES; i++)
        count += slots[i].handle != 0;
    ReleaseSRWLockShared(&slots_lock);
    return count;
}
