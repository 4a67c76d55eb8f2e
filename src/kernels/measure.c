/* measure.c - how far the decoded result is from the input */
#include "kernels/measure_run.h"

#include <string.h>

void mxq_add_value(struct mxq_distortion *sums, double x, double y, bool saturated)
{
    const double difference = x > y ? x - y : y - x;

    sums->nelems++;
    sums->nsaturated += saturated;
    sums->signal += x * x;
    sums->noise += difference * difference;
    sums->decoded += y * y;
    sums->product += x * y;
    if (!(difference <= sums->largest))
        sums->largest = difference;
}

void mxq_add_distortion(struct mxq_distortion *sum, const struct mxq_distortion *part)
{
    sum->nelems += part->nelems;
    sum->nsaturated += part->nsaturated;
    sum->signal += part->signal;
    sum->noise += part->noise;
    sum->decoded += part->decoded;
    sum->product += part->product;
    if (!(part->largest <= sum->largest))
        sum->largest = part->largest;
    if (!(part->amax <= sum->amax))
        sum->amax = part->amax;
    if (part->least_amax != 0 && !(sum->least_amax != 0 && sum->least_amax <= part->least_amax))
        sum->least_amax = part->least_amax;
}

uint64_t mxq_sum_run_scalar(const struct mxq_measured_run *run, struct mxq_lanes *lanes)
{
    return mxq_sum_run_in_c(run, lanes);
}

/* ---- a panel, as runs of blocks */

/* What mxq_measure_panel() works on. */
struct measuring {
    const struct mxq_task *task;
    const struct mxq_target *target;
    enum mxq_direction direction;
    uint64_t rows; /* the panel's as the direction sees it */
    uint64_t cols;
    uint64_t (*sum_run)(const struct mxq_measured_run *run, struct mxq_lanes *lanes);
    struct mxq_lanes lanes;
    struct mxq_distortion *sums;
};

/* Copies of what does not lie in a run as it is. */
struct gathered {
    uint32_t elements[MXQ_RUN_BLOCKS][MXQ_BLOCK_NELEMS];
    uint8_t units[MXQ_RUN_BLOCKS * MXQ_UNIT_NBYTES];
    uint8_t scales[MXQ_RUN_BLOCKS];
};

static const uint8_t *find_unit(const struct measuring *m, uint64_t row, uint64_t block)
{
    return m->target->data + mxq_data_offset(m->target->data_layout, m->target->data_pitch, row, block);
}

static const uint8_t *find_scale(const struct measuring *m, uint64_t row, uint64_t block)
{
    return m->target->scale + mxq_scale_offset(m->target->scale_layout, m->target->scale_pitch, row, block);
}

/* One block in FP64 throughout, whatever is in it. */
static void measure_block(const struct measuring *m, uint64_t row, uint64_t block)
{
    const uint64_t first = block * MXQ_BLOCK_NELEMS;
    const unsigned nvalid = m->cols - first < MXQ_BLOCK_NELEMS ? (unsigned)(m->cols - first) : MXQ_BLOCK_NELEMS;
    const uint8_t *unit = find_unit(m, row, block);
    const double scale = (double)mxq_decode_scale(*find_scale(m, row, block));
    uint32_t x[MXQ_BLOCK_NELEMS];

    mxq_load_block(m->task->matrix, m->task->recipe, m->direction, row, block, x);
    for (unsigned i = 0; i < nvalid; i++) {
        const double value = (double)mxq_f32_value(x[i]);
        const uint8_t code = i % 2 == 0 ? unit[i / 2] & 15 : unit[i / 2] >> 4;
        mxq_add_value(m->sums, value, scale * (double)mxq_decode_code(code),
                      value > 6.0 * scale || value < -6.0 * scale);
    }
}

/* Blocks that are left out of the lanes: those that do not fill a register, and those that a run could not take. */
static void measure_ragged_block(struct measuring *m, uint64_t row, uint64_t block)
{
    uint32_t x[MXQ_BLOCK_NELEMS];

    mxq_load_block(m->task->matrix, m->task->recipe, m->direction, row, block, x);
    mxq_note_amax(mxq_largest_magnitude(x), *find_scale(m, row, block), &m->lanes);
    measure_block(m, row, block);
}

