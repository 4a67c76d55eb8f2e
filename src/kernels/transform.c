/*
 * transform.c - Hadamard transforms of a panel, for variants that do not have them
 *
 * A strip is 32 logical rows of up to 256 values, as FP32, transposed: what is at one place of all its rows lies together,
 * so that a transform along the rows is additions of whole lines, which any compiler vectorizes, and both directions are
 * the same. A variant then quantizes the strip along its columns, which puts the units where those of the rows belong.
 */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

#include <string.h>

#define LINE_NELEMS MXQ_BLOCK_NELEMS /* logical rows of a strip */
#define STRIP_NELEMS MXQ_PANEL_ALIGN /* values of each, at most */

struct strip {
    _Alignas(64) float line[STRIP_NELEMS][LINE_NELEMS];
};

bool mxq_can_transform_first(const struct mxq_kernel *kernel, const struct mxq_recipe *recipe)
{
    struct mxq_recipe rest = *recipe;

    rest.hadamard_nelems = 0;
    return recipe->hadamard_nelems != 0 && kernel->takes(&rest);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Loads one place of nrows logical rows, the signs flipped; whether there was an infinity or a NaN. */
static bool load_line(const struct mxq_task *task, enum mxq_direction direction, uint64_t row0, unsigned nrows,
                      uint64_t at, float line[LINE_NELEMS])
{
    const uint32_t flip = mxq_hadamard_flip(task->recipe, at);
    bool nonfinite = false;

    memset(line, 0, LINE_NELEMS * sizeof(*line));
    for (unsigned i = 0; i < nrows; i++) {
        const uint32_t x = direction == MXQ_ROWWISE ? mxq_load_value(task->matrix, row0 + i, at)
                                                    : mxq_load_value(task->matrix, at, row0 + i);
        nonfinite |= (x & ~MXQ_F32_SIGN) >= MXQ_F32_INFINITY;
        line[i] = mxq_f32_value(x ^ flip);
    }
    return nonfinite;
}

static void add_lines(float a[LINE_NELEMS], float b[LINE_NELEMS])
{
    for (unsigned i = 0; i < LINE_NELEMS; i++) {
        const float sum = a[i] + b[i];
        b[i] = a[i] - b[i];
        a[i] = sum;
    }
}

static void finish_line(float line[LINE_NELEMS], float norm)
{
    for (unsigned i = 0; i < LINE_NELEMS; i++) {
        const uint32_t x = mxq_f32_bits(line[i] * norm);
        line[i] = mxq_f32_value((x & ~MXQ_F32_SIGN) > MXQ_F32_INFINITY ? MXQ_F32_QUIET_NAN : x);
    }
}

/* What mxq_transform_points() does, in the same order, for whole lines. */
static void transform_lines(float lines[][LINE_NELEMS], unsigned nelems)
{
    for (unsigned stride = 1; stride < nelems; stride *= 2)
        for (unsigned i = 0; i < nelems; i++)
            if (!(i & stride))
                add_lines(lines[i], lines[i + stride]);
    for (unsigned i = 0; i < nelems; i++)
        finish_line(lines[i], mxq_hadamard_norm(nelems));
}

/* Strips begin where groups of rows and of blocks do, so addresses add up. */
static void quantize_strip(const struct mxq_task *task, const struct mxq_kernel *kernel, enum mxq_direction direction,
                           uint64_t row0, unsigned nrows, uint64_t first, uint64_t nelems, const struct strip *strip)
{
    const struct mxq_matrix matrix = {strip->line, MXQ_F32, nelems, nrows, LINE_NELEMS};
    struct mxq_recipe recipe = *task->recipe;
    struct mxq_task part = *task;
    struct mxq_target *target = &part.target[MXQ_COLUMNWISE];

    recipe.hadamard_nelems = 0;
    part.recipe = &recipe;
    part.matrix = &matrix;
    *target = task->target[direction];
    target->data += mxq_data_offset(target->data_layout, target->data_pitch, row0, first / MXQ_BLOCK_NELEMS);
    target->scale += mxq_scale_offset(target->scale_layout, target->scale_pitch, row0, first / MXQ_BLOCK_NELEMS);
    part.target[MXQ_ROWWISE].wanted = false;
    kernel->quantize_panel(&part);
}

/* The whole blocks of a strip by the variant; of the last values of a row that are less, the definition makes a block. */
static bool transform_strip(const struct mxq_task *task, const struct mxq_kernel *kernel, enum mxq_direction direction,
                            uint64_t row0, uint64_t first)
{
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t length = rowwise ? task->matrix->cols : task->matrix->rows;
    const uint64_t end = smaller(first + STRIP_NELEMS, length);
    const uint64_t whole = (end - first) / MXQ_BLOCK_NELEMS * MXQ_BLOCK_NELEMS;
    const unsigned nrows = (unsigned)smaller(LINE_NELEMS, (rowwise ? task->matrix->rows : task->matrix->cols) - row0);
    struct strip strip;
    bool nonfinite = false;

    for (uint64_t i = 0; i < whole; i++)
        nonfinite |= load_line(task, direction, row0, nrows, first + i, strip.line[i]);
    for (uint64_t i = 0; i < whole; i += task->recipe->hadamard_nelems)
        transform_lines(strip.line + i, task->recipe->hadamard_nelems);
    if (whole != 0)
        quantize_strip(task, kernel, direction, row0, nrows, first, whole, &strip);
    if (first + whole < end)
        nonfinite |= mxq_quantize_tile(task, direction, rowwise ? row0 : first + whole, rowwise ? first + whole : row0);
    return nonfinite;
}

bool mxq_transform_first(const struct mxq_task *task, const struct mxq_kernel *kernel)
{
    const struct mxq_matrix *matrix = task->matrix;
    bool nonfinite = false;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const uint64_t rows = d == MXQ_ROWWISE ? matrix->rows : matrix->cols;
        const uint64_t length = d == MXQ_ROWWISE ? matrix->cols : matrix->rows;
        for (uint64_t row = 0; row < rows && task->target[d].wanted; row += LINE_NELEMS)
            for (uint64_t first = 0; first < length; first += STRIP_NELEMS)
                nonfinite |= transform_strip(task, kernel, d, row, first);
    }
    return nonfinite;
}
