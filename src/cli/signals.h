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

/*
 * While deferred, the first of these signals only sets what mxq_deferred_signal() returns (0: none came), for a job that ends
 * by itself soon and leaves what another run can continue. A second one ends the program as ever.
 */
void mxq_defer_signals(bool defer);
int mxq_deferred_signal(void);

/* Ends the program by the signal that was deferred, if one was. */
void mxq_end_by_deferred_signal(void);

#endif /* MXQ_SIGNALS_H */
