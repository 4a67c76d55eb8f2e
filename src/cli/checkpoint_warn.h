/*
 * checkpoint_warn.h - what a user should know about a plan before it is carried out
 */
#ifndef MXQ_CHECKPOINT_WARN_H
#define MXQ_CHECKPOINT_WARN_H

#include "cli/checkpoint_plan.h"
#include "cli/checkpoint_select.h"

/* The reason of a tensor that would be quantized, were its rows whole blocks. */
#define MXQ_REASON_TAIL "rows of no whole blocks"
/* Of one whose rows are no multiple of a Hadamard transform of more than a block. */
#define MXQ_REASON_TRANSFORM "rows of no whole transforms"
/* Of an FP8 tensor without another one with the scales of its blocks. */
#define MXQ_REASON_PLAIN_FP8 "FP8 without block scales"
/* Of a tensor that is left as it is because it is a part of an MXFP4 tensor. */
#define MXQ_REASON_MXFP4 "already MXFP4"

/* Fills in plan->warnings, one line for each kind of thing, with the first tensor it is about. */
bool mxq_warn_of_plan(const struct mxq_checkpoint *checkpoint, struct mxq_checkpoint_plan *plan,
                      const struct mxq_selection *selection, struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_WARN_H */
