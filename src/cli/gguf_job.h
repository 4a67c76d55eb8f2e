/*
 * gguf_job.h - quantizing a GGUF file, from the command line to the result; and showing one
 */
#ifndef MXQ_GGUF_JOB_H
#define MXQ_GGUF_JOB_H

#include "cli/checkpoint_options.h"

/* The word of --format for it. */
#define MXQ_GGUF_FORMAT "gguf"

/* Whether path is a GGUF file by its name or by its first bytes. */
bool mxq_names_gguf(const char *path);

/* Plans the file, shows the plan and, unless it is a dry run, carries it out. False: the user knows why. */
bool mxq_run_gguf_job(const struct mxq_checkpoint_settings *settings, struct mxq_quantize_request *quantize,
                      const char *path);

/* Prints the tensors of a file, or appends what is known of it to objects, unless that is NULL. */
bool mxq_show_gguf(const char *path, json_t *objects, struct mxq_fault *fault);

#endif /* MXQ_GGUF_JOB_H */
