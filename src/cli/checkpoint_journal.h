/*
 * checkpoint_journal.h - the journal of a checkpoint that is being made: what --resume may rely on
 *
 * A text file in OUT_DIR, of lines that each begin with the CRC-32 of the rest of the line:
 *
 *     mxfp4q-journal 2 VERSION IDENTITY NSHARDS NTENSORS   the program's version and the plan's identity
 *     tensor N ...                                         the outcome of planned tensor N
 *     shard N CRC SOURCE_CRC SECONDS NANOSECONDS           all tensors of shard N precede; its bytes have this CRC-32,
 *                                                          and the source's that; when the source was last written to
 *     verified N                                           and were read back from the disk
 *
 * The lines of a shard are written at once and brought to the disk before anything else happens to the shard. A line that
 * is not whole, as a kill leaves it, and what follows it do not count. One run at a time holds the journal.
 */
#ifndef MXQ_CHECKPOINT_JOURNAL_H
#define MXQ_CHECKPOINT_JOURNAL_H

#include "cli/checkpoint_outcome.h"
#include "cli/checkpoint_plan.h"
#include "io/fault.h"

#define MXQ_JOURNAL_NAME ".mxfp4q-journal"

struct mxq_journal;

enum mxq_journal_mode {
    MXQ_JOURNAL_NEW,    /* one that is there is a fault */
    MXQ_JOURNAL_RESUME, /* one that is there is read: it must be this plan's */
    MXQ_JOURNAL_FORCE   /* one that is there is begun anew */
};

/*
 * Opens the journal of folder, or begins one. With MXQ_JOURNAL_RESUME, *found is whether there was one, and *outcome gets
 * what it tells; of shards it does not tell of, nothing changes. A journal that another process holds is a fault whatever the mode.
 */
bool mxq_open_journal(const char *folder, enum mxq_journal_mode mode, const struct mxq_checkpoint_plan *plan,
                      bool no_fsync, struct mxq_checkpoint_outcome *outcome, bool *found, struct mxq_journal **journal,
                      struct mxq_fault *fault);

/* Records a complete shard with the outcomes of its tensors; by one thread at a time. */
bool mxq_record_shard(struct mxq_journal *journal, const struct mxq_checkpoint_plan *plan,
                      const struct mxq_checkpoint_outcome *outcome, size_t shard, struct mxq_fault *fault);
bool mxq_record_verified(struct mxq_journal *journal, size_t shard, struct mxq_fault *fault);

/* Accepts NULL. remove: nothing is left to resume. */
void mxq_close_journal(struct mxq_journal *journal, bool remove);

#endif /* MXQ_CHECKPOINT_JOURNAL_H */
