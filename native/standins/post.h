#ifndef POST_H
#define POST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Posts JSON over plain HTTP, and reads the answer's body as a string of less than `room` bytes.
 * Returns the HTTP status, or 0 when there was no answer: https is refused so, too.
 */
unsigned post_json(const char *url, const char *body, char *answer, size_t room);

#endif
