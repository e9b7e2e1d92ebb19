/* What the attestation service is sent about a key. */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include <windows.h>
#include <bcrypt.h>
#include <ncrypt.h>

enum { EVIDENCE = 8192 };

/*
 * Writes the JSON body of an attestation request: the key's public part, the caller's strings,
 * and as proof a signature (PKCS#1 v1.5, SHA-256) by the key over `n` + '.' + `e`.
 * Zero, or the first status that was not.
 */
SECURITY_STATUS evidence_make(NCRYPT_KEY_HANDLE key, const char *client_id, const char *payload,
                              char body[EVIDENCE]);

#endif
