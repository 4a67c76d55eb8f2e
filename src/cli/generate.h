/*
 * generate.h - tensors that are made up: the same bytes on every machine and with every compiler, for ever
 *
 * mxfp4q(5), GENERATOR, specifies every bit, so nothing here may change; something new gets a pattern of its own. All of it
 * is integer arithmetic. An element depends on the seed, the pattern, the type, the shape and its own place, and on no
 * other element, so that any part can be made alone.
 */
#ifndef MXQ_GENERATE_H
#define MXQ_GENERATE_H

#include "kernels/mxq.h"

/* The numbers are part of the specification. */
enum mxq_pattern {
    MXQ_PATTERN_UNIFORM,
    MXQ_PATTERN_NORMAL,
    MXQ_PATTERN_LOGNORMAL,
    MXQ_PATTERN_TIES,
    MXQ_PATTERN_EDGES,
    MXQ_PATTERN_EDGES_FINITE,
    MXQ_PATTERN_ZEROS,
    MXQ_PATTERN_RAMP,
    MXQ_PATTERN_OUTLIER,
    MXQ_NUM_PATTERNS
};

/* "edges-finite"; NULL out of range. */
const char *mxq_pattern_name(enum mxq_pattern pattern);

/* Keys for random words: no pattern needs more. */
#define MXQ_NUM_STREAMS 3

/* One tensor to be made, seen as rows x cols where cols is its last size. Only mxq_init_generator() writes it. */
struct mxq_generator {
    enum mxq_pattern pattern;
    enum mxq_dtype dtype;
    uint64_t rows;
    uint64_t cols;
    uint64_t key[MXQ_NUM_STREAMS];
};

void mxq_init_generator(struct mxq_generator *generator, enum mxq_pattern pattern, uint64_t seed, enum mxq_dtype dtype,
                        uint64_t rows, uint64_t cols);

/*
 * Writes the elements from first to first + nelems - 1 in C order, all of which the tensor has, as little-endian bytes:
 * nelems * mxq_dtype_nbytes().
 */
void mxq_generate(const struct mxq_generator *generator, uint64_t first, uint64_t nelems, uint8_t *bytes);

#endif /* MXQ_GENERATE_H */
