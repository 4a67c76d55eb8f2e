/*
 * job.h - quantizing tensors into files: what was asked for, and doing it
 */
#ifndef MXQ_JOB_H
#define MXQ_JOB_H

#include "cli/device_option.h"
#include "cli/input_options.h"
#include "io/outfile.h"
#include "io/result.h"
#include "kernels/mxq.h"

#include <jansson.h>

struct mxq_settings {
    struct mxq_input_request input;
    struct mxq_options quantize;
    const struct mxq_profile *profile;
    const struct mxq_kernel *kernel; /* where a CPU computes */
    struct mxq_device_request device;
    struct mxq_outset_options outset;
    struct mxq_result_options result;
    bool has_hadamard_seed;
    uint64_t hadamard_seed; /* what the signs of the transform were drawn from */
    int only;               /* an enum mxq_buffer to write alone, or -1 */
    bool tail_error;
    bool nonfinite_allowed;
    bool measure;
    unsigned nthreads;
    const char *output; /* OUT */
    bool to_stdout;     /* OUT is "-" */
};

/* Whether OUT means one .npz for all tensors, in which they are what they would be in a folder. */
bool mxq_names_archive(const char *output);

/*
 * Quantizes the inputs into files that appear together. *reports, unless NULL, gets a JSON array with an object for each
 * tensor, owned by the caller, on success. False: the error has been printed, and nothing was left behind.
 */
bool mxq_run_job(const struct mxq_settings *settings, unsigned ninputs, char *const inputs[], json_t **reports);

/* A tensor that is made instead of read: a file of its own, from which it is then quantized. */
struct mxq_made_input {
    const char *place; /* where it was asked for, to be put before messages; or NULL */
    const char *path;  /* the file */
    bool (*make)(const struct mxq_made_input *input, int fd, struct mxq_fault *fault); /* writes it */
    const void *context;                                                               /* for make() */
    /* How path is read and quantized. outset and to_stdout are not looked at. NULL: it is not quantized. */
    const struct mxq_settings *settings;
};

/*
 * Makes the inputs, and quantizes those with settings. All files appear together, in folder, which is made unless it is
 * there, when it is not NULL. Manifests name inputs as files in their own folder. Otherwise as mxq_run_job().
 */
bool mxq_run_made_job(const struct mxq_outset_options *outset, const char *folder, unsigned ninputs,
                      const struct mxq_made_input inputs[], json_t **reports);

#endif /* MXQ_JOB_H */
