#include "properties.h"

#include <string.h>
#include <wchar.h>

SECURITY_STATUS give(const void *data, DWORD size, BYTE *output, DWORD room, DWORD *result)
{
    if (result == NULL)
        return NTE_INVALID_PARAMETER;
    *result = size;
    if (output == NULL)
        return ERROR_SUCCESS;
    if (room < size)
        return NTE_BUFFER_TOO_SMALL;
    memcpy(output, data, size);
    return ERROR_SUCCESS;
}

static SECURITY_STATUS give_number(DWORD number, BYTE *output, DWORD room, DWORD *result)
{
    return give(&number, sizeof number, output, room, result);
}

static SECURITY_STATUS give_string(const wchar_t *text, BYTE *output, DWORD room, DWORD *result)
{
    return give(text, (DWORD)((wcslen(text) + 1) * sizeof *text), output, room, result);
}

SECURITY_STATUS key_property(const Key *key, LPCWSTR property, BYTE *output, DWORD room,
                             DWORD *result)
{
    if (wcscmp(property, L"Virtual Iso") == 0) {
        if (key->virtual_iso == NO_VIRTUAL_ISO)
            return NTE_NOT_FOUND;
        return give_number((DWORD)key->virtual_iso, output, room, result);
    }
    if (wcscmp(property, NCRYPT_LENGTH_PROPERTY) == 0)
        return give_number(key->length, output, room, result);
    if (wcscmp(property, NCRYPT_EXPORT_POLICY_PROPERTY) == 0)
        return give_number(key->export_policy, output, room, result);
    if (wcscmp(property, NCRYPT_KEY_USAGE_PROPERTY) == 0)
        return give_number(key->usage, output, room, result);
    if (wcscmp(property, NCRYPT_KEY_TYPE_PROPERTY) == 0) /* of the user, not of the machine */
        return give_number(0, output, room, result);
    if (wcscmp(property, NCRYPT_NAME_PROPERTY) == 0)
        return give_string(key->name, output, room, result);
    if (wcscmp(property, NCRYPT_UNIQUE_NAME_PROPERTY) == 0)
        return give_string(key->container, output, room, result);
    if (wcscmp(property, NCRYPT_ALGORITHM_PROPERTY) == 0 ||
        wcscmp(property, NCRYPT_ALGORITHM_GROUP_PROPERTY) == 0)
        return give_string(BCRYPT_RSA_ALGORITHM, output, room, result);
    if (wcscmp(property, NCRYPT_PROVIDER_HANDLE_PROPERTY) == 0) {
        /* A handle of its own, which the caller frees. */
        NCRYPT_PROV_HANDLE provider =
            output != NULL && room >= sizeof provider ? handle_add_provider(key->provider) : 0;
        return give(&provider, sizeof provider, output, room, result);
    }
    return NTE_NOT_SUPPORTED;
}

SECURITY_STATUS provider_property(ProviderKind kind, LPCWSTR property, BYTE *output, DWORD room,
                                  DWORD *result)
{
    if (wcscmp(property, NCRYPT_NAME_PROPERTY) == 0)
        return give_string(kind == SOFTWARE_PROVIDER ? MS_KEY_STORAGE_PROVIDER
                                                     : MS_PLATFORM_CRYPTO_PROVIDER,
                           output, room, result);
    if (wcscmp(property, NCRYPT_IMPL_TYPE_PROPERTY) == 0)
        return give_number(kind == SOFTWARE_PROVIDER ? NCRYPT_IMPL_SOFTWARE_FLAG
                                                     : NCRYPT_IMPL_HARDWARE_FLAG,
                           output, room, result);
    return NTE_NOT_SUPPORTED;
}

SECURITY_STATUS key_set_number(Key *key, LPCWSTR property, DWORD value)
{
    if (wcscmp(property, NCRYPT_LENGTH_PROPERTY) == 0) {
        if (value < 1024 || value > 4096 || value % 64 != 0)
            return NTE_INVALID_PARAMETER;
        key->length = value;
    } else if (wcscmp(property, NCRYPT_EXPORT_POLICY_PROPERTY) == 0) {
        key->export_policy = value;
    } else if (wcscmp(property, NCRYPT_KEY_USAGE_PROPERTY) == 0) {
        key->usage = value;
    } else {
        return NTE_NOT_SUPPORTED;
    }
    return ERROR_SUCCESS;
}
