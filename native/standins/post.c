#include "post.h"

#include <string.h>
#include <windows.h>
#include <winhttp.h>

typedef struct {
    HINTERNET session, connection, request;
} Handles;

/* Opens all that a request needs; what was opened is closed by the caller, whatever comes. */
static bool open_request(const char *url, Handles *handles)
{
    wchar_t wide[1024], host[256];
    URL_COMPONENTS parts = {.dwStructSize = sizeof parts,
                            .lpszHostName = host,
                            .dwHostNameLength = 256,
                            .dwUrlPathLength = (DWORD)-1};
    if (MultiByteToWideChar(CP_UTF8, 0, url, -1, wide, 1024) == 0 ||
        !WinHttpCrackUrl(wide, 0, 0, &parts) || parts.nScheme != INTERNET_SCHEME_HTTP)
        return false;
    handles->session = WinHttpOpen(L"AttestationClientLib stand-in", WINHTTP_ACCESS_TYPE_NO_PROXY,
                                   WINHTTP_NO_PROXY_NAME, WINHTTP_NO_PROXY_BYPASS, 0);
    if (handles->session == NULL)
        return false;
    handles->connection = WinHttpConnect(handles->session, host, parts.nPort, 0);
    if (handles->connection == NULL)
        return false;
    handles->request = WinHttpOpenRequest(handles->connection, L"POST", parts.lpszUrlPath, NULL,
                                          WINHTTP_NO_REFERER, WINHTTP_DEFAULT_ACCEPT_TYPES, 0);
    return handles->request != NULL;
}

static void close_request(const Handles *handles)
{
    if (handles->request != NULL)
        WinHttpCloseHandle(handles->request);
    if (handles->connection != NULL)
        WinHttpCloseHandle(handles->connection);
    if (handles->session != NULL)
        WinHttpCloseHandle(handles->session);
}

static unsigned read_status(HINTERNET request)
{
    DWORD status = 0, size = sizeof status;
    WinHttpQueryHeaders(request, WINHTTP_QUERY_STATUS_CODE | WINHTTP_QUERY_FLAG_NUMBER,
                        WINHTTP_HEADER_NAME_BY_INDEX, &status, &size, WINHTTP_NO_HEADER_INDEX);
    return status;
}

static bool read_body(HINTERNET request, char *answer, size_t room)
{
    size_t used = 0;
    DWORD size = 1;
    while (size > 0 && used + 1 < room) {
        if (!WinHttpReadData(request, answer + used, (DWORD)(room - 1 - used), &size))
            return false;
        used += size;
    }
    answer[used] = 0;
    return size == 0;
}

unsigned post_json(const char *url, const char *body, char *answer, size_t room)
{
    static const wchar_t type[] = L"Content-Type: application/json";
    DWORD length = (DWORD)strlen(body);
    Handles handles = {0};
    unsigned status = 0;
    if (open_request(url, &handles) &&
        WinHttpSendRequest(handles.request, type, (DWORD)-1, (void *)body, length, length, 0) &&
        WinHttpReceiveResponse(handles.request, NULL) && read_body(handles.request, answer, room))
        status = read_status(handles.request);
    close_request(&handles);
    return status;
}
