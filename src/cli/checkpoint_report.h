/*
 * checkpoint_report.h - mxfp4q-report.json: what was made of a checkpoint, from what, and at what cost
 *
 * It says nothing about when, where or how often it was run: the same job makes the same report.
 */
#ifndef MXQ_CHECKPOINT_REPORT_H
#define MXQ_CHECKPOINT_REPORT_H

#include "cli/checkpoint_outcome.h"
#include "cli/checkpoint_plan.h"
#include "io/checkpoint.h"

#include <jansson.h>

#define MXQ_CHECKPOINT_REPORT "mxfp4q-report.json"
#define MXQ_CHECKPOINT_REPORT_VERSION 1

/*
 * {"mxfp4q_report": 1, "tool", "format", "recipe", "source": [shards], "shards": [...], "worst": [names, at most ten],
 * "tensors": [...]}. NULL when there is no memory.
 */
json_t *mxq_pack_checkpoint_report(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                                   const struct mxq_checkpoint_outcome *outcome, bool measured);

#endif /* MXQ_CHECKPOINT_REPORT_H */
