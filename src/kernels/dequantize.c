/* dequantize.c - from codes and scales back to values */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

/* A logical row of a panel, from the first block of a transform on: one block, or as many as the transform has. */
struct stretch {
    double v[MXQ_HADAMARD_NELEMS]; /* FP64 holds every value of a code exactly */
    bool is_nan[MXQ_HADAMARD_NELEMS];
};

static void load_block(const struct mxq_reading *reading, uint64_t row, uint64_t block, bool whole, double *v,
                       bool *is_nan)
{
    const uint8_t scale_byte = mxq_read_scale(reading, row, block);
    const double scale = (double)mxq_decode_scale(scale_byte);
    uint8_t codes[MXQ_BLOCK_NELEMS];
    const unsigned nstored = mxq_read_codes(reading, row, block, codes);

    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        is_nan[i] = scale_byte == MXQ_SCALE_NAN || (whole && i >= nstored);
        v[i] = is_nan[i] ? 0 : (double)mxq_decode_code(codes[i]) * scale;
    }
}

/*
 * Undoes a transform: the matrix is its own inverse, up to the factor that it was given. Values of 16 points under one
 * scale are small multiples of it, so that no sum rounds; those of more may have scales far apart.
 */
static void undo_points(const struct mxq_recipe *recipe, uint64_t first, double *v, bool *is_nan)
{
    const unsigned nelems = recipe->hadamard_nelems;
    const double factor = (double)nelems * (double)mxq_hadamard_norm(nelems);
    bool any_nan = false;

    for (unsigned stride = 1; stride < nelems; stride *= 2) {
        for (unsigned i = 0; i < nelems; i++) {
            const double a = v[i];
            if (i & stride)
                continue;
            v[i] = a + v[i + stride];
            v[i + stride] = a - v[i + stride];
        }
    }
    for (unsigned i = 0; i < nelems; i++)
        any_nan |= is_nan[i];
    for (unsigned i = 0; i < nelems; i++) {
        v[i] = (mxq_hadamard_flip(recipe, first + i) ? -v[i] : v[i]) / factor;
        is_nan[i] = any_nan;
    }
}

/* Decodes nblocks blocks; inverse: what their values went through, or NULL. */
static void decode_stretch(const struct mxq_reading *reading, const struct mxq_recipe *inverse, uint64_t row,
                           uint64_t block, unsigned nblocks, struct stretch *s)
{
    for (unsigned b = 0; b < nblocks; b++)
        load_block(reading, row, block + b, inverse != NULL, s->v + b * MXQ_BLOCK_NELEMS,
                   s->is_nan + b * MXQ_BLOCK_NELEMS);
    for (unsigned i = 0; inverse != NULL && i < nblocks * MXQ_BLOCK_NELEMS; i += inverse->hadamard_nelems)
        undo_points(inverse, block * MXQ_BLOCK_NELEMS + i, s->v + i, s->is_nan + i);
}

static void dequantize_stretch(const struct mxq_reading *reading, const struct mxq_recipe *inverse, uint64_t row,
                               uint64_t block, unsigned nblocks, float *values, uint64_t row_stride)
{
    const uint64_t first = block * MXQ_BLOCK_NELEMS;
    struct stretch s;

    decode_stretch(reading, inverse, row, block, nblocks, &s);
    for (unsigned i = 0; i < nblocks * MXQ_BLOCK_NELEMS && first + i < reading->logical.cols; i++) {
        const uint64_t at =
            reading->direction == MXQ_ROWWISE ? row * row_stride + first + i : (first + i) * row_stride + row;
        values[at] = s.is_nan[i] ? mxq_f32_value(MXQ_F32_QUIET_NAN) : (float)s.v[i];
    }
}

enum mxq_status mxq_dequantize_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                     const struct mxq_origin in[MXQ_NUM_BUFFERS], enum mxq_direction direction,
                                     bool inverse_hadamard, float *values, uint64_t row_stride)
{
    struct mxq_reading reading;
    const enum mxq_status status = mxq_prepare_reading(plan, panel, in, direction, &reading);
    const struct mxq_recipe *inverse = inverse_hadamard ? &plan->options.recipe : NULL;
    unsigned nblocks = 1;

    if (status != MXQ_OK)
        return status;
    if (row_stride < panel->cols || (inverse != NULL && inverse->hadamard_nelems == 0) ||
        (values == NULL && panel->rows != 0 && panel->cols != 0))
        return MXQ_ERR_ARGUMENT;
    if (inverse != NULL && inverse->hadamard_nelems > MXQ_BLOCK_NELEMS)
        nblocks = inverse->hadamard_nelems / MXQ_BLOCK_NELEMS;
    for (uint64_t row = 0; row < reading.logical.rows; row++)
        for (uint64_t block = 0; block < mxq_count_blocks(reading.logical.cols); block += nblocks)
            dequantize_stretch(&reading, inverse, row, block, nblocks, values, row_stride);
    return MXQ_OK;
}
