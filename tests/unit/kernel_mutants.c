/* kernel_mutants.c - variants that are the scalar one but for a single fault */
#include "unit/kernel_mutants.h"

#include "kernels/mxq_block.h"

#include <stdlib.h>
#include <string.h>

#define TILE 32

static bool always(void)
{
    return true;
}

static bool quantize(const struct mxq_task *task)
{
    return mxq_kernel_scalar.quantize_panel(task);
}

/* ---------------------------------------------------------------------------------------------- places */

static bool skip_last_scale(const struct mxq_task *task)
{
    const struct mxq_target *target = &task->target[MXQ_ROWWISE];
    uint8_t *last;
    uint8_t before;
    bool nonfinite;

    if (!target->wanted)
        return quantize(task);
    last = target->scale + mxq_scale_offset(target->scale_layout, target->scale_pitch, task->matrix->rows - 1,
                                            mxq_count_blocks(task->matrix->cols) - 1);
    before = *last;
    nonfinite = quantize(task);
    *last = before;
    return nonfinite;
}

static bool skip_corner(const struct mxq_task *task)
{
    const uint64_t rows = task->matrix->rows;
    const uint64_t cols = task->matrix->cols;

    return rows > TILE && cols > TILE && rows % TILE != 0 && cols % TILE != 0 ? skip_last_scale(task) : quantize(task);
}

static bool write_beyond(const struct mxq_task *task)
{
    const struct mxq_target *target = &task->target[MXQ_COLUMNWISE];
    const bool nonfinite = quantize(task);

    if (target->wanted && target->data_layout == MXQ_LINEAR && task->matrix->rows % TILE != 0)
        memset(target->data + mxq_data_offset(MXQ_LINEAR, target->data_pitch, task->matrix->cols - 1,
                                              mxq_count_blocks(task->matrix->rows) - 1),
               0, MXQ_UNIT_NBYTES);
    return nonfinite;
}

static bool align_output(const struct mxq_task *task)
{
    struct mxq_task copy = *task;
    const size_t offset = (uintptr_t)copy.target[MXQ_ROWWISE].data % MXQ_UNIT_NBYTES;

    if (copy.target[MXQ_ROWWISE].wanted && copy.target[MXQ_ROWWISE].data_layout == MXQ_AITER)
        copy.target[MXQ_ROWWISE].data -= offset;
    return quantize(&copy);
}

/* Zeros that fill up a block are no values: their codes are 0, and not 8, whatever the rule about signs. */
static bool sign_what_is_filled_up(const struct mxq_task *task)
{
    const struct mxq_target *target = &task->target[MXQ_ROWWISE];
    const uint64_t last = mxq_count_blocks(task->matrix->cols) - 1;
    const bool nonfinite = quantize(task);

    if (target->wanted && task->recipe->sign == MXQ_SIGN_NONPOSITIVE && task->recipe->hadamard_nelems == 0 &&
        task->matrix->cols % TILE != 0 && target->data_layout == MXQ_AITER)
        target->data[mxq_data_offset(MXQ_AITER, target->data_pitch, 0, last) + MXQ_UNIT_NBYTES - 1] |= 0x80;
    return nonfinite;
}

/* ---------------------------------------------------------------------------------------------- input */

static bool read_beyond(const struct mxq_task *task)
{
    const struct mxq_matrix *m = task->matrix;
    const volatile uint8_t *bytes = m->data;

    (void)bytes[((m->rows - 1) * m->row_stride + m->cols) * mxq_dtype_nbytes(m->dtype)];
    return quantize(task);
}

static bool quantize_matrix(const struct mxq_task *task, const struct mxq_matrix *matrix)
{
    struct mxq_task copy = *task;

    copy.matrix = matrix;
    return quantize(&copy);
}

static bool align_input(const struct mxq_task *task)
{
    struct mxq_matrix matrix = *task->matrix;

    matrix.data = (const uint8_t *)matrix.data - (uintptr_t)matrix.data % 16;
    return quantize_matrix(task, &matrix);
}

static bool ignore_stride(const struct mxq_task *task)
{
    struct mxq_matrix matrix = *task->matrix;

    matrix.row_stride = matrix.cols;
    return quantize_matrix(task, &matrix);
}

