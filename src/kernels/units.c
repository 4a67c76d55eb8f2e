/* units.c - reading results: units out of a layout and into one */
#include "kernels/mxq_internal.h"

#include <string.h>

static enum mxq_status check_origin(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                                    const struct mxq_origin *in)
{
    struct mxq_share share;
    const enum mxq_status status = mxq_locate_share(plan, panel, buffer, &share);

    if (status != MXQ_OK || share.nruns == 0)
        return status;
    return in->bytes == NULL || in->pitch_nbytes < share.run_nbytes ? MXQ_ERR_ARGUMENT : MXQ_OK;
}

enum mxq_status mxq_prepare_reading(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                    const struct mxq_origin in[MXQ_NUM_BUFFERS], enum mxq_direction direction,
                                    struct mxq_reading *reading)
{
    const enum mxq_buffer data = direction == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
    const enum mxq_buffer scale = direction == MXQ_ROWWISE ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
    enum mxq_status status;

    if (plan == NULL || panel == NULL || in == NULL || (unsigned)direction >= MXQ_NUM_DIRECTIONS ||
        !plan->options.wanted[direction])
        return MXQ_ERR_ARGUMENT;
    status = check_origin(plan, panel, data, &in[data]);
    if (status == MXQ_OK)
        status = check_origin(plan, panel, scale, &in[scale]);
    reading->direction = direction;
    reading->logical = mxq_orient_panel(panel, direction);
    reading->data = in[data];
    reading->scale = in[scale];
    reading->data_layout = plan->options.layout[data];
    reading->scale_layout = plan->options.layout[scale];
    return status;
}

unsigned mxq_read_codes(const struct mxq_reading *reading, uint64_t row, uint64_t block,
                        uint8_t codes[MXQ_BLOCK_NELEMS])
{
    const uint8_t *unit =
        reading->data.bytes + mxq_data_offset(reading->data_layout, reading->data.pitch_nbytes, row, block);
    const unsigned nbytes = mxq_unit_nbytes(reading->data_layout, reading->logical.cols, block);

    memset(codes, 0, MXQ_BLOCK_NELEMS);
    for (unsigned j = 0; j < nbytes; j++) {
        codes[2 * j] = unit[j] & 15;
        codes[2 * j + 1] = unit[j] >> 4;
    }
    return 2 * nbytes;
}

uint8_t mxq_read_scale(const struct mxq_reading *reading, uint64_t row, uint64_t block)
{
    return reading->scale.bytes[mxq_scale_offset(reading->scale_layout, reading->scale.pitch_nbytes, row, block)];
}

unsigned mxq_count_valid(const struct mxq_reading *reading, uint64_t block)
{
    const uint64_t left = reading->logical.cols - block * MXQ_BLOCK_NELEMS;

    return left < MXQ_BLOCK_NELEMS ? (unsigned)left : MXQ_BLOCK_NELEMS;
}

/* ---- units without a layout */

uint64_t mxq_count_units(const struct mxq_panel *panel, enum mxq_buffer buffer)
{
    return mxq_count_blocks(mxq_orient_panel(panel, mxq_direction_of(buffer)).cols);
}

/* Where a unit is in a share, and how many of its bytes are there. */
static uint64_t find_unit(const struct mxq_plan *plan, enum mxq_buffer buffer, uint64_t pitch_nbytes, uint64_t nelems,
                          uint64_t row, uint64_t block, unsigned *nbytes)
{
    const enum mxq_layout layout = plan->options.layout[buffer];

    if (mxq_is_scale(buffer)) {
        *nbytes = 1;
        return mxq_scale_offset(layout, pitch_nbytes, row, block);
    }
    *nbytes = mxq_unit_nbytes(layout, nelems, block);
    return mxq_data_offset(layout, pitch_nbytes, row, block);
}

static enum mxq_status check_units(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                                   const struct mxq_origin *share)
{
    if (plan == NULL || panel == NULL || (unsigned)buffer >= MXQ_NUM_BUFFERS ||
        !plan->options.wanted[mxq_direction_of(buffer)])
        return MXQ_ERR_ARGUMENT;
    return check_origin(plan, panel, buffer, share);
}

enum mxq_status mxq_load_units(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                               const struct mxq_origin *in, uint8_t *units)
{
    const enum mxq_status status = check_units(plan, panel, buffer, in);
    const unsigned unit_nbytes = mxq_is_scale(buffer) ? 1 : MXQ_UNIT_NBYTES;
    struct mxq_panel logical;

    if (status != MXQ_OK)
        return status;
    logical = mxq_orient_panel(panel, mxq_direction_of(buffer));
    for (uint64_t row = 0; row < logical.rows; row++) {
        for (uint64_t block = 0; block < mxq_count_blocks(logical.cols); block++, units += unit_nbytes) {
            unsigned nbytes;
            const uint64_t at = find_unit(plan, buffer, in->pitch_nbytes, logical.cols, row, block, &nbytes);
            memset(units, 0, unit_nbytes);
            memcpy(units, in->bytes + at, nbytes);
        }
    }
    return MXQ_OK;
}

enum mxq_status mxq_store_units(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                                const uint8_t *units, const struct mxq_destination *out, uint64_t *nlost)
{
    const struct mxq_origin share = {out->bytes, out->pitch_nbytes};
    const enum mxq_status status = check_units(plan, panel, buffer, &share);
    const unsigned unit_nbytes = mxq_is_scale(buffer) ? 1 : MXQ_UNIT_NBYTES;
    struct mxq_panel logical;

    if (status != MXQ_OK)
        return status;
    mxq_write_padding(plan, panel, buffer, out);
    logical = mxq_orient_panel(panel, mxq_direction_of(buffer));
    for (uint64_t row = 0; row < logical.rows; row++) {
        for (uint64_t block = 0; block < mxq_count_blocks(logical.cols); block++, units += unit_nbytes) {
            unsigned nbytes;
            const uint64_t at = find_unit(plan, buffer, out->pitch_nbytes, logical.cols, row, block, &nbytes);
            memcpy(out->bytes + at, units, nbytes);
            for (unsigned i = nbytes; i < unit_nbytes; i++)
                *nlost += units[i] != 0;
        }
    }
    return MXQ_OK;
}
