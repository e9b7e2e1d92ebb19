/*
 * A test-only AttestationClientLib.dll: the exports and the manners of the real one, with a
 * service that knows no TPM. It fails as its script says, and logs every call; what it logs is
 * arguments, never a token. See native/README.md.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include "evidence.h"
#include "post.h"
#include "standin.h"

enum { SUCCESS = 0, NOT_INITIALISED = -1, BAD_RESPONSE = -2, HTTP_FAILED = -3, REJECTED = -6,
       INVALID_PARAMETER = -8, KEY_FAILED = -12 };
enum { ANSWER = 16384, MOST_TOKENS = 256 };

typedef void (*LogCallback)(void *context, const char *tag, int32_t level, const char *function,
                            int32_t line, const char *message);

typedef struct {
    LogCallback log;
    void *context;
} AttestationLogInfo;

int32_t InitAttestationLib(AttestationLogInfo *info);
int32_t AttestKeyGuardImportKey(const char *endpoint, const char *auth_token,
                                const char *client_payload, NCRYPT_KEY_HANDLE key, char **token,
                                const char *client_id);
void FreeAttestationToken(char *token);
void UninitAttestationLib(void);
int32_t StandinOutstandingTokens(void);

const wchar_t *const standin_name = L"attestation";

static struct {
    SRWLOCK lock;
    bool initialised;
    AttestationLogInfo info;
    HANDLE late_thread; /* calls back until uninit */
    volatile LONG leaving;
    char *tokens[MOST_TOKENS];
} state = {.lock = SRWLOCK_INIT};

static void say(int32_t level, const char *message)
{
    char scripted[STANDIN_VALUE];
    if (standin_scripted("log.message", scripted))
        message = scripted;
    if (state.info.log != NULL)
        state.info.log(state.info.context, "standin", level, "AttestKeyGuardImportKey", 42,
                       message);
}

static DWORD WINAPI say_once(void *unused)
{
    (void)unused;
    say(2, "from another thread");
    return 0;
}

static DWORD WINAPI say_until_uninit(void *unused)
{
    (void)unused;
    while (!state.leaving) {
        say(2, "after the return");
        Sleep(5);
    }
    return 0;
}

/* Calls the log callback in all the ways that the script asks for. */
static void talk(void)
{
    if (standin_number("log.levels", 0))
        for (int32_t level = 0; level <= 3; level++)
            say(level, "from the same thread");
    if (standin_number("log.thread", 0)) {
        HANDLE thread = CreateThread(NULL, 0, say_once, NULL, 0, NULL);
        WaitForSingleObject(thread, INFINITE);
        CloseHandle(thread);
    }
    AcquireSRWLockExclusive(&state.lock);
    if (standin_number("log.late", 0) && state.late_thread == NULL)
        state.late_thread = CreateThread(NULL, 0, say_until_uninit, NULL, 0, NULL);
    ReleaseSRWLockExclusive(&state.lock);
}

int32_t InitAttestationLib(AttestationLogInfo *info)
{
    int32_t result;
    standin_wait("init.delay");
    result = (int32_t)standin_number("init.result", SUCCESS);
    if (result == SUCCESS) {
        AcquireSRWLockExclusive(&state.lock);
        state.info = info != NULL ? *info : (AttestationLogInfo){0};
        state.initialised = true;
        state.leaving = 0;
        ReleaseSRWLockExclusive(&state.lock);
    }
    standin_log("init\tresult=%d\tcallback=%d", result, info != NULL && info->log != NULL);
    return result;
}

/* Hands a copy of a text to the caller, and remembers that it has to come back. */
static char *give_token(const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    if (copy == NULL)
        return NULL;
    strcpy(copy, text);
    AcquireSRWLockExclusive(&state.lock);
    for (int i = 0; i < MOST_TOKENS; i++)
        if (state.tokens[i] == NULL) {
            state.tokens[i] = copy;
            break;
        }
    ReleaseSRWLockExclusive(&state.lock);
    return copy;
}

/* The value of "token" in the service's answer, cut out in place; null if there is none. */
static char *find_token(char *answer)
{
    char *start = strstr(answer, "\"token\"");
    char *end;
    if (start == NULL || (start = strchr(start + 7, '"')) == NULL)
        return NULL;
    end = strchr(++start, '"');
    if (end == NULL)
        return NULL;
    *end = 0;
    return start;
}

