/*
 * selftest.h - the parts of mxfp4q selftest: the cases, their inputs, the comparison with the scalar kernel, the report
 *
 * A case is a matrix and how it is quantized. Cases are numbered from 1 on, first those that were chosen, then random
 * ones without end, and everything about a case follows from the seed and its number: so any of them can be repeated
 * alone.
 */
#ifndef MXQ_SELFTEST_H
#define MXQ_SELFTEST_H

#include "io/fault.h"
#include "kernels/mxq_gpu.h"

/* ---- cases (selftest_cases.c) */

enum mxq_selftest_pattern {
    MXQ_SELFTEST_BITS,      /* any bits at all */
    MXQ_SELFTEST_NORMAL,    /* a few binades, as weights have */
    MXQ_SELFTEST_TIES,      /* midpoints between codes, and their neighbours */
    MXQ_SELFTEST_EDGES,     /* zeros, subnormals, the largest values, infinities and NaNs, among ordinary ones */
    MXQ_SELFTEST_FINITE,    /* the same without infinities and NaNs */
    MXQ_SELFTEST_ZEROS,     /* only +0 and -0, but for a few */
    MXQ_SELFTEST_AMAX,      /* 1.5 and 1.75 times powers of two, and their neighbours: where scales change */
    MXQ_SELFTEST_RARE,      /* weights, and rarely an edge */
    MXQ_SELFTEST_VANISHING, /* moderate values, and subnormals that scaling rounds to zero */
    MXQ_SELFTEST_MIXED,     /* the patterns above */
    MXQ_SELFTEST_ASCENDING, /* all 65,536 bit patterns of 16 bits, neighbours together */
    MXQ_SELFTEST_SCATTERED, /* and scattered */
    MXQ_SELFTEST_NUM_PATTERNS
};

/* NULL for a value out of range. */
const char *mxq_selftest_pattern_name(unsigned pattern);

struct mxq_selftest_random {
    uint64_t state;
};

uint64_t mxq_selftest_next(struct mxq_selftest_random *random);
/* A number below n. */
unsigned mxq_selftest_pick(struct mxq_selftest_random *random, unsigned n);

struct mxq_selftest_case {
    uint64_t seed;
    uint64_t number;
    const char *group;                 /* what the case is there for: "tails" */
    const struct mxq_profile *profile; /* NULL: switches at random */
    struct mxq_options options;
    enum mxq_dtype dtype;
    enum mxq_selftest_pattern pattern;
    uint64_t rows;
    uint64_t cols;
    uint64_t row_stride;
    uint64_t panel_rows; /* the matrix is done in panels of this size; 0: whole */
    uint64_t panel_cols;
    unsigned element_offset;           /* elements that the input is behind an aligned address */
    unsigned byte_offset;              /* bytes that the outputs are */
    struct mxq_selftest_random random; /* what the elements are made from */
};

/* The number of cases that were chosen: the random ones have larger numbers. */
uint64_t mxq_count_selftest_cases(void);

void mxq_make_selftest_case(uint64_t seed, uint64_t number, struct mxq_selftest_case *c);

/* ---- inputs (selftest_inputs.c) */

/* Makes the elements of a case, those between its rows included: (rows - 1) * row_stride + cols. */
void mxq_fill_selftest_input(const struct mxq_selftest_case *c, void *elements, uint64_t nelems);

/* ---- comparison (selftest.c) */

/* What is tested: a kernel, or a GPU with a slot. */
struct mxq_selftest_subject {
    const struct mxq_kernel *kernel; /* NULL: the GPU */
    struct mxq_gpu gpu;
    struct mxq_gpu_slot slot;
};

/* How one buffer differs from the scalar kernel's. */
struct mxq_selftest_difference {
    uint64_t nbytes; /* that differ */
    uint64_t offset; /* of the first of them */
    uint8_t wanted;
    uint8_t got;
    uint64_t nbeside; /* bytes in front of the buffer and behind its end that were written */
    int64_t beside;   /* the first of them, from the start of the buffer */
};

struct mxq_selftest_outcome {
    bool equal;
    struct mxq_selftest_difference buffer[MXQ_NUM_BUFFERS];
    bool nonfinite_wanted;
    bool nonfinite_got;
    uint64_t nvalues;
    uint64_t nblocks; /* of all directions */
    uint64_t nbytes;  /* of all buffers */
};

/* Finds kernel or GPU. False: there is none such. Releasing accepts a subject that was zeroed, and one that failed. */
bool mxq_select_selftest_kernel(struct mxq_selftest_subject *subject, const char *name, struct mxq_fault *fault);
bool mxq_open_selftest_gpu(struct mxq_selftest_subject *subject, unsigned index, struct mxq_fault *fault);
void mxq_release_selftest_subject(struct mxq_selftest_subject *subject);

/* Runs a case with the scalar kernel and the subject. False: it could not be run. */
bool mxq_run_selftest_case(struct mxq_selftest_subject *subject, const struct mxq_selftest_case *c,
                           struct mxq_selftest_outcome *outcome, struct mxq_fault *fault);

/* The row and the block of the direction's logical matrix that a byte of a buffer is of. False: the byte is padding. */
bool mxq_locate_selftest_byte(const struct mxq_plan *plan, enum mxq_buffer buffer, uint64_t offset, uint64_t *row,
                              uint64_t *block);

/* ---- report (selftest_report.c) */

#define MXQ_SELFTEST_MAX_FINDINGS 4
#define MXQ_SELFTEST_MAX_PROFILES 64

/* A case that differs. */
struct mxq_selftest_finding {
    struct mxq_selftest_case of;
    struct mxq_selftest_outcome outcome;
};

/* What was tested, and what was found. Start with a zeroed struct. */
struct mxq_selftest_report {
    uint64_t seed;
    uint64_t nmatrices;
    uint64_t nvalues;
    uint64_t nblocks;
    uint64_t nbytes;
    uint64_t dtypes[MXQ_NUM_DTYPES]; /* matrices */
    uint64_t directions[MXQ_NUM_DIRECTIONS];
    uint64_t layouts[MXQ_NUM_LAYOUTS]; /* buffers */
    uint64_t patterns[MXQ_SELFTEST_NUM_PATTERNS];
    uint64_t profiles[MXQ_SELFTEST_MAX_PROFILES];
    uint64_t random_switches;
    uint64_t hadamard;
    uint64_t strided;
    uint64_t panels;
    uint64_t nonfinite; /* that have infinities or NaNs */
    uint64_t different_matrices;
    uint64_t different_nbytes;
    struct mxq_selftest_finding findings[MXQ_SELFTEST_MAX_FINDINGS]; /* the first ones */
    unsigned nfindings;
};

void mxq_add_selftest_outcome(struct mxq_selftest_report *report, const struct mxq_selftest_case *c,
                              const struct mxq_selftest_outcome *outcome);

void mxq_print_selftest_text(const struct mxq_selftest_report *report, const struct mxq_selftest_subject *subject);

/* False: the user knows why. */
bool mxq_print_selftest_json(const struct mxq_selftest_report *report, const struct mxq_selftest_subject *subject);

#endif /* MXQ_SELFTEST_H */
