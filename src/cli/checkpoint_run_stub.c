/* checkpoint_run_stub.c - in the place of checkpoint_run.c: nothing is run */
#include "cli/checkpoint_run.h"

bool mxq_run_checkpoint(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                        const struct mxq_checkpoint_run_options *options, json_t **report, struct mxq_fault *fault)
{
    (void)checkpoint;
    (void)plan;
    (void)options;
    *report = NULL;
    mxq_set_fault(fault, NULL, 0, "checkpoints can only be planned so far, with --dry-run");
    return false;
}

void mxq_print_checkpoint_report(const json_t *report)
{
    (void)report;
}
