/* The keys as the stand-in keeps them: a text file for each, and the handles of this process. */
#ifndef KEYSTORE_H
#define KEYSTORE_H

#include <stdbool.h>

#include "container.h"

enum { KEY_NAME = 128 };

typedef enum { SOFTWARE_PROVIDER, PLATFORM_PROVIDER } ProviderKind;

/* `virtual_iso` when the key has no such property. */
enum { NO_VIRTUAL_ISO = -1 };

typedef struct {
    ProviderKind provider;
    wchar_t name[KEY_NAME];
    wchar_t container[CONTAINER_NAME];
    HCRYPTPROV context; /* its handle too: Wine's TLS must be able to use it */
    DWORD flags;        /* as given at creation */
    DWORD length;       /* bits */
    DWORD export_policy;
    DWORD usage;
    long long virtual_iso;
    long long boot; /* the host's boot in which it was made */
    bool finalized;
} Key;

/* Key files. One process at a time holds the lock; it may be taken again by its holder. */
HANDLE keys_lock(void);
void keys_unlock(HANDLE lock);
bool key_load(ProviderKind provider, const wchar_t *name, Key *key);
bool key_save(const Key *key);
bool key_forget(const Key *key);

/* The handles of this process: of keys, and of providers. */
void handle_add_key(const Key *key);
bool handle_find_key(NCRYPT_HANDLE handle, Key *copy);
void handle_update_key(const Key *key);
bool handle_remove_key(NCRYPT_HANDLE handle, Key *copy);
NCRYPT_PROV_HANDLE handle_add_provider(ProviderKind kind);
bool handle_find_provider(NCRYPT_HANDLE handle, ProviderKind *kind);
bool handle_remove_provider(NCRYPT_HANDLE handle);
int handle_count(void);

#endif
