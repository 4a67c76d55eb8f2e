/*
 * checkpoint_shard.h - making one shard of a checkpoint: its file, filled by threads, and what they found
 */
#ifndef MXQ_CHECKPOINT_SHARD_H
#define MXQ_CHECKPOINT_SHARD_H

#include "cli/checkpoint_tasks.h"

/* What all shards of a run have in common. */
struct mxq_shard_maker {
    const struct mxq_checkpoint *checkpoint;
    const struct mxq_checkpoint_plan *plan;
    const struct mxq_kernel *kernel;
    bool measure;
    uint64_t stripe_nbytes; /* as mxq_size_task_buffers() was given it */
    unsigned nthreads;
    struct mxq_task_buffers *buffers; /* one for each thread */
    struct mxq_checkpoint_outcome *outcome;
    uint64_t *done_nbytes; /* for the progress line: bytes of sources read so far */
};

/*
 * Writes a shard to fd, an empty or reserved file called name, and fills in its outcome and those of its tensors. Faults: a
 * source that has changed since its header was read, infinities and NaNs that are not allowed, "interrupted" after a signal.
 */
bool mxq_make_shard(const struct mxq_shard_maker *maker, size_t shard, int fd, const char *name,
                    struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_SHARD_H */
