/*
 * profile_probe.h - blocks of a few values through two profiles, and what each makes of them
 *
 * Blocks are added one by one, quantized by the library many at a time, and handed to a function in the order in which they
 * were added.
 */
#ifndef MXQ_PROFILE_PROBE_H
#define MXQ_PROFILE_PROBE_H

#include "io/fault.h"
#include "kernels/mxq.h"

#define MXQ_PROBE_NVALUES 4

/* Values are bits of FP32 numbers; what a block has no values for counts as zeros past the end of a row. */
struct mxq_probed {
    unsigned nvalues; /* 1 to MXQ_PROBE_NVALUES */
    uint32_t values[MXQ_PROBE_NVALUES];
    uint8_t scale[2]; /* of both profiles */
    uint8_t codes[2][MXQ_PROBE_NVALUES];
};

struct mxq_probe;

typedef void (*mxq_probed_func)(void *context, const struct mxq_probed *block);

/* NULL without memory. The profiles must stay valid. */
struct mxq_probe *mxq_create_probe(const struct mxq_profile *a, const struct mxq_profile *b, mxq_probed_func see,
                                   void *context);

/* Blocks of another number of values than the ones before, which are quantized then. */
bool mxq_add_probe(struct mxq_probe *probe, unsigned nvalues, const uint32_t *values, struct mxq_fault *fault);

/* Quantizes what has been added, so that all blocks have been seen. */
bool mxq_flush_probe(struct mxq_probe *probe, struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_free_probe(struct mxq_probe *probe);

#endif /* MXQ_PROFILE_PROBE_H */
