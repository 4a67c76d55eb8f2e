/*
 * generate_file.h - made-up tensors (generate.h) on their way into files
 */
#ifndef MXQ_GENERATE_FILE_H
#define MXQ_GENERATE_FILE_H

#include "cli/generate.h"
#include "io/fault.h"
#include "io/tensor.h"

/* One tensor. Set what comes first; mxq_measure_generated() does the rest. */
struct mxq_generated {
    enum mxq_pattern pattern;
    uint64_t seed;
    enum mxq_dtype dtype;
    unsigned rank;
    uint64_t shape[MXQ_MAX_RANK];
    bool raw;          /* without the header of a .npy */
    unsigned nthreads; /* at most; at least 1 */

    uint64_t nelems;
    uint64_t nbytes; /* without the header */
    struct mxq_generator generator;
};

/* False: the tensor would have 2^63 bytes or more. */
bool mxq_measure_generated(struct mxq_generated *generated);

/*
 * Writes it to fd, an empty file, or with in_order anything that can be written to. Memory is bounded by the number of
 * threads. name is for faults and for the progress.
 */
bool mxq_write_generated(const struct mxq_generated *generated, int fd, bool in_order, const char *name,
                         struct mxq_fault *fault);

#endif /* MXQ_GENERATE_FILE_H */
