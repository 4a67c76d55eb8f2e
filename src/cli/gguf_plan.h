/*
 * gguf_plan.h - what will be made of a GGUF file: which tensors are quantized, and the header of the result
 */
#ifndef MXQ_GGUF_PLAN_H
#define MXQ_GGUF_PLAN_H

#include "cli/checkpoint_plan.h"
#include "io/gguf.h"

struct mxq_gguf_plan {
    const struct mxq_gguf *source;
    struct mxq_gguf out;
    bool *is_quantized;   /* of each tensor */
    const char **reasons; /* static text: why not; else NULL */
    uint64_t nquantized;
};

/* Of the request, the patterns are looked at. Prints warnings. source must outlive the plan. */
bool mxq_plan_gguf(const struct mxq_gguf *source, const struct mxq_checkpoint_request *request,
                   struct mxq_gguf_plan *plan, struct mxq_fault *fault);
void mxq_free_gguf_plan(struct mxq_gguf_plan *plan);

/* The table of --dry-run on standard output. */
void mxq_print_gguf_plan(const char *path, const struct mxq_gguf_plan *plan);

/* "4x384x96", rows last, as arrays have it; the tensor's own axes. */
#define MXQ_GGUF_SHAPE_NBYTES 96
const char *mxq_format_gguf_shape(const struct mxq_gguf_tensor *tensor, char text[MXQ_GGUF_SHAPE_NBYTES]);

#endif /* MXQ_GGUF_PLAN_H */