static void finish_run(struct measuring *m, uint64_t nblocks, uint64_t nleft)
{
    m->sums->nelems += (nblocks - nleft) * MXQ_BLOCK_NELEMS;
}

/* Blocks first to first + nblocks of a row: where they are if they lie in a run there, and are what is summed. */
static void measure_along_row(struct measuring *m, uint64_t row, uint64_t first, unsigned nblocks)
{
    const struct mxq_matrix *matrix = m->task->matrix;
    const uint64_t start = row * matrix->row_stride + first * MXQ_BLOCK_NELEMS;
    struct gathered g;
    struct mxq_measured_run run = {(const uint8_t *)matrix->data + start * mxq_dtype_nbytes(matrix->dtype),
                                   matrix->dtype, nblocks, find_unit(m, row, first), find_scale(m, row, first)};
    uint64_t left;
    uint64_t nleft = 0;

    for (unsigned i = 0; i < nblocks && m->target->data_layout != MXQ_LINEAR; i++)
        memcpy(g.units + (size_t)i * MXQ_UNIT_NBYTES, find_unit(m, row, first + i), MXQ_UNIT_NBYTES);
    for (unsigned i = 0; i < nblocks && m->target->scale_layout != MXQ_LINEAR; i++)
        g.scales[i] = *find_scale(m, row, first + i);
    if (m->target->data_layout != MXQ_LINEAR)
        run.units = g.units;
    if (m->target->scale_layout != MXQ_LINEAR)
        run.scales = g.scales;
    for (unsigned i = 0; i < nblocks && m->task->recipe->hadamard_nelems != 0; i++) {
        mxq_load_block(matrix, m->task->recipe, MXQ_ROWWISE, row, first + i, g.elements[i]);
        run.elements = g.elements;
        run.dtype = MXQ_F32;
    }
    left = m->sum_run(&run, &m->lanes);
    for (unsigned i = 0; i < nblocks; i++) {
        if (left >> i & 1) {
            measure_block(m, row, first + i);
            nleft++;
        }
    }
    finish_run(m, nblocks, nleft);
}

/* One block of each of nrows columns of the matrix. */
static void measure_across_rows(struct measuring *m, uint64_t row, unsigned nrows, uint64_t block)
{
    struct gathered g;
    const struct mxq_measured_run run = {g.elements, MXQ_F32, nrows, g.units, g.scales};
    uint64_t left;
    uint64_t nleft = 0;

    if (m->task->recipe->hadamard_nelems == 0)
        mxq_load_columns(m->task->matrix, block * MXQ_BLOCK_NELEMS, row, nrows, g.elements);
    for (unsigned i = 0; i < nrows; i++) {
        if (m->task->recipe->hadamard_nelems != 0)
            mxq_load_block(m->task->matrix, m->task->recipe, MXQ_COLUMNWISE, row + i, block, g.elements[i]);
        memcpy(g.units + (size_t)i * MXQ_UNIT_NBYTES, find_unit(m, row + i, block), MXQ_UNIT_NBYTES);
        g.scales[i] = *find_scale(m, row + i, block);
    }
    left = m->sum_run(&run, &m->lanes);
    for (unsigned i = 0; i < nrows; i++) {
        if (left >> i & 1) {
            measure_block(m, row + i, block);
            nleft++;
        }
    }
    finish_run(m, nrows, nleft);
}

static unsigned part_of_run(uint64_t done, uint64_t total)
{
    return total - done < MXQ_RUN_BLOCKS ? (unsigned)(total - done) : MXQ_RUN_BLOCKS;
}

static void measure_rows(struct measuring *m)
{
    const uint64_t nblocks = m->cols / MXQ_BLOCK_NELEMS;

    for (uint64_t row = 0; row < m->rows; row++) {
        for (uint64_t block = 0; block < nblocks; block += MXQ_RUN_BLOCKS)
            measure_along_row(m, row, block, part_of_run(block, nblocks));
        if (m->cols % MXQ_BLOCK_NELEMS != 0)
            measure_ragged_block(m, row, nblocks);
    }
}

