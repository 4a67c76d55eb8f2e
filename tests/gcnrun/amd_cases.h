/*
 * amd_cases.h - quantizes a matrix with the kernels of src/kernels, compiled for AMD and executed here, and with `scalar`
 */
#ifndef GCN_AMD_CASES_H
#define GCN_AMD_CASES_H

#include "gcnrun/gcn.h"
#include "kernels/mxq.h"

enum amd_pattern {
    AMD_NORMAL, /* a few binades, as weights have */
    AMD_BITS,   /* any bits at all */
    AMD_TIES,   /* midpoints between codes, and their neighbours */
    AMD_EDGES,  /* zeros, subnormals, largest values, infinities, NaNs, among ordinary ones */
    AMD_ZEROS,  /* only +0 and -0, but for a few */
    AMD_AMAX,   /* 1.5, 1.75 times powers of two, and their neighbours */
    AMD_NUM_PATTERNS
};

struct amd_case {
    uint64_t rows;
    uint64_t cols;
    uint64_t stride;
    uint64_t shift; /* elements that the matrix begins behind 16 aligned bytes */
    enum mxq_dtype dtype;
    enum amd_pattern pattern;
    struct mxq_options options;
    uint64_t seed; /* of the values, and of the order of waves */
    const char *profile;
};

/* Any case at all: seeds make cases. Matrices have at most about max_nelems elements. */
struct amd_case amd_pick_case(uint64_t seed, uint64_t max_nelems);

/* A description that makes the case again. */
void amd_describe_case(const struct amd_case *c, char *text, size_t nbytes);

/*
 * Runs the kernel that the host would launch on poisoned outputs, and `scalar`. True when all bytes of all outputs, and
 * whether there are infinities and NaNs, are the same; else text says what differs first, or what stopped the kernel.
 * Counters of gcn are left as the run makes them; the streams are called "input", by the names of buffers, "nonfinite".
 */
bool amd_run_case(struct gcn *gcn, const struct amd_case *c, char *text, size_t nbytes);

/* The name of the kernel that serves a case. */
const char *amd_kernel_name(const struct amd_case *c);

/* Compiles the kernels with further flags ("" for none) and opens them; NULL with the reason in error, else warnings are. */
struct gcn *amd_compile(enum gcn_arch arch, const char *flags, const char *directory, char *error, size_t error_nbytes);

#endif /* GCN_AMD_CASES_H */
