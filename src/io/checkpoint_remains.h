/*
 * checkpoint_remains.h - what is kept of source shards that are deleted before a checkpoint is complete: their headers
 *
 * A plan is made of all headers, so a run that goes on needs those of shards that an earlier one deleted. The remains of the
 * shard NAME are FOLDER/.mxfp4q-NAME.source, a file of the shard's size that has its header and takes no room for the rest.
 */
#ifndef MXQ_CHECKPOINT_REMAINS_H
#define MXQ_CHECKPOINT_REMAINS_H

#include "io/checkpoint.h"

/* Leaves the remains of a shard that is there in folder, on the disk. Those of a shard that is gone are there already. */
bool mxq_leave_remains(const struct mxq_checkpoint *checkpoint, size_t shard, const char *folder,
                       struct mxq_fault *fault);

/* Removes the remains of all shards from folder. */
void mxq_remove_remains(const struct mxq_checkpoint *checkpoint, const char *folder);

/* The path of a shard's remains, to be freed; NULL: no memory. */
char *mxq_remains_path(const char *folder, const char *name);

/* The name of the shard whose remains have this file name, to be freed; NULL: it is no such name. */
char *mxq_remains_shard(const char *file);

#endif /* MXQ_CHECKPOINT_REMAINS_H */
