/*
 * gguf_run.h - carrying out the plan of a GGUF file
 */
#ifndef MXQ_GGUF_RUN_H
#define MXQ_GGUF_RUN_H

#include "cli/gguf_plan.h"
#include "io/outfile.h"

struct mxq_gguf_run_options {
    const char *output; /* the file */
    const struct mxq_options *quantize;
    const struct mxq_kernel *kernel;
    unsigned nthreads;
    uint64_t memory_nbytes; /* for the buffers of the threads, of which there is one at least */
    bool nonfinite_allowed;
    struct mxq_outset_options outset;
};

/* Makes the output of the source that fd is open on; path is its name. The file appears whole, or not at all. */
bool mxq_run_gguf(int fd, const char *path, const struct mxq_gguf_plan *plan,
                  const struct mxq_gguf_run_options *options, struct mxq_fault *fault);

#endif /* MXQ_GGUF_RUN_H */