/* Quantizes an FP32 matrix after a change to each of its values. */
static bool quantize_changed(const struct mxq_task *task, uint32_t (*change)(uint32_t x))
{
    struct mxq_matrix matrix = *task->matrix;
    const uint32_t *from = matrix.data;
    uint32_t *to;
    bool nonfinite;

    if (matrix.dtype != MXQ_F32)
        return quantize(task);
    to = malloc(matrix.rows * matrix.cols * sizeof(*to));
    if (to == NULL)
        return quantize(task);
    for (uint64_t r = 0; r < matrix.rows; r++)
        for (uint64_t c = 0; c < matrix.cols; c++)
            to[r * matrix.cols + c] = change(from[r * matrix.row_stride + c]);
    matrix.data = to;
    matrix.row_stride = matrix.cols;
    nonfinite = quantize_matrix(task, &matrix);
    free(to);
    return nonfinite;
}

static uint32_t without_subnormal(uint32_t x)
{
    return (x & ~MXQ_F32_SIGN) < MXQ_F32_HIDDEN ? x & MXQ_F32_SIGN : x;
}

static bool flush_subnormals(const struct mxq_task *task)
{
    return quantize_changed(task, without_subnormal);
}

static uint32_t without_lower_half(uint32_t x)
{
    return (x & ~MXQ_F32_SIGN) >= MXQ_F32_INFINITY ? x : x & 0xffff0000u;
}

static bool drop_lower_half(const struct mxq_task *task)
{
    return quantize_changed(task, without_lower_half);
}

/* ---------------------------------------------------------------------------------------------- infinities, NaNs */

static bool miss_nonfinite(const struct mxq_task *task)
{
    (void)quantize(task);
    return false;
}

static bool look_at_first_tile(const struct mxq_task *task)
{
    struct mxq_matrix tile = *task->matrix;
    uint64_t row, col;

    (void)quantize(task);
    tile.rows = tile.rows < TILE ? tile.rows : TILE;
    tile.cols = tile.cols < TILE ? tile.cols : TILE;
    return mxq_count_nonfinite(&tile, &row, &col) != 0;
}

/* ---------------------------------------------------------------------------------------------- recipes */

static bool quantize_with(const struct mxq_task *task, const struct mxq_recipe *recipe)
{
    struct mxq_task copy = *task;

    copy.recipe = recipe;
    return quantize(&copy);
}

static bool round_ties_away(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    if (recipe.ties == MXQ_TIES_EVEN)
        recipe.ties = MXQ_TIES_AWAY;
    return quantize_with(task, &recipe);
}

static bool drop_negative_zero(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    if (recipe.sign == MXQ_SIGN_KEEP)
        recipe.sign = MXQ_SIGN_VALUE;
    return quantize_with(task, &recipe);
}

static uint32_t without_negative_zero(uint32_t x)
{
    return x == MXQ_F32_SIGN ? 0 : x;
}

static uint32_t find_largest(const struct mxq_matrix *matrix)
{
    uint32_t largest = 0;

    for (uint64_t r = 0; r < matrix->rows; r++) {
        for (uint64_t c = 0; c < matrix->cols; c++) {
            const uint32_t x = ((const uint32_t *)matrix->data)[r * matrix->row_stride + c] & ~MXQ_F32_SIGN;
            largest = x > largest ? x : largest;
        }
    }
    return largest;
}

/* Takes v < 0 to be x < 0, which it is not where v vanishes; without -0, and far from NaN scales, that is what keep does. */
static bool sign_what_vanishes(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;
    struct mxq_task copy = *task;

    if (recipe.sign != MXQ_SIGN_VALUE || recipe.hadamard_nelems != 0 || task->matrix->dtype != MXQ_F32 ||
        find_largest(task->matrix) >= mxq_f32_bits(0x1p100f))
        return quantize(task);
    recipe.sign = MXQ_SIGN_KEEP;
    copy.recipe = &recipe;
    return quantize_changed(&copy, without_negative_zero);
}

static bool ignore_zero_byte(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    recipe.zero_byte = 127;
    return quantize_with(task, &recipe);
}

static bool ignore_huge_byte(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    recipe.huge_byte = 254;
    return quantize_with(task, &recipe);
}

