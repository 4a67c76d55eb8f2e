/* diff_guess_reading.c - the ways in which a stored buffer may be meant, and where each has its units */
#include "cli/diff_guess.h"
#include "kernels/layout.h"

#include <string.h>

#define CUBLAS_ROWS 128
#define CUBLAS_COLS 4

/* What takes more to explain is not believed. */
#define MAX_CHANGES 2

unsigned mxq_guess_nvalid(const struct mxq_guess_shape *shape, uint64_t block)
{
    const uint64_t left = shape->nelems - block * MXQ_BLOCK_NELEMS;

    return left < MXQ_BLOCK_NELEMS ? (unsigned)left : MXQ_BLOCK_NELEMS;
}

static enum mxq_buffer buffer_of(enum mxq_direction direction, enum mxq_guess_part part)
{
    if (direction == MXQ_ROWWISE)
        return part == MXQ_GUESS_DATA ? MXQ_ROWWISE_DATA : MXQ_ROWWISE_SCALE;
    return part == MXQ_GUESS_DATA ? MXQ_COLUMNWISE_DATA : MXQ_COLUMNWISE_SCALE;
}

static uint64_t round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/* Bytes of a row without padding. */
static uint64_t row_nbytes(enum mxq_buffer buffer, const struct mxq_guess_shape *shape)
{
    return mxq_is_scale(buffer) ? shape->nblocks : shape->nelems / 2 + shape->nelems % 2;
}

/* ---------------------------------------------------------------------------------------------- places */

uint64_t mxq_guess_locate(const struct mxq_guess_reading *reading, uint64_t row, uint64_t block)
{
    const bool scale = mxq_is_scale(reading->buffer);
    const uint64_t pitch = reading->pitch;

    switch (reading->order) {
    case MXQ_GUESS_AITER:
        return scale ? mxq_scale_offset(MXQ_AITER, MXQ_AITER_SCALE_GROUP * pitch, row, block)
                     : mxq_data_offset(MXQ_AITER, MXQ_AITER_DATA_GROUP * pitch, row, block);
    case MXQ_GUESS_CUBLAS:
        return (row / CUBLAS_ROWS * (pitch / CUBLAS_COLS) + block / CUBLAS_COLS) * CUBLAS_ROWS * CUBLAS_COLS +
               row % 32 * 16 + row % CUBLAS_ROWS / 32 * 4 + block % CUBLAS_COLS;
    case MXQ_GUESS_TURNED:
        return block * (scale ? 1 : MXQ_UNIT_NBYTES) * pitch + row;
    default: /* MXQ_GUESS_LINEAR */
        return row * pitch + block * (scale ? 1 : MXQ_UNIT_NBYTES);
    }
}

uint64_t mxq_guess_step(const struct mxq_guess_reading *reading)
{
    return reading->order == MXQ_GUESS_TURNED ? reading->pitch : 1;
}

unsigned mxq_guess_unit_nbytes(const struct mxq_guess_reading *reading, const struct mxq_guess_shape *shape,
                               uint64_t block)
{
    const bool tiled = reading->order == MXQ_GUESS_AITER;

    if (mxq_is_scale(reading->buffer))
        return 1;
    return mxq_unit_nbytes(tiled ? MXQ_AITER : MXQ_LINEAR, shape->nelems, block);
}

void mxq_guess_find_share(const struct mxq_guess_reading *reading, const struct mxq_guess_shape *shape,
                          const struct mxq_panel *blocks, struct mxq_share *share)
{
    const bool scale = mxq_is_scale(reading->buffer);
    uint64_t group = 1;

    share->offset = mxq_guess_locate(reading, blocks->row0, blocks->col0);
    if (reading->order == MXQ_GUESS_AITER)
        group = scale ? MXQ_AITER_SCALE_GROUP : MXQ_AITER_DATA_GROUP;
    else if (reading->order == MXQ_GUESS_CUBLAS)
        group = CUBLAS_ROWS;
    share->nruns = (blocks->rows + group - 1) / group;
    share->pitch_nbytes = group * reading->pitch;
    if (group == 1) {
        const uint64_t left = row_nbytes(reading->buffer, shape) - blocks->col0 * (scale ? 1 : MXQ_UNIT_NBYTES);
        share->run_nbytes = blocks->cols * (scale ? 1 : MXQ_UNIT_NBYTES);
        share->run_nbytes = share->run_nbytes < left ? share->run_nbytes : left;
    } else if (!scale) {
        share->run_nbytes = group * blocks->cols * MXQ_UNIT_NBYTES;
    } else {
        share->run_nbytes = group * round_up(blocks->cols, group == CUBLAS_ROWS ? CUBLAS_COLS : MXQ_AITER_SCALE_COLS);
    }
}

uint8_t mxq_guess_code(enum mxq_guess_twist twist, const uint8_t *unit, unsigned nbytes, unsigned i, bool *known)
{
    const bool ggml = twist == MXQ_GUESS_GGML || twist == MXQ_GUESS_GGML_SWAPPED;
    const bool swapped = twist == MXQ_GUESS_SWAPPED || twist == MXQ_GUESS_GGML_SWAPPED;
    const unsigned byte = ggml ? i % MXQ_UNIT_NBYTES : i / 2;
    const bool high = (ggml ? i >= MXQ_UNIT_NBYTES : i % 2 == 1) != swapped;

    *known = byte < nbytes;
    if (!*known)
        return 0;
    return high ? unit[byte] >> 4 : unit[byte] & 15;
}

