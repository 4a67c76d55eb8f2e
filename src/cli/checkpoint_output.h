/*
 * checkpoint_output.h - the files of OUT_DIR, each under a temporary name until the whole checkpoint is complete
 *
 * The temporary name of OUT_DIR/FOLDER/NAME is OUT_DIR/FOLDER/.mxfp4q-NAME.partial: always the same, so that a later run
 * finds it. names are relative to OUT_DIR and may have slashes.
 */
#ifndef MXQ_CHECKPOINT_OUTPUT_H
#define MXQ_CHECKPOINT_OUTPUT_H

#include "io/fault.h"

#include <stdbool.h>
#include <stdint.h>

/* Paths, to be freed; NULL when there is no memory. */
char *mxq_output_path(const char *folder, const char *name);
char *mxq_partial_path(const char *folder, const char *name);

/* Creates the file under its temporary name, empty and in place of what has that name, for reading and writing; or -1. */
int mxq_create_partial(const char *folder, const char *name, struct mxq_fault *fault);

/* Opens the temporary file, or else the final one, for reading and writing; -1 without a fault: there is neither. */
int mxq_open_output(const char *folder, const char *name);

void mxq_remove_partial(const char *folder, const char *name);
/* Of all names, but not in folders of the folder. */
void mxq_remove_partials(const char *folder);

/* Whether there is a file of this name, and it may not be replaced: a fault. */
bool mxq_check_output(const char *folder, const char *name, bool force, struct mxq_fault *fault);

/* Gives the temporary file its name. Where there is none, nothing happens: an earlier run has done so. */
bool mxq_name_output(const char *folder, const char *name, bool force, struct mxq_fault *fault);

/* Brings what was written to the disk. */
bool mxq_sync_output(int fd, const char *name, struct mxq_fault *fault);
bool mxq_sync_folder(const char *folder, struct mxq_fault *fault);

/* The CRC-32 of all bytes of a file, and their number. */
bool mxq_checksum_output(int fd, const char *name, uint32_t *crc, uint64_t *nbytes, struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_OUTPUT_H */
