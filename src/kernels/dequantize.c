/* dequantize.c - from codes and scales back to values */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

/* A half of a block, which the Hadamard transform is about. */
#define HALF_NELEMS 16

/*
 * Undoes the transform of codes' values in units of their scale: the matrix is its own inverse, up to the factor that
 * mxq_transform_hadamard16() has. Sums of 16 codes, and a quarter of them, are multiples of 1/8 and at most 24: FP32
 * holds them exactly, so that only the multiplication by the scale can round, and it does not either.
 */
static void undo_transform(uint32_t v[MXQ_BLOCK_NELEMS], unsigned nstored, uint32_t signs)
{
    mxq_transform_hadamard16(v);
    mxq_transform_hadamard16(v + HALF_NELEMS);
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        v[i] ^= (signs >> i & 1u) << 31;
        if (nstored < (i < HALF_NELEMS ? HALF_NELEMS : MXQ_BLOCK_NELEMS))
            v[i] = MXQ_F32_QUIET_NAN;
    }
}

static float scale_value(uint32_t v, uint8_t scale_byte)
{
    if (scale_byte == MXQ_SCALE_NAN || (v & ~MXQ_F32_SIGN) > MXQ_F32_INFINITY)
        return mxq_f32_value(MXQ_F32_QUIET_NAN);
    return mxq_f32_value(v) * mxq_decode_scale(scale_byte);
}

static void dequantize_block(const struct mxq_reading *reading, const struct mxq_recipe *inverse, uint64_t row,
                             uint64_t block, float *values, uint64_t row_stride)
{
    const uint64_t first = block * MXQ_BLOCK_NELEMS;
    const uint8_t scale_byte = mxq_read_scale(reading, row, block);
    const unsigned nvalid = mxq_count_valid(reading, block);
    uint8_t codes[MXQ_BLOCK_NELEMS];
    uint32_t v[MXQ_BLOCK_NELEMS];
    const unsigned nstored = mxq_read_codes(reading, row, block, codes);

    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
        v[i] = mxq_f32_bits(mxq_decode_code(codes[i]));
    if (inverse != NULL)
        undo_transform(v, nstored, inverse->hadamard_signs);
    for (unsigned i = 0; i < nvalid; i++) {
        const uint64_t at =
            reading->direction == MXQ_ROWWISE ? row * row_stride + first + i : (first + i) * row_stride + row;
        values[at] = scale_value(v[i], scale_byte);
    }
}

enum mxq_status mxq_dequantize_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                     const struct mxq_origin in[MXQ_NUM_BUFFERS], enum mxq_direction direction,
                                     bool inverse_hadamard, float *values, uint64_t row_stride)
{
    struct mxq_reading reading;
    const enum mxq_status status = mxq_prepare_reading(plan, panel, in, direction, &reading);

    if (status != MXQ_OK)
        return status;
    if (row_stride < panel->cols || (inverse_hadamard && !plan->options.recipe.hadamard) ||
        (values == NULL && panel->rows != 0 && panel->cols != 0))
        return MXQ_ERR_ARGUMENT;
    for (uint64_t row = 0; row < reading.logical.rows; row++)
        for (uint64_t block = 0; block < mxq_count_blocks(reading.logical.cols); block++)
            dequantize_block(&reading, inverse_hadamard ? &plan->options.recipe : NULL, row, block, values, row_stride);
    return MXQ_OK;
}
