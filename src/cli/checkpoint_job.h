/*
 * checkpoint_job.h - quantizing a checkpoint, from the command line to the report
 */
#ifndef MXQ_CHECKPOINT_JOB_H
#define MXQ_CHECKPOINT_JOB_H

#include "cli/checkpoint_options.h"

/* Plans the checkpoint at path, shows the plan and, unless it is a dry run, carries it out. False: the user knows why. */
bool mxq_run_checkpoint_job(struct mxq_checkpoint_settings *settings, struct mxq_quantize_request *quantize,
                            const char *path);

#endif /* MXQ_CHECKPOINT_JOB_H */
