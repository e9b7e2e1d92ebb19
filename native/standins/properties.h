/* The properties of keys and providers, in the manner of NCryptGetProperty. */
#ifndef PROPERTIES_H
#define PROPERTIES_H

#include "keystore.h"

/* Hands bytes to a caller as all of ncrypt's functions do: a null buffer asks for the size. */
SECURITY_STATUS give(const void *data, DWORD size, BYTE *output, DWORD room, DWORD *result);

SECURITY_STATUS key_property(const Key *key, LPCWSTR property, BYTE *output, DWORD room,
                             DWORD *result);
SECURITY_STATUS provider_property(ProviderKind kind, LPCWSTR property, BYTE *output, DWORD room,
                                  DWORD *result);

/* Those that can be set are numbers, and of keys that are not finalized yet. */
SECURITY_STATUS key_set_number(Key *key, LPCWSTR property, DWORD value);

#endif