static bool ignore_infinity_byte(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    recipe.infinity_byte = 254;
    return quantize_with(task, &recipe);
}

static bool ignore_nan_code(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    recipe.nan_code = 7;
    return quantize_with(task, &recipe);
}

static bool ignore_random_signs(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    memset(recipe.hadamard_signs, 0, sizeof(recipe.hadamard_signs));
    return quantize_with(task, &recipe);
}

static bool ignore_seed(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    recipe.seed = 0;
    return quantize_with(task, &recipe);
}

/* The distance of rows in memory is not that of their elements' numbers. */
static bool number_by_memory(const struct mxq_task *task)
{
    struct mxq_task copy = *task;

    copy.places.row_stride = task->matrix->row_stride;
    return mxq_kernel_scalar.quantize_panel(&copy);
}

static bool scale_blocks_apart(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    recipe.block = MXQ_BLOCK_1X32;
    return quantize_with(task, &recipe);
}

static bool ignore_floor(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    recipe.amax_floor = 0;
    return quantize_with(task, &recipe);
}

static bool transform_blocks_apart(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    if (recipe.hadamard_nelems > MXQ_BLOCK_NELEMS)
        recipe.hadamard_nelems = MXQ_BLOCK_NELEMS;
    return quantize_with(task, &recipe);
}

static bool repeat_signs(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    for (unsigned i = 1; i < MXQ_HADAMARD_NWORDS; i++)
        recipe.hadamard_signs[i] = recipe.hadamard_signs[0];
    return quantize_with(task, &recipe);
}

static bool bump_at_1_75(const struct mxq_task *task)
{
    struct mxq_recipe recipe = *task->recipe;

    if (recipe.scale == MXQ_SCALE_EVEN_ABOVE)
        recipe.scale = MXQ_SCALE_EVEN;
    return quantize_with(task, &recipe);
}

static bool takes_all(const struct mxq_recipe *recipe)
{
    (void)recipe;
    return true;
}

#define MUTANT(fault, func)                                                                                            \
    {                                                                                                                  \
        .name = "mutant", .summary = (fault), .runs_here = always, .takes = takes_all, .quantize_panel = (func),       \
    }

static const struct mxq_kernel mutants[] = {
    MUTANT("leaves the last scale byte unwritten", skip_last_scale),
    MUTANT("leaves something out where both sizes are ragged", skip_corner),
    MUTANT("writes whole units at the end of a row", write_beyond),
    MUTANT("takes its output for aligned", align_output),
    MUTANT("gives signs to what fills up a block", sign_what_is_filled_up),
    MUTANT("reads one element too many", read_beyond),
    MUTANT("takes its input for aligned", align_input),
    MUTANT("takes rows to be dense", ignore_stride),
    MUTANT("flushes subnormals to zero", flush_subnormals),
    MUTANT("looks at the upper half of FP32 alone", drop_lower_half),
    MUTANT("gives signs to values that vanish when scaled", sign_what_vanishes),
    MUTANT("does not report infinities and NaNs", miss_nonfinite),
    MUTANT("looks for infinities and NaNs in the first tile only", look_at_first_tile),
    MUTANT("rounds ties away instead of to even", round_ties_away),
    MUTANT("loses the sign of zero", drop_negative_zero),
    MUTANT("has one scale byte for all zero blocks", ignore_zero_byte),
    MUTANT("has one scale byte for all huge blocks", ignore_huge_byte),
    MUTANT("has one scale byte for all infinite blocks", ignore_infinity_byte),
    MUTANT("has one code for all NaNs", ignore_nan_code),
    MUTANT("transforms without random signs", ignore_random_signs),
    MUTANT("transforms with the signs of each first block", repeat_signs),
    MUTANT("transforms no more than a block", transform_blocks_apart),
    MUTANT("has one seed for all random bits", ignore_seed),
    MUTANT("takes distances in memory for those in the matrix", number_by_memory),
    MUTANT("gives each block of a tile a scale of its own", scale_blocks_apart),
    MUTANT("has no floor under amax", ignore_floor),
    MUTANT("takes exactly 1.75 for more", bump_at_1_75),
};

const struct mxq_kernel *mxq_get_mutant(size_t index)
{
    return index < sizeof(mutants) / sizeof(mutants[0]) ? &mutants[index] : NULL;
}
