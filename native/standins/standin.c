#include "standin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* How often each list of the script was asked; the script's text tells when to start anew. */
static struct {
    SRWLOCK lock;
    char script[STANDIN_TEXT];
    unsigned used;
    struct {
        char name[48];
        unsigned asked;
    } lists[64];
} progress = {.lock = SRWLOCK_INIT};

static SRWLOCK log_lock = SRWLOCK_INIT;

void standin_path(const wchar_t *leaf, wchar_t path[STANDIN_PATH])
{
    wchar_t root[STANDIN_PATH - 128];
    DWORD length = GetEnvironmentVariableW(L"STANDIN_STATE", root, STANDIN_PATH - 128);
    if (length == 0 || length >= STANDIN_PATH - 128) {
        GetTempPathW(STANDIN_PATH - 256, root);
        wcscat(root, L"msal-standins");
    }
    CreateDirectoryW(root, NULL);
    _snwprintf(path, STANDIN_PATH - 1, L"%s\\%s", root, leaf);
    path[STANDIN_PATH - 1] = 0;
}

void standin_read(const wchar_t *path, char text[STANDIN_TEXT])
{
    DWORD length = 0;
    HANDLE file = CreateFileW(path, GENERIC_READ,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    text[0] = 0;
    if (file == INVALID_HANDLE_VALUE)
        return;
    if (ReadFile(file, text, STANDIN_TEXT - 1, &length, NULL))
        text[length] = 0;
    CloseHandle(file);
}

bool standin_find(const char *text, const char *name, char value[STANDIN_VALUE])
{
    size_t length = strlen(name);
    for (const char *line = text; line != NULL && *line != 0;) {
        const char *end = line + strcspn(line, "\r\n");
        if (strncmp(line, name, length) == 0 && line[length] == '=') {
            size_t size = (size_t)(end - line) - length - 1;
            if (size >= STANDIN_VALUE)
                size = STANDIN_VALUE - 1;
            memcpy(value, line + length + 1, size);
            value[size] = 0;
            return true;
        }
        line = end + strspn(end, "\r\n");
    }
    return false;
}

static void read_script(char text[STANDIN_TEXT])
{
    wchar_t leaf[64], path[STANDIN_PATH];
    _snwprintf(leaf, 64, L"%s.script", standin_name);
    standin_path(leaf, path);
    standin_read(path, text);
}

bool standin_scripted(const char *name, char value[STANDIN_VALUE])
{
    char text[STANDIN_TEXT];
    read_script(text);
    return standin_find(text, name, value);
}

/* How often this list was asked before, under the script as it is now. */
static unsigned times_asked(const char *script, const char *name)
{
    unsigned asked = 0, i;
    AcquireSRWLockExclusive(&progress.lock);
    if (strcmp(script, progress.script) != 0) {
        strcpy(progress.script, script);
        progress.used = 0;
    }
    for (i = 0; i < progress.used && strcmp(progress.lists[i].name, name) != 0; i++)
        continue;
    if (i == progress.used && i < sizeof progress.lists / sizeof progress.lists[0]) {
        _snprintf(progress.lists[i].name, sizeof progress.lists[i].name - 1, "%s", name);
        progress.lists[i].asked = 0;
        progress.used++;
    }
    if (i < progress.used)
        asked = progress.lists[i].asked++;
    ReleaseSRWLockExclusive(&progress.lock);
    return asked;
}

long long standin_number(const char *name, long long otherwise)
{
    char text[STANDIN_TEXT], value[STANDIN_VALUE];
    const char *member = value;
    read_script(text);
    if (!standin_find(text, name, value))
        return otherwise;
    if (strchr(value, ',') != NULL) {
        const char *next;
        for (unsigned skip = times_asked(text, name); skip > 0; skip--) {
            if ((next = strchr(member, ',')) == NULL)
                break;
            member = next + 1;
        }
    }
    return strtoll(member, NULL, 0);
}

void standin_wait(const char *name)
{
    long long milliseconds = standin_number(name, 0);
    if (milliseconds > 0)
        Sleep((DWORD)milliseconds);
}

void standin_log(const char *format, ...)
{
    char line[2048];
    wchar_t leaf[64], path[STANDIN_PATH];
    DWORD written;
    HANDLE file;
    va_list arguments;
    int length;
    va_start(arguments, format);
    length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0 || length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length++] = '\n';
    _snwprintf(leaf, 64, L"%s.%lu.log", standin_name, GetCurrentProcessId());
    standin_path(leaf, path);
    AcquireSRWLockExclusive(&log_lock);
    file = CreateFileW(path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                       OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file != INVALID_HANDLE_VALUE) {
        WriteFile(file, line, (DWORD)length, &written, NULL);
        CloseHandle(file);
    }
    ReleaseSRWLockExclusive(&log_lock);
}

const char *standin_utf8(const wchar_t *wide, char narrow[STANDIN_VALUE])
{
    if (wide == NULL)
        return "(null)";
    if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, narrow, STANDIN_VALUE, NULL, NULL) == 0)
        return "(too long)";
    return narrow;
}
