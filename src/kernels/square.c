/* square.c - a panel taken as squares: where each one's bytes are collected, and their way into the real buffers */
#include "kernels/square.h"

#include <string.h>

#define TILE MXQ_BLOCK_NELEMS
#define ROW_NBYTES (MXQ_SQUARE_BLOCKS * MXQ_UNIT_NBYTES) /* units of a logical row of a square */
#define UNIT_GROUP_NBYTES (MXQ_AITER_DATA_GROUP * ROW_NBYTES)
#define SCALE_GROUP_NBYTES (MXQ_AITER_SCALE_GROUP * MXQ_SQUARE_BLOCKS)

/* What is collected of one direction, in AITER's order, which has room for all of a unit wherever a row ends. */
struct collected {
    _Alignas(64) uint8_t units[MXQ_SQUARE_NELEMS * ROW_NBYTES];
    _Alignas(64) uint8_t scales[MXQ_SQUARE_NELEMS * MXQ_SQUARE_BLOCKS];
};

/* One direction of a square, as logical rows of blocks. */
struct side {
    const struct mxq_square_work *work;
    struct mxq_target real; /* relative to the square */
    struct mxq_target used; /* what the variant is given */
    struct collected *collected;
    uint64_t rows;
    uint64_t cols;
    bool whole; /* all of the 256 x 256 values are there */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Squares begin where groups of rows and of blocks do, so addresses add up. */
static struct mxq_target move_target(const struct mxq_target *target, uint64_t row, uint64_t block)
{
    struct mxq_target moved = *target;

    moved.data += mxq_data_offset(target->data_layout, target->data_pitch, row, block);
    moved.scale += mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block);
    return moved;
}

static void choose_target(struct side *side)
{
    const bool whole_tiles = side->rows % TILE == 0 && side->cols % TILE == 0;

    side->used = side->real;
    if (side->real.data_layout == MXQ_LINEAR || !whole_tiles) {
        side->used.data_layout = MXQ_AITER;
        side->used.data = side->collected->units;
        side->used.data_pitch = UNIT_GROUP_NBYTES;
    }
    side->used.scale_layout = MXQ_AITER;
    side->used.scale = side->collected->scales;
    side->used.scale_pitch = SCALE_GROUP_NBYTES;
}

/* ---- the copies */

void mxq_put_units(const struct mxq_square_work *work, uint8_t *to, uint64_t pitch, const uint8_t *from)
{
    (void)work;
    for (unsigned row = 0; row < MXQ_AITER_DATA_GROUP; row++)
        for (unsigned block = 0; block < MXQ_SQUARE_BLOCKS; block++)
            memcpy(to + row * pitch + block * MXQ_UNIT_NBYTES, from + mxq_data_offset(MXQ_AITER, 0, row, block),
                   MXQ_UNIT_NBYTES);
}

void mxq_put_scales(const struct mxq_square_work *work, enum mxq_layout layout, uint8_t *to, uint64_t pitch,
                    const uint8_t *from)
{
    (void)work;
    if (layout == MXQ_AITER) {
        memcpy(to, from, SCALE_GROUP_NBYTES);
        return;
    }
    for (unsigned row = 0; row < MXQ_AITER_SCALE_GROUP; row++)
        for (unsigned block = 0; block < MXQ_SQUARE_BLOCKS; block++)
            to[row * pitch + block] = from[mxq_scale_offset(MXQ_AITER, 0, row, block)];
}

static void put_whole_units(const struct side *side)
{
    for (unsigned row = 0; row < MXQ_SQUARE_NELEMS; row += MXQ_AITER_DATA_GROUP)
        side->work->put_units(side->work, side->real.data + row * side->real.data_pitch, side->real.data_pitch,
                              side->collected->units + row * ROW_NBYTES);
}

static void put_whole_scales(const struct side *side)
{
    const struct mxq_target *real = &side->real;

    for (unsigned row = 0; row < MXQ_SQUARE_NELEMS; row += MXQ_AITER_SCALE_GROUP)
        side->work->put_scales(side->work, real->scale_layout,
                               real->scale + mxq_scale_offset(real->scale_layout, real->scale_pitch, row, 0),
                               real->scale_pitch, side->collected->scales + row * MXQ_SQUARE_BLOCKS);
}

static void copy_units(const struct side *side)
{
    const struct mxq_target *real = &side->real;

    for (uint64_t row = 0; row < side->rows; row++)
        for (uint64_t block = 0; block < mxq_count_blocks(side->cols); block++)
            memcpy(real->data + mxq_data_offset(real->data_layout, real->data_pitch, row, block),
                   side->collected->units + mxq_data_offset(MXQ_AITER, UNIT_GROUP_NBYTES, row, block),
                   mxq_unit_nbytes(real->data_layout, side->cols, block));
}

static void copy_scales(const struct side *side)
{
    const struct mxq_target *real = &side->real;

    for (uint64_t row = 0; row < side->rows; row++)
        for (uint64_t block = 0; block < mxq_count_blocks(side->cols); block++)
            real->scale[mxq_scale_offset(real->scale_layout, real->scale_pitch, row, block)] =
                side->collected->scales[mxq_scale_offset(MXQ_AITER, SCALE_GROUP_NBYTES, row, block)];
}

static void copy_side(const struct side *side)
{
    const bool direct = side->used.data == side->real.data;

    if (side->whole) {
        if (!direct)
            put_whole_units(side);
        put_whole_scales(side);
    } else {
        if (!direct)
            copy_units(side);
        copy_scales(side);
    }
}

/* ---- squares */

static bool quantize_square(const struct mxq_task *task, const struct mxq_square_work *work,
                            struct collected *collected, uint64_t row0, uint64_t col0)
{
    struct mxq_matrix matrix = *task->matrix;
    struct mxq_task square = *task;
    struct side sides[MXQ_NUM_DIRECTIONS];
    bool nonfinite;

    square.matrix = &matrix;
    matrix.data = (const char *)task->matrix->data + (row0 * matrix.row_stride + col0) * mxq_dtype_nbytes(matrix.dtype);
    square.places.first += row0 * task->places.row_stride + col0;
    matrix.rows = smaller(MXQ_SQUARE_NELEMS, task->matrix->rows - row0);
    matrix.cols = smaller(MXQ_SQUARE_NELEMS, task->matrix->cols - col0);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const bool rowwise = d == MXQ_ROWWISE;
        struct side *side = &sides[d];
        if (!task->target[d].wanted)
            continue;
        side->work = work;
        side->collected = &collected[d];
        side->rows = rowwise ? matrix.rows : matrix.cols;
        side->cols = rowwise ? matrix.cols : matrix.rows;
        side->whole = side->rows == MXQ_SQUARE_NELEMS && side->cols == MXQ_SQUARE_NELEMS;
        side->real = move_target(&task->target[d], rowwise ? row0 : col0, (rowwise ? col0 : row0) / TILE);
        choose_target(side);
        square.target[d] = side->used;
    }
    nonfinite = work->quantize(work, &square);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (task->target[d].wanted)
            copy_side(&sides[d]);
    return nonfinite;
}

bool mxq_quantize_squares(const struct mxq_task *task, const struct mxq_square_work *work)
{
    struct collected collected[MXQ_NUM_DIRECTIONS];
    bool nonfinite = false;

    for (uint64_t row = 0; row < task->matrix->rows; row += MXQ_SQUARE_NELEMS)
        for (uint64_t col = 0; col < task->matrix->cols; col += MXQ_SQUARE_NELEMS)
            nonfinite |= quantize_square(task, work, collected, row, col);
    return nonfinite;
}
