/* measure.c - how far the decoded result is from the input */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

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
}

static void measure_block(const struct mxq_task *task, enum mxq_direction direction, uint64_t row, uint64_t block,
                          struct mxq_distortion *sums)
{
    const struct mxq_matrix *matrix = task->matrix;
    const struct mxq_target *target = &task->target[direction];
    const uint64_t left = (direction == MXQ_ROWWISE ? matrix->cols : matrix->rows) - block * MXQ_BLOCK_NELEMS;
    const unsigned nvalid = left < MXQ_BLOCK_NELEMS ? (unsigned)left : MXQ_BLOCK_NELEMS;
    const uint8_t *unit = target->data + mxq_data_offset(target->data_layout, target->data_pitch, row, block);
    const double scale = (double)mxq_decode_scale(
        target->scale[mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block)]);
    uint32_t x[MXQ_BLOCK_NELEMS];

    mxq_load_block(matrix, task->recipe, direction, row, block, x);
    for (unsigned i = 0; i < nvalid; i++) {
        const double value = (double)mxq_f32_value(x[i]);
        const uint8_t code = i % 2 == 0 ? unit[i / 2] & 15 : unit[i / 2] >> 4;
        mxq_add_value(sums, value, scale * (double)mxq_decode_code(code), value > 6.0 * scale || value < -6.0 * scale);
    }
}

enum mxq_status mxq_measure_panel(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                  const struct mxq_matrix *matrix, const struct mxq_destination out[MXQ_NUM_BUFFERS],
                                  enum mxq_direction direction, struct mxq_distortion *sums)
{
    struct mxq_task task;
    const enum mxq_status status = mxq_prepare_task(plan, panel, matrix, out, &task);

    if (status != MXQ_OK)
        return status;
    if ((unsigned)direction >= MXQ_NUM_DIRECTIONS || !task.target[direction].wanted)
        return MXQ_ERR_ARGUMENT;
    for (uint64_t row = 0; row < (direction == MXQ_ROWWISE ? panel->rows : panel->cols); row++)
        for (uint64_t block = 0; block < mxq_count_blocks(direction == MXQ_ROWWISE ? panel->cols : panel->rows);
             block++)
            measure_block(&task, direction, row, block, sums);
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
