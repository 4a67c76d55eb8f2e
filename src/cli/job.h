/*
 * job.h - what `mxfp4q quantize` was asked to do, and doing it
 */
#ifndef MXQ_JOB_H
#define MXQ_JOB_H

#include "cli/input_options.h"
#include "io/outfile.h"
#include "io/result.h"
#include "kernels/mxq.h"

#include <jansson.h>

struct mxq_settings {
    struct mxq_input_request input;
    struct mxq_options quantize;
    const struct mxq_profile *profile;
    const struct mxq_kernel *kernel;
    struct mxq_outset_options outset;
    struct mxq_result_options result;
    int only; /* an enum mxq_buffer to write alone, or -1 */
    bool tail_error;
    bool nonfinite_allowed;
    bool measure;
    unsigned nthreads;
    const char *output; /* OUT */
    bool to_stdout;     /* OUT is "-" */
};

/*
 * Quantizes the inputs into files that appear together. *reports, unless NULL, gets a JSON array with an object for each
 * tensor, owned by the caller, on success. False: the error has been printed, and nothing was left behind.
 */
bool mxq_run_job(const struct mxq_settings *settings, unsigned ninputs, char *const inputs[], json_t **reports);

#endif /* MXQ_JOB_H */
