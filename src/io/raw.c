/*
 * raw.c - files that are a tensor's bytes and nothing else
 *
 * The caller says what they mean. The bytes are little-endian, in C order.
 */
#include "io/source_internal.h"

#include <inttypes.h>
#include <string.h>

static bool describe_tensor(struct mxq_source *source, struct mxq_fault *fault)
{
    const struct mxq_source_options *options = &source->options;
    struct mxq_tensor *tensor = &source->tensor;

    if (!options->has_dtype && !options->bytes) {
        mxq_set_fault(fault, source->name, 0, "a raw file needs a dtype (--dtype bf16, f16 or f32)");
        return false;
    }
    if (options->rank > MXQ_MAX_RANK) {
        mxq_set_fault(fault, source->name, 0, "more than %d dimensions", MXQ_MAX_RANK);
        return false;
    }
    memset(tensor, 0, sizeof(*tensor));
    tensor->dtype = options->dtype;
    tensor->elem_nbytes = options->bytes ? 1 : (unsigned)mxq_dtype_nbytes(options->dtype);
    tensor->rank = options->rank;
    memcpy(tensor->shape, options->shape, sizeof(tensor->shape));
    tensor->swap_bytes = !options->bytes && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return mxq_measure_tensor(tensor, source->name, fault);
}

static int next_raw(struct mxq_source *source, struct mxq_fault *fault)
{
    uint64_t skipped = 0;

    if (source->ntensors > 0)
        return 0;
    if (!describe_tensor(source, fault) || !mxq_skip_stream(source->stream, source->options.offset, &skipped, fault))
        return -1;
    if (skipped < source->options.offset) {
        mxq_set_fault(fault, source->name, 0, "the offset %" PRIu64 " is beyond its end at %" PRIu64,
                      source->options.offset, skipped);
        return -1;
    }
    return 1;
}

const struct mxq_source_format mxq_raw_format = {
    .name = "raw",
    .gz_name = "raw.gz",
    .next = next_raw,
};
