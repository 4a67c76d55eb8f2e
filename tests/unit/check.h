/*
 * check.h - what a unit check says: one TAP line a behaviour, the plan at the end
 *
 * A name is a sentence about behaviour; what follows a failure is everything needed to see it again.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned check_ntests;
static unsigned check_nfailed;

static inline void check_pass(const char *name)
{
    printf("ok %u - %s\n", ++check_ntests, name);
}

__attribute__((format(printf, 2, 3))) static inline void check_fail(const char *name, const char *format, ...)
{
    va_list args;

    printf("not ok %u - %s\n# ", ++check_ntests, name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    check_nfailed++;
}

static inline void check_skip(const char *name, const char *reason)
{
    printf("ok %u - %s # SKIP %s\n", ++check_ntests, name, reason);
}

/* One behaviour that a single expression decides. */
static inline bool check_that(bool good, const char *name, const char *file, int line)
{
    if (good)
        check_pass(name);
    else
        check_fail(name, "%s:%d", file, line);
    return good;
}

#define CHECK_PASS(name) check_pass(name)
#define CHECK_FAIL(name, ...) check_fail(name, __VA_ARGS__)
#define CHECK_SKIP(name, reason) check_skip(name, reason)
#define CHECK(good, name) check_that(good, name, __FILE__, __LINE__)

/* Prints the plan; the value is the exit status of the program. */
static inline int check_finish(void)
{
    printf("1..%u\n", check_ntests);
    return check_nfailed == 0 ? 0 : 1;
}

#endif /* CHECK_H */
