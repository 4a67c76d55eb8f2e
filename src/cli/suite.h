/*
 * suite.h - lists of cases in a text file, one a line: a name and options, as words
 *
 * Words are separated by blanks; there is no quoting. From a word that begins with # on, a line is a comment. Lines
 * without words count, but mean nothing.
 */
#ifndef MXQ_SUITE_H
#define MXQ_SUITE_H

#include <stdbool.h>
#include <stddef.h>

struct mxq_suite_case {
    char *place; /* "list.txt:3", for messages */
    char *line;  /* what argv points into */
    int argc;
    char **argv; /* the name, then the options, then NULL */
};

struct mxq_suite {
    size_t ncases;
    struct mxq_suite_case *cases;
};

/*
 * Reads path, "-" being standard input. There is at least one case; names differ and can be those of files. False: the
 * user has been told. The suite is to be freed in any case.
 */
bool mxq_load_suite(const char *path, struct mxq_suite *suite);
void mxq_free_suite(struct mxq_suite *suite);

#endif /* MXQ_SUITE_H */
