/* suite.c - lists of cases in a text file */
#include "cli/suite.h"

#include "cli/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* White space, and what else ends a line on some systems. */
#define BLANKS " \t\r\n\v\f"

/* With the endings of the files that get this name, it still is the name of a file. */
#define MAX_NAME_NBYTES 200

static char *format_place(const char *path, unsigned long number)
{
    const size_t nbytes = strlen(path) + 32;
    char *place = malloc(nbytes);

    if (place != NULL)
        snprintf(place, nbytes, "%s:%lu", path, number);
    return place;
}

/* Splits the line of a case in place. */
static bool split_line(struct mxq_suite_case *c)
{
    const size_t max_words = strlen(c->line) / 2 + 1;
    char *rest = NULL;

    c->argv = calloc(max_words + 1, sizeof(*c->argv));
    if (c->argv == NULL)
        return false;
    for (char *word = strtok_r(c->line, BLANKS, &rest); word != NULL && *word != '#';
         word = strtok_r(NULL, BLANKS, &rest))
        c->argv[c->argc++] = word;
    return true;
}

static bool check_name(const struct mxq_suite *suite, const struct mxq_suite_case *c)
{
    const char *name = c->argv[0];
    bool is_plain = strlen(name) <= MAX_NAME_NBYTES && name[0] != '.' && name[0] != '-';

    for (const char *at = name; *at != '\0'; at++)
        is_plain = is_plain && *at != '/' && *at != 127 && (unsigned char)*at >= ' ';
    if (!is_plain) {
        mxq_print_error("\"%s\" is no name: at most %d characters, no slash, no dot or dash in front", name,
                        MAX_NAME_NBYTES);
        return false;
    }
    for (size_t i = 0; i < suite->ncases; i++) {
        if (strcmp(suite->cases[i].argv[0], name) == 0) {
            mxq_print_error("\"%s\" is the name of %s, too", name, suite->cases[i].place);
            return false;
        }
    }
    return true;
}

static void free_case(struct mxq_suite_case *c)
{
    free(c->place);
    free(c->line);
    free(c->argv);
}

static bool add_case(struct mxq_suite *suite, const struct mxq_suite_case *c)
{
    struct mxq_suite_case *cases = suite->cases;

    /* Grows by doubling: at 0, 1, 2, 4 ... there is no room left. */
    if ((suite->ncases & (suite->ncases - 1)) == 0)
        cases = realloc(cases, 2 * (suite->ncases + 1) * sizeof(*cases));
    if (cases == NULL)
        return false;
    suite->cases = cases;
    suite->cases[suite->ncases++] = *c;
    return true;
}

/* Takes the line over. */
static bool take_line(struct mxq_suite *suite, const char *path, unsigned long number, char *line, size_t nbytes)
{
    struct mxq_suite_case c = {.place = format_place(path, number), .line = line};
    bool good = false;

    mxq_set_message_place(c.place);
    if (strlen(line) != nbytes)
        mxq_print_error("not text: a NUL byte");
    else if (c.place == NULL || !split_line(&c))
        mxq_print_error("%s", strerror(ENOMEM));
    else
        good = c.argc == 0 || check_name(suite, &c);
    if (good && c.argc != 0 && !add_case(suite, &c)) {
        mxq_print_error("%s", strerror(ENOMEM));
        good = false;
    }
    mxq_set_message_place(NULL);
    if (!good || c.argc == 0)
        free_case(&c);
    return good;
}

static bool read_lines(struct mxq_suite *suite, const char *path, FILE *file)
{
    for (unsigned long number = 1;; number++) {
        char *line = NULL;
        size_t room = 0;
        ssize_t nbytes;

        errno = 0;
        nbytes = getline(&line, &room, file);
        if (nbytes < 0) {
            free(line);
            if (feof(file))
                return true;
            mxq_print_error("\"%s\": cannot read: %s", path, strerror(errno));
            return false;
        }
        if (!take_line(suite, path, number, line, (size_t)nbytes))
            return false;
    }
}

bool mxq_load_suite(const char *path, struct mxq_suite *suite)
{
    const bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    bool good;

    memset(suite, 0, sizeof(*suite));
    if (file == NULL) {
        mxq_print_error("\"%s\": cannot open: %s", name, strerror(errno));
        return false;
    }
    good = read_lines(suite, name, file);
    if (!is_stdin)
        fclose(file);
    if (good && suite->ncases == 0)
        mxq_print_error("\"%s\": no case in it", name);
    return good && suite->ncases != 0;
}

void mxq_free_suite(struct mxq_suite *suite)
{
    for (size_t i = 0; i < suite->ncases; i++)
        free_case(&suite->cases[i]);
    free(suite->cases);
    memset(suite, 0, sizeof(*suite));
}
