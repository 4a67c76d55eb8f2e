/*
 * pipeline.h - one tensor through the quantizer, panel by panel, on several threads
 *
 * Each thread takes the next panel, reads it, quantizes it and writes its shares; memory is bounded by the panels in
 * flight. The bytes made do not depend on the number of threads. With a GPU team, the threads are its workers.
 */
#ifndef MXQ_PIPELINE_H
#define MXQ_PIPELINE_H

#include "cli/gpu_team.h"
#include "io/result.h"
#include "io/tensor.h"
#include "kernels/mxq.h"

struct mxq_pipeline {
    /* the work */
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    const struct mxq_plan *plan;
    const struct mxq_kernel *kernel;
    struct mxq_gpu_team *gpus; /* the job's, or NULL; it is the team that says whether it takes this tensor */
    struct mxq_result *result;
    unsigned nthreads;
    bool stop_at_nonfinite; /* when there is one, write nothing more and only count them */
    bool measure;

    /* what came out */
    const char *device; /* what made it: "cpu" and the kernel, or "gpu" and the architecture */
    const char *variant;
    uint32_t crc; /* CRC-32 of the tensor's bytes in the file */
    bool nonfinite;
    uint64_t nnonfinite; /* counted only with stop_at_nonfinite */
    uint64_t nonfinite_row;
    uint64_t nonfinite_col;
    struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS];
    struct mxq_histogram histogram[MXQ_NUM_DIRECTIONS]; /* with measure */
};

/* Runs it. False on a fault; infinities and NaNs are none, the caller looks at them. */
bool mxq_run_pipeline(struct mxq_pipeline *pipeline, struct mxq_fault *fault);

#endif /* MXQ_PIPELINE_H */
