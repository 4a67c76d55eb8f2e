/* checkpoint_others.h - what lies beside the shards of a checkpoint: copied as it is, or written from the plan */
#ifndef MXQ_CHECKPOINT_OTHERS_H
#define MXQ_CHECKPOINT_OTHERS_H

#include "cli/checkpoint_plan.h"
#include "io/checkpoint.h"

#include <jansson.h>

struct mxq_others_options {
    const struct mxq_checkpoint *checkpoint;
    const struct mxq_checkpoint_plan *plan;
    const char *folder; /* OUT_DIR */
    bool force;
    bool no_fsync;
};

/* Whether all of them can be read and may be created. */
bool mxq_check_others(const struct mxq_others_options *options, struct mxq_fault *fault);

/* Bytes that copying takes. */
uint64_t mxq_count_others_nbytes(const struct mxq_others_options *options);

/* Makes the folders, and the files under their temporary names: copies, the plan's files, the report. */
bool mxq_write_others(const struct mxq_others_options *options, const json_t *report, struct mxq_fault *fault);

/* Gives the files their names, what a loader looks at first last. */
bool mxq_name_others(const struct mxq_others_options *options, struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_OTHERS_H */
