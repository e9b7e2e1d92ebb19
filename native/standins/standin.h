/*
 * What both stand-ins share: a script that tests write, and a log that tests read.
 *
 * Everything lives in the directory named by STANDIN_STATE. The environment is read at each
 * call, so that a test can give itself a fresh host without a new process.
 * See native/README.md for the names that a script may hold.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <windows.h>

enum { STANDIN_PATH = 1024, STANDIN_VALUE = 512, STANDIN_TEXT = 16384 };

/* The path of a file in the state directory; makes the directory when it is not there. */
void standin_path(const wchar_t *leaf, wchar_t path[STANDIN_PATH]);

/* Reads a whole file as a string; the empty string when it is not there. */
void standin_read(const wchar_t *path, char text[STANDIN_TEXT]);

/* Finds `name=value` on a line of its own in a text; false when it is not there. */
bool standin_find(const char *text, const char *name, char value[STANDIN_VALUE]);

/* What this DLL's script says of a name; false when it says nothing. */
bool standin_scripted(const char *name, char value[STANDIN_VALUE]);

/*
 * The same as a number, decimal or 0x…. A list `a,b,c` gives its members one after the other,
 * one per call in this process, and then the last one for ever; a changed script starts anew.
 */
long long standin_number(const char *name, long long otherwise);

/* Waits as many milliseconds as the script says under a name. */
void standin_wait(const char *name);

/*
 * Adds one line to this process's log: printf's format, tabs between the fields, and no
 * secrets. Wide strings are written as UTF-8 (%ls would follow the locale): pass them
 * through standin_utf8.
 */
void standin_log(const char *format, ...);

const char *standin_utf8(const wchar_t *wide, char narrow[STANDIN_VALUE]);

/* Of each DLL: the first part of its files' names, e.g. "ncrypt". */
extern const wchar_t *const standin_name;

#endif
