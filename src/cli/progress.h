/*
 * progress.h - the progress line of a long job
 *
 * One line on standard error, rewritten in place at most six times a second, from the second second on: bytes done, bytes
 * a second, time left. Only when standard error is a terminal, unless it is forced.
 */
#ifndef MXQ_PROGRESS_H
#define MXQ_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum mxq_progress_mode {
    MXQ_PROGRESS_AUTO,
    MXQ_PROGRESS_NEVER,
    MXQ_PROGRESS_ALWAYS
};

void mxq_set_progress_mode(enum mxq_progress_mode mode);

/* name: what is being worked on; it must stay valid until the end. */
void mxq_start_progress(const char *name, uint64_t total_nbytes);

/* Says more after the name, as "shard 3 of 8"; it is copied. NULL: nothing. Not while another thread updates. */
void mxq_note_progress(const char *part);

/* To be called by one thread at a time. */
void mxq_update_progress(uint64_t done_nbytes);

/* Removes the line, if there is one; also to be called before anything else is printed. */
void mxq_clear_progress(void);
void mxq_end_progress(void);

#endif /* MXQ_PROGRESS_H */
