/*
 * signals.h - leaving nothing behind when a signal ends the program
 *
 * SIGINT, SIGTERM and SIGHUP remove all temporary files, and the output folder if this run made it, and then end the
 * program as they would have. A reader that goes away, or a file that may not grow any more, is an error
 * of write(2), not a signal.
 */
#ifndef MXQ_SIGNALS_H
#define MXQ_SIGNALS_H

#include <stdbool.h>

void mxq_install_signal_handlers(void);

/* Makes the folder unless it is there. False: errno says why. */
bool mxq_make_folder(const char *path);

/* Removes the folder that mxq_make_folder() made, if it made one and it is empty. */
void mxq_remove_made_folder(void);

#endif /* MXQ_SIGNALS_H */