/* ---------------------------------------------------------------------------------------------- what is possible */

/* Whether the stored shape has room for the logical matrix in this order; sets what the order needs. */
static bool fit_order(struct mxq_guess_reading *reading, const struct mxq_extent *extent,
                      const struct mxq_guess_shape *shape)
{
    const bool scale = mxq_is_scale(reading->buffer);
    const uint64_t tight = row_nbytes(reading->buffer, shape);
    const uint64_t group = scale ? MXQ_AITER_SCALE_GROUP : MXQ_AITER_DATA_GROUP;

    if (reading->tight && (reading->order == MXQ_GUESS_AITER || reading->order == MXQ_GUESS_TURNED))
        return false;
    reading->pitch = extent->cols;
    switch (reading->order) {
    case MXQ_GUESS_AITER:
        return extent->rows >= round_up(shape->rows, group) && extent->cols % (scale ? 8 : MXQ_UNIT_NBYTES) == 0 &&
               extent->cols >= shape->nblocks * (scale ? 1 : MXQ_UNIT_NBYTES);
    case MXQ_GUESS_CUBLAS:
        if (reading->tight)
            reading->pitch = round_up(tight, CUBLAS_COLS);
        return scale && reading->pitch % CUBLAS_COLS == 0 && tight <= reading->pitch &&
               reading->tight == (reading->pitch != extent->cols) && reading->pitch <= extent->cols &&
               round_up(shape->rows, CUBLAS_ROWS) <= extent->nbytes / reading->pitch;
    case MXQ_GUESS_TURNED:
        reading->pitch = extent->rows;
        return shape->rows > 1 && extent->cols > 1 && shape->rows <= extent->rows && tight <= extent->cols;
    default: /* MXQ_GUESS_LINEAR */
        if (reading->tight)
            reading->pitch = tight;
        return shape->rows <= extent->rows && tight <= extent->cols &&
               reading->tight == (reading->pitch != extent->cols);
    }
}

static bool is_given(const struct mxq_guess_reading *reading, const struct mxq_stored *stored)
{
    const bool shuffled = stored->plan.options.layout[reading->buffer] == MXQ_AITER;

    return !reading->tight && reading->order == (shuffled ? MXQ_GUESS_AITER : MXQ_GUESS_LINEAR);
}

static unsigned count_changes(const struct mxq_guess_reading *reading)
{
    const unsigned twists[MXQ_GUESS_NUM_TWISTS] = {0, 1, 1, 2};

    return twists[reading->twist] + reading->moved + reading->crossed + (reading->moved && reading->tight) +
           (reading->order == MXQ_GUESS_TURNED);
}

/* Adds a reading with all twists that its part has. */
static size_t add_twists(struct mxq_guess_reading *reading, struct mxq_guess_reading readings[MXQ_GUESS_READINGS],
                         size_t n)
{
    const unsigned ntwists = mxq_is_scale(reading->buffer) ? 1 : MXQ_GUESS_NUM_TWISTS;

    for (unsigned twist = 0; twist < ntwists && n < MXQ_GUESS_READINGS; twist++) {
        reading->twist = twist;
        reading->nchanges = count_changes(reading);
        if (reading->nchanges <= MAX_CHANGES)
            readings[n++] = *reading;
    }
    return n;
}

/* The readings of one buffer. A linear row without padding is tight, and its own only when the buffer is padded. */
static size_t list_orders(const struct mxq_stored *stored, enum mxq_buffer buffer, bool crossed,
                          const struct mxq_guess_shape *shape, struct mxq_guess_reading readings[MXQ_GUESS_READINGS],
                          size_t n)
{
    for (unsigned order = MXQ_GUESS_LINEAR; order <= MXQ_GUESS_TURNED; order++) {
        for (unsigned tight = 0; tight < 2; tight++) {
            struct mxq_guess_reading reading = {
                .buffer = buffer, .order = order, .tight = tight == 1, .crossed = crossed};
            reading.moved = !is_given(&reading, stored);
            if (fit_order(&reading, &stored->plan.extent[buffer], shape))
                n = add_twists(&reading, readings, n);
        }
    }
    return n;
}

size_t mxq_guess_list_readings(const struct mxq_stored *stored, enum mxq_direction direction, enum mxq_guess_part part,
                               const struct mxq_guess_shape *shape,
                               struct mxq_guess_reading readings[MXQ_GUESS_READINGS])
{
    const enum mxq_direction other = direction == MXQ_ROWWISE ? MXQ_COLUMNWISE : MXQ_ROWWISE;
    struct mxq_guess_reading first;
    size_t n = 0;

    if (stored->present[buffer_of(direction, part)])
        n = list_orders(stored, buffer_of(direction, part), false, shape, readings, n);
    if (stored->present[buffer_of(other, part)])
        n = list_orders(stored, buffer_of(other, part), true, shape, readings, n);
    for (size_t i = 0; i < n; i++) {
        if (readings[i].nchanges != 0)
            continue;
        first = readings[i];
        memmove(readings + 1, readings, i * sizeof(*readings));
        readings[0] = first;
        return n;
    }
    return 0;
}
