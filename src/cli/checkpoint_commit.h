/*
 * checkpoint_commit.h - bringing complete shards to the disk while the next one is made
 *
 * A committer is a thread that takes shards in order: fsync; and with --delete-source it reads the shard back from the disk,
 * and once the journal says that its bytes were right, removes the source's shards that nothing needs any more.
 */
#ifndef MXQ_CHECKPOINT_COMMIT_H
#define MXQ_CHECKPOINT_COMMIT_H

#include "cli/checkpoint_journal.h"
#include "cli/checkpoint_outcome.h"
#include "cli/checkpoint_plan.h"
#include "io/checkpoint.h"

struct mxq_committer_options {
    const struct mxq_checkpoint *checkpoint;
    const struct mxq_checkpoint_plan *plan;
    struct mxq_checkpoint_outcome *outcome; /* the committer changes shards[].verified, and .complete of what failed */
    struct mxq_journal *journal;
    const char *folder;
    bool no_fsync;
    bool delete_source;
};

struct mxq_committer;

bool mxq_start_committer(const struct mxq_committer_options *options, struct mxq_committer **committer,
                         struct mxq_fault *fault);

/* Hands over a shard that the journal has recorded, and its descriptor. Waits while too many are waiting. */
void mxq_commit_shard(struct mxq_committer *committer, size_t shard, int fd);

/* Waits until all is done. The first fault, if there was one; it may be asked for early with mxq_committer_failed(). */
bool mxq_committer_failed(struct mxq_committer *committer);
bool mxq_end_committer(struct mxq_committer *committer, struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_COMMIT_H */