static void measure_columns(struct measuring *m)
{
    const uint64_t nblocks = m->cols / MXQ_BLOCK_NELEMS;

    for (uint64_t block = 0; block < nblocks; block++)
        for (uint64_t row = 0; row < m->rows; row += MXQ_RUN_BLOCKS)
            measure_across_rows(m, row, part_of_run(row, m->rows), block);
    for (uint64_t row = 0; row < m->rows && m->cols % MXQ_BLOCK_NELEMS != 0; row++)
        measure_ragged_block(m, row, nblocks);
}

/* The lanes as one sum each, added in pairs. */
static double add_lanes(const double lanes[MXQ_LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

static void add_up_lanes(const struct mxq_lanes *lanes, struct mxq_distortion *sums)
{
    struct mxq_distortion part;

    memset(&part, 0, sizeof(part));
    part.signal = add_lanes(lanes->signal);
    part.noise = add_lanes(lanes->noise);
    part.decoded = add_lanes(lanes->decoded);
    part.product = add_lanes(lanes->product);
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        part.nsaturated += lanes->nsaturated[i];
        if (!((double)lanes->largest[i] <= part.largest))
            part.largest = (double)lanes->largest[i];
    }
    part.amax = (double)mxq_f32_value(lanes->amax);
    if (lanes->least_amax != UINT32_MAX)
        part.least_amax = (double)mxq_f32_value(lanes->least_amax + 1);
    mxq_add_distortion(sums, &part);
}

/* The fastest variant's, since all make the same sums. */
static void choose_sum_run(struct measuring *m)
{
    const struct mxq_kernel *kernel;

    m->sum_run = mxq_sum_run_scalar;
    if (mxq_select_kernel(NULL, &kernel) == MXQ_OK && kernel->sum_run != NULL)
        m->sum_run = kernel->sum_run;
}

enum mxq_status mxq_measure_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                  const struct mxq_matrix *matrix, const struct mxq_destination out[MXQ_NUM_BUFFERS],
                                  enum mxq_direction direction, struct mxq_distortion *sums)
{
    struct mxq_task task;
    struct measuring m;
    struct mxq_distortion part;
    const enum mxq_status status = mxq_prepare_task(plan, panel, matrix, out, &task);

    if (status != MXQ_OK)
        return status;
    if ((unsigned)direction >= MXQ_NUM_DIRECTIONS || !task.target[direction].wanted)
        return MXQ_ERR_ARGUMENT;
    memset(&m, 0, sizeof(m));
    memset(&part, 0, sizeof(part));
    m.task = &task;
    m.target = &task.target[direction];
    m.direction = direction;
    m.rows = direction == MXQ_ROWWISE ? panel->rows : panel->cols;
    m.cols = direction == MXQ_ROWWISE ? panel->cols : panel->rows;
    m.lanes.least_amax = UINT32_MAX;
    m.sums = &part;
    choose_sum_run(&m);
    if (direction == MXQ_ROWWISE)
        measure_rows(&m);
    else
        measure_columns(&m);
    add_up_lanes(&m.lanes, &part);
    mxq_add_distortion(sums, &part);
    return MXQ_OK;
}

enum mxq_status mxq_count_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                const struct mxq_origin in[MXQ_NUM_BUFFERS], enum mxq_direction direction,
                                struct mxq_histogram *histogram)
{
    struct mxq_reading reading;
    const enum mxq_status status = mxq_prepare_reading(plan, panel, in, direction, &reading);
    uint8_t codes[MXQ_BLOCK_NELEMS];

    if (status != MXQ_OK)
        return status;
    for (uint64_t row = 0; row < reading.logical.rows; row++) {
        for (uint64_t block = 0; block < mxq_count_blocks(reading.logical.cols); block++) {
            mxq_read_codes(&reading, row, block, codes);
            for (unsigned i = 0; i < mxq_count_valid(&reading, block); i++)
                histogram->codes[codes[i]]++;
            histogram->scales[mxq_read_scale(&reading, row, block)]++;
        }
    }
    return MXQ_OK;
}

void mxq_add_histogram(struct mxq_histogram *sum, const struct mxq_histogram *part)
{
    for (unsigned i = 0; i < 16; i++)
        sum->codes[i] += part->codes[i];
    for (unsigned i = 0; i < 256; i++)
        sum->scales[i] += part->scales[i];
}
