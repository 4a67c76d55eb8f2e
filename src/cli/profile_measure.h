/*
 * profile_measure.h - what a matrix loses under several profiles, and how many bytes of one profile's result another changes
 */
#ifndef MXQ_PROFILE_MEASURE_H
#define MXQ_PROFILE_MEASURE_H

#include "io/tensor.h"
#include "kernels/mxq.h"

#include <jansson.h>

/* One profile on one matrix. Codes past the end of a row, and padding, do not count. */
struct mxq_profile_measurement {
    const struct mxq_profile *profile;
    struct mxq_distortion distortion;
    uint64_t different_codes; /* from the reference's */
    uint64_t different_scales;
};

struct mxq_profile_measuring {
    /* the work */
    struct mxq_source *source; /* at the tensor, which is spooled when it has to be */
    const struct mxq_tensor *tensor;
    uint64_t rows; /* of the flattened tensor */
    uint64_t cols;
    enum mxq_direction direction;
    const struct mxq_profile *reference;
    const struct mxq_kernel *kernel;
    unsigned nthreads;

    /* the profiles to measure, and what came out; in zeroed memory but for profile */
    struct mxq_profile_measurement *measurements;
    unsigned nmeasurements;
};

/* Goes over the tensor once; memory is bounded by the panels in flight. */
bool mxq_measure_profiles(struct mxq_profile_measuring *measuring, struct mxq_fault *fault);

/* profile_measure_report.c */
void mxq_print_profile_measuring(const char *path, const struct mxq_profile_measuring *measuring);

/* NULL without memory. */
json_t *mxq_pack_profile_measuring(const char *path, const struct mxq_profile_measuring *measuring);

#endif /* MXQ_PROFILE_MEASURE_H */
