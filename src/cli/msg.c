/* msg.c - messages to the user */
#include "cli/msg.h"

#include "cli/progress.h"
#include "io/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum mxq_verbosity current = MXQ_NORMAL;

void mxq_set_verbosity(enum mxq_verbosity verbosity)
{
    current = verbosity;
}

bool mxq_is_talkative(void)
{
    return current >= MXQ_NORMAL;
}

static const char *current_place;

void mxq_set_message_place(const char *place)
{
    current_place = place;
}

/* One line, whatever the words of the user or names in files hold. */
static void print_line(const char *kind, const char *format, va_list args)
{
    const int saved = errno;
    char text[MXQ_FAULT_NBYTES];
    struct mxq_fault line;

    vsnprintf(text, sizeof(text), format, args);
    mxq_set_fault(&line, NULL, 0, "%s%s%s", current_place != NULL ? current_place : "",
                  current_place != NULL ? ": " : "", text);
    mxq_clear_progress();
    fprintf(stderr, "mxfp4q: %s%s\n", kind, line.text);
    errno = saved;
}

void mxq_print_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void mxq_print_note(const char *format, ...)
{
    va_list args;

    if (current < MXQ_NORMAL)
        return;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void mxq_print_warning(const char *format, ...)
{
    va_list args;

    if (current < MXQ_NORMAL)
        return;
    va_start(args, format);
    print_line("warning: ", format, args);
    va_end(args);
}

void mxq_print_verbose(const char *format, ...)
{
    va_list args;

    if (current < MXQ_VERBOSE)
        return;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void mxq_warn_user(void *context, const char *text)
{
    (void)context;
    mxq_print_warning("%s", text);
}

bool mxq_close_stdout(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    mxq_print_error("standard output: %s", strerror(errno));
    return false;
}
