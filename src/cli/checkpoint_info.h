/*
 * checkpoint_info.h - what is in a checkpoint, for mxfp4q info
 */
#ifndef MXQ_CHECKPOINT_INFO_H
#define MXQ_CHECKPOINT_INFO_H

#include "io/fault.h"

#include <jansson.h>
#include <stdbool.h>

/* Prints the tensors of the checkpoint at path; or, when objects is not NULL, appends an object for each shard to it. */
bool mxq_show_checkpoint(const char *path, json_t *objects, struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_INFO_H */
