/* msg.h - what the program says on standard error, and its exit statuses */
#ifndef MXQ_MSG_H
#define MXQ_MSG_H

#include <stdbool.h>

enum mxq_exit {
    MXQ_EXIT_OK = 0,
    MXQ_EXIT_DIFFERENT = 1, /* kept for comparisons */
    MXQ_EXIT_TROUBLE = 2,   /* usage, file, data, device: the job was not done */
};

/* How much is said. */
enum mxq_verbosity {
    MXQ_QUIET = -1, /* errors */
    MXQ_NORMAL = 0, /* and warnings, and notes: what is good to know */
    MXQ_VERBOSE = 1 /* and what is being done */
};

void mxq_set_verbosity(enum mxq_verbosity verbosity);

/* Whether more than errors is said. */
bool mxq_is_talkative(void);

/* Where the next messages belong, as "list.txt:3", to be put before each of them; NULL: nowhere. It must stay valid. */
void mxq_set_message_place(const char *place);

/* Each prints one line, "mxfp4q: " first, and leaves errno as it was. */
void mxq_print_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mxq_print_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mxq_print_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mxq_print_verbose(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An mxq_warn_func (io/fault.h) that prints a warning. */
void mxq_warn_user(void *context, const char *text);

/* Flushes standard output; false, with an error printed, when not everything got there. */
bool mxq_close_stdout(void);

#endif /* MXQ_MSG_H */
