/* scalar.c - the variant that defines the result: one block after another, in plain C */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

#include <string.h>

static uint32_t load_value(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
{
    const uint64_t index = row * matrix->row_stride + col;

    switch (matrix->dtype) {
    case MXQ_BF16:
        return mxq_widen_bf16(((const uint16_t *)matrix->data)[index]);
    case MXQ_F16:
        return mxq_widen_f16(((const uint16_t *)matrix->data)[index]);
    default: /* MXQ_F32 */
        return ((const uint32_t *)matrix->data)[index];
    }
}

/* Loads nvalid values from (row, col) on, along the direction, and fills up with zeros. */
void mxq_load_block(const struct mxq_matrix *matrix, uint64_t row, uint64_t col, enum mxq_direction direction,
                    unsigned nvalid, uint32_t x[MXQ_BLOCK_NELEMS])
{
    for (unsigned i = 0; i < nvalid; i++)
        x[i] = direction == MXQ_ROWWISE ? load_value(matrix, row, col + i) : load_value(matrix, row + i, col);
    for (unsigned i = nvalid; i < MXQ_BLOCK_NELEMS; i++)
        x[i] = 0;
}

static bool has_nonfinite(const uint32_t x[MXQ_BLOCK_NELEMS])
{
    bool found = false;

    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
        found |= (x[i] & ~MXQ_F32_SIGN) >= MXQ_F32_INFINITY;
    return found;
}

/* Quantizes block `block` of logical row `row`; returns whether it has an infinity or a NaN. */
static bool quantize_one(const struct mxq_task *task, enum mxq_direction direction, uint64_t row, uint64_t block)
{
    const struct mxq_matrix *matrix = task->matrix;
    const struct mxq_target *target = &task->target[direction];
    const uint64_t nelems = direction == MXQ_ROWWISE ? matrix->cols : matrix->rows;
    const uint64_t first = block * MXQ_BLOCK_NELEMS;
    const unsigned nvalid = nelems - first < MXQ_BLOCK_NELEMS ? (unsigned)(nelems - first) : MXQ_BLOCK_NELEMS;
    uint32_t x[MXQ_BLOCK_NELEMS];
    uint8_t unit[MXQ_UNIT_NBYTES];
    bool nonfinite;

    if (direction == MXQ_ROWWISE)
        mxq_load_block(matrix, row, first, direction, nvalid, x);
    else
        mxq_load_block(matrix, first, row, direction, nvalid, x);
    nonfinite = has_nonfinite(x);
    target->scale[mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block)] =
        mxq_quantize_block(task->recipe, x, nvalid, unit);
    memcpy(target->data + mxq_data_offset(target->data_layout, target->data_pitch, row, block), unit,
           mxq_unit_nbytes(target->data_layout, nelems, block));
    return nonfinite;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What of the blocks of a tile is inside the panel, in one direction: 32 logical rows of one block at most. */
bool mxq_quantize_tile(const struct mxq_task *task, enum mxq_direction direction, uint64_t row0, uint64_t col0)
{
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t first = rowwise ? row0 : col0;
    const uint64_t end = smaller(first + MXQ_BLOCK_NELEMS, rowwise ? task->matrix->rows : task->matrix->cols);
    const uint64_t block = (rowwise ? col0 : row0) / MXQ_BLOCK_NELEMS;
    bool nonfinite = false;

    for (uint64_t row = first; row < end; row++)
        nonfinite |= quantize_one(task, direction, row, block);
    return nonfinite;
}

static bool quantize_panel(const struct mxq_task *task)
{
    bool nonfinite = false;

    if (task->target[MXQ_ROWWISE].wanted)
        for (uint64_t row = 0; row < task->matrix->rows; row++)
            for (uint64_t block = 0; block < mxq_count_blocks(task->matrix->cols); block++)
                nonfinite |= quantize_one(task, MXQ_ROWWISE, row, block);
    /* Blocks outside: 32 rows stay in the cache while all their columns are done. */
    if (task->target[MXQ_COLUMNWISE].wanted)
        for (uint64_t block = 0; block < mxq_count_blocks(task->matrix->rows); block++)
            for (uint64_t col = 0; col < task->matrix->cols; col++)
                nonfinite |= quantize_one(task, MXQ_COLUMNWISE, col, block);
    return nonfinite;
}

static bool runs_here(void)
{
    return true;
}

const struct mxq_kernel mxq_kernel_scalar = {
    .name = "scalar",
    .summary = "portable C, the definition of the result",
    .runs_here = runs_here,
    .quantize_panel = quantize_panel,
};
