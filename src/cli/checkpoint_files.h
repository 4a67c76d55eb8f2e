/*
 * checkpoint_files.h - the files of a planned checkpoint that are no shards: the index, and config.json
 */
#ifndef MXQ_CHECKPOINT_FILES_H
#define MXQ_CHECKPOINT_FILES_H

#include "cli/checkpoint_plan.h"

/* What config.json says about quantization, at its top or in text_config; NULL: nothing. */
const json_t *mxq_get_quantization_config(const struct mxq_checkpoint *checkpoint);

/* Writes the files into a plan whose shards are laid out. A source that was quantized in another way is a fault. */
bool mxq_plan_files(const struct mxq_checkpoint *checkpoint, struct mxq_checkpoint_plan *plan, struct mxq_fault *fault);

#endif /* MXQ_CHECKPOINT_FILES_H */