/* Asks the service for a token over a key. */
static int32_t ask(const char *endpoint, const char *payload, NCRYPT_KEY_HANDLE key,
                   const char *client_id, char **token)
{
    char url[1024], body[EVIDENCE], answer[ANSWER], *found;
    size_t length = strlen(endpoint);
    unsigned status;
    while (length > 0 && endpoint[length - 1] == '/')
        length--;
    snprintf(url, sizeof url, "%.*s/attest/keyguard?api-version=2020-10-01", (int)length, endpoint);
    if (evidence_make(key, client_id, payload, body) != ERROR_SUCCESS)
        return KEY_FAILED;
    status = post_json(url, body, answer, sizeof answer);
    if (status == 400 || status == 401 || status == 403)
        return REJECTED;
    if (status != 200)
        return HTTP_FAILED;
    if ((found = find_token(answer)) == NULL)
        return BAD_RESPONSE;
    *token = give_token(found);
    return SUCCESS;
}

/* What comes back in place of the service's token; false when the script does not care. */
static bool scripted_token(char **token)
{
    char mode[STANDIN_VALUE];
    if (!standin_scripted("attest.token", mode))
        return false;
    if (strcmp(mode, "null") == 0)
        *token = NULL;
    else if (strcmp(mode, "empty") == 0)
        *token = give_token("");
    else if (strcmp(mode, "blank") == 0)
        *token = give_token(" \t\r\n");
    else
        *token = give_token(mode);
    return true;
}

static int32_t attest(const char *endpoint, const char *payload, NCRYPT_KEY_HANDLE key,
                      char **token, const char *client_id)
{
    int32_t result;
    bool initialised;
    AcquireSRWLockShared(&state.lock);
    initialised = state.initialised;
    ReleaseSRWLockShared(&state.lock);
    if (!initialised)
        return NOT_INITIALISED;
    if (endpoint == NULL || payload == NULL || key == 0 || token == NULL || client_id == NULL)
        return INVALID_PARAMETER;
    *token = NULL;
    talk();
    standin_wait("attest.delay");
    result = (int32_t)standin_number("attest.result", SUCCESS);
    if (result != SUCCESS || scripted_token(token))
        return result;
    return ask(endpoint, payload, key, client_id, token);
}

int32_t AttestKeyGuardImportKey(const char *endpoint, const char *auth_token,
                                const char *client_payload, NCRYPT_KEY_HANDLE key, char **token,
                                const char *client_id)
{
    int32_t result = attest(endpoint, client_payload, key, token, client_id);
    standin_log("attest\tresult=%d\tendpoint=%s\tauth_token=%s\tclient_payload=%s\tclient_id=%s",
                result, endpoint != NULL ? endpoint : "(null)",
                auth_token == NULL ? "(null)" : *auth_token == 0 ? "(empty)" : "(given)",
                client_payload != NULL ? client_payload : "(null)",
                client_id != NULL ? client_id : "(null)");
    return result;
}

void FreeAttestationToken(char *token)
{
    bool ours = false;
    AcquireSRWLockExclusive(&state.lock);
    for (int i = 0; i < MOST_TOKENS && token != NULL && !ours; i++)
        if (state.tokens[i] == token) {
            state.tokens[i] = NULL;
            ours = true;
        }
    ReleaseSRWLockExclusive(&state.lock);
    if (ours)
        free(token);
    standin_log("free\tresult=%s", token == NULL ? "null" : ours ? "freed" : "not a token of ours");
}

void UninitAttestationLib(void)
{
    HANDLE thread;
    AcquireSRWLockExclusive(&state.lock);
    state.initialised = false;
    state.leaving = 1;
    thread = state.late_thread;
    state.late_thread = NULL;
    ReleaseSRWLockExclusive(&state.lock);
    if (thread != NULL) {
        /* The lock is not held: the thread may be inside a callback that calls us. */
        WaitForSingleObject(thread, INFINITE);
        CloseHandle(thread);
    }
    standin_log("uninit");
}

int32_t StandinOutstandingTokens(void)
{
    int32_t count = 0;
    AcquireSRWLockShared(&state.lock);
    for (int i = 0; i < MOST_TOKENS; i++)
        count += state.tokens[i] != NULL;
    ReleaseSRWLockShared(&state.lock);
    return count;
}
