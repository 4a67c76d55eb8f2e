/*
 * fault.c - writing the one line that says what went wrong
 */
#include "io/fault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A longer name is cut at its start, so that there is always room for what happened. */
#define NAME_MAX_NBYTES 512

/* Length of text that fits, given what snprintf returned. */
static size_t clip(int written, size_t room)
{
    if (written < 0)
        return 0;
    return (size_t)written < room ? (size_t)written : room - 1;
}

static size_t write_name(char *text, size_t room, const char *file)
{
    size_t length = strlen(file);
    const char *mark = "";

    if (length > NAME_MAX_NBYTES) {
        file += length - NAME_MAX_NBYTES;
        mark = "...";
    }
    return clip(snprintf(text, room, "\"%s%s\": ", mark, file), room);
}

/* Control characters of ASCII, and those of Unicode (U+0080 to U+009F in UTF-8), which terminals obey too. */
static void hide_controls(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        } else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
            p[0] = '?';
            p[1] = '?';
        }
    }
}

void mxq_set_fault(struct mxq_fault *fault, const char *file, int errnum, const char *format, ...)
{
    int saved_errno = errno;
    size_t used = 0;
    va_list args;

    if (file != NULL)
        used = write_name(fault->text, sizeof(fault->text), file);

    va_start(args, format);
    used += clip(vsnprintf(fault->text + used, sizeof(fault->text) - used, format, args), sizeof(fault->text) - used);
    va_end(args);

    if (errnum != 0)
        snprintf(fault->text + used, sizeof(fault->text) - used, ": %s", strerror(errnum));

    hide_controls(fault->text);
    errno = saved_errno;
}
