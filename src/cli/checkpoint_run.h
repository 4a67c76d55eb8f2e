/*
 * checkpoint_run.h - making a planned checkpoint: panels on threads, bounded memory, shards whole or not at all, resumed
 */
#ifndef MXQ_CHECKPOINT_RUN_H
#define MXQ_CHECKPOINT_RUN_H

#include "cli/checkpoint_plan.h"
#include "io/checkpoint.h"

#include <jansson.h>

struct mxq_checkpoint_run_options {
    const char *output; /* OUT_DIR; made unless it is there */
    unsigned nthreads;
    const struct mxq_kernel *kernel;
    uint64_t memory_nbytes; /* --memory: buffers and what the plan holds */
    bool resume;
    bool delete_source;
    bool force; /* OUT_DIR may hold files of these names, and another run's journal */
    bool no_fsync;
    bool measure; /* SNR and so on in the report, not only counts, ranges and CRCs */
};

/*
 * Runs the plan. *report, unless NULL, gets what was written to OUT_DIR/mxfp4q-report.json, owned by the caller. False: a
 * fault; what is complete by then stays in OUT_DIR with its journal, for --resume.
 */
bool mxq_run_checkpoint(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                        const struct mxq_checkpoint_run_options *options, json_t **report, struct mxq_fault *fault);

/* Prints a report as a table, the worst tensors first. */
void mxq_print_checkpoint_report(const json_t *report);

#endif /* MXQ_CHECKPOINT_RUN_H */
