/* scalar.c - the variant that defines the result: one tile after another, in plain C */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

#include <string.h>

uint32_t mxq_load_value(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
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

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void mxq_load_columns(const struct mxq_matrix *matrix, uint64_t row, uint64_t col, unsigned ncols,
                      uint32_t x[][MXQ_BLOCK_NELEMS])
{
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
        for (unsigned j = 0; j < ncols; j++)
            x[j][i] = mxq_load_value(matrix, row + i, col + j);
}

/* Up to nelems values of a logical row from first on, and zeros; returns how many the row has. */
static unsigned load_values(const struct mxq_matrix *matrix, enum mxq_direction direction, uint64_t row, uint64_t first,
                            unsigned nelems, uint32_t *x)
{
    const bool rowwise = direction == MXQ_ROWWISE;
    const unsigned nvalid = (unsigned)smaller(nelems, (rowwise ? matrix->cols : matrix->rows) - first);

    for (unsigned i = 0; i < nvalid; i++)
        x[i] = rowwise ? mxq_load_value(matrix, row, first + i) : mxq_load_value(matrix, first + i, row);
    for (unsigned i = nvalid; i < nelems; i++)
        x[i] = 0;
    return nvalid;
}

unsigned mxq_load_block(const struct mxq_matrix *matrix, const struct mxq_recipe *recipe, enum mxq_direction direction,
                        uint64_t row, uint64_t block, uint32_t x[MXQ_BLOCK_NELEMS])
{
    const unsigned nelems = recipe->hadamard_nelems > MXQ_BLOCK_NELEMS ? recipe->hadamard_nelems : MXQ_BLOCK_NELEMS;
    const uint64_t at = block * MXQ_BLOCK_NELEMS;
    const uint64_t first = at / nelems * nelems;
    uint32_t values[MXQ_HADAMARD_NELEMS];

    if (recipe->hadamard_nelems == 0)
        return load_values(matrix, direction, row, at, MXQ_BLOCK_NELEMS, x);
    /* Panels begin at multiples of the largest transform, so places in them will do. */
    load_values(matrix, direction, row, first, nelems, values);
    mxq_transform_values(recipe, first, nelems, values);
    memcpy(x, values + (at - first), MXQ_BLOCK_NELEMS * sizeof(*x));
    return MXQ_BLOCK_NELEMS;
}

/* Whether a block has an infinity or a NaN before it is transformed. */
static bool has_nonfinite(const struct mxq_matrix *matrix, enum mxq_direction direction, uint64_t row, uint64_t block)
{
    uint32_t x[MXQ_BLOCK_NELEMS];
    bool found = false;

    load_values(matrix, direction, row, block * MXQ_BLOCK_NELEMS, MXQ_BLOCK_NELEMS, x);
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
        found |= (x[i] & ~MXQ_F32_SIGN) >= MXQ_F32_INFINITY;
    return found;
}

static void store_block(const struct mxq_task *task, enum mxq_direction direction, uint64_t row, uint64_t block,
                        struct mxq_scale scale, const uint32_t x[MXQ_BLOCK_NELEMS], unsigned ncodes)
{
    const struct mxq_target *target = &task->target[direction];
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t first = block * MXQ_BLOCK_NELEMS;
    const uint64_t place =
        task->places.first + (rowwise ? row * task->places.row_stride + first : first * task->places.row_stride + row);
    uint8_t unit[MXQ_UNIT_NBYTES];

    mxq_encode_block(task->recipe, scale, x, ncodes, place, rowwise ? 1 : task->places.row_stride, unit);
    target->scale[mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block)] = scale.byte;
    memcpy(target->data + mxq_data_offset(target->data_layout, target->data_pitch, row, block), unit,
           mxq_unit_nbytes(target->data_layout, rowwise ? task->matrix->cols : task->matrix->rows, block));
}

/* What of the blocks of a tile is inside the panel, in one direction: 32 logical rows of one block at most. */
bool mxq_quantize_tile(const struct mxq_task *task, enum mxq_direction direction, uint64_t row0, uint64_t col0)
{
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t row = rowwise ? row0 : col0;
    const uint64_t block = (rowwise ? col0 : row0) / MXQ_BLOCK_NELEMS;
    const unsigned nrows =
        (unsigned)smaller(MXQ_BLOCK_NELEMS, (rowwise ? task->matrix->rows : task->matrix->cols) - row);
    uint32_t x[MXQ_BLOCK_NELEMS][MXQ_BLOCK_NELEMS];
    struct mxq_amax amax[MXQ_BLOCK_NELEMS];
    struct mxq_amax largest = {0, false};
    unsigned ncodes = 0;
    bool nonfinite = false;

    for (unsigned i = 0; i < nrows; i++) {
        nonfinite |= has_nonfinite(task->matrix, direction, row + i, block);
        ncodes = mxq_load_block(task->matrix, task->recipe, direction, row + i, block, x[i]);
        amax[i] = mxq_find_amax(x[i]);
        largest = mxq_join_amax(largest, amax[i]);
    }
    for (unsigned i = 0; i < nrows; i++) {
        const bool shared = task->recipe->block == MXQ_BLOCK_32X32;
        store_block(task, direction, row + i, block, mxq_find_scale(task->recipe, shared ? largest : amax[i]), x[i],
                    ncodes);
    }
    return nonfinite;
}

static bool quantize_panel(const struct mxq_task *task)
{
    bool nonfinite = false;

    for (uint64_t row = 0; row < task->matrix->rows; row += MXQ_BLOCK_NELEMS)
        for (uint64_t col = 0; col < task->matrix->cols; col += MXQ_BLOCK_NELEMS)
            for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
                if (task->target[d].wanted)
                    nonfinite |= mxq_quantize_tile(task, d, row, col);
    return nonfinite;
}

static bool takes(const struct mxq_recipe *recipe)
{
    (void)recipe;
    return true;
}

static bool runs_here(void)
{
    return true;
}

const struct mxq_kernel mxq_kernel_scalar = {
    .name = "scalar",
    .summary = "portable C, the definition of the result",
    .runs_here = runs_here,
    .takes = takes,
    .quantize_panel = quantize_panel,
};
