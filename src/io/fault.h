/*
 * fault.h - what went wrong, for a person
 *
 * Functions of this room that can fail take a struct mxq_fault, fill it in when they do, and never print. A fault is one
 * line without a newline and without the program's name: "w.npy": not a .npy file: wrong magic
 */
#ifndef MXQ_FAULT_H
#define MXQ_FAULT_H

#include <stdarg.h>

#define MXQ_FAULT_NBYTES 1024

struct mxq_fault {
    char text[MXQ_FAULT_NBYTES];
};

/*
 * Writes '"file": text' (without the file when it is NULL), and ': strerror' when errnum is not 0. Control characters in
 * the file's name or in the text are shown as '?', so that a hostile name cannot make a second line. errno is preserved.
 */
void mxq_set_fault(struct mxq_fault *fault, const char *file, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Tells the user something that is no failure: a line as in a fault. context is the caller's. */
typedef void (*mxq_warn_func)(void *context, const char *text);

#endif /* MXQ_FAULT_H */
