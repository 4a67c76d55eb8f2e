/* layout.c - the sizes of stored buffers, and the share of a panel in them */
#include "kernels/layout.h"

bool mxq_is_scale(enum mxq_buffer buffer)
{
    return buffer == MXQ_ROWWISE_SCALE || buffer == MXQ_COLUMNWISE_SCALE;
}

enum mxq_direction mxq_direction_of(enum mxq_buffer buffer)
{
    return buffer == MXQ_ROWWISE_DATA || buffer == MXQ_ROWWISE_SCALE ? MXQ_ROWWISE : MXQ_COLUMNWISE;
}

struct mxq_panel mxq_orient_panel(const struct mxq_panel *panel, enum mxq_direction direction)
{
    const struct mxq_panel swapped = {panel->col0, panel->row0, panel->cols, panel->rows};

    return direction == MXQ_ROWWISE ? *panel : swapped;
}

static bool round_up(uint64_t *value, uint64_t multiple)
{
    const uint64_t excess = *value % multiple;

    return excess == 0 || !__builtin_add_overflow(*value, multiple - excess, value);
}

/* Multiples of 256, as panels are: a panel that ends the matrix ends its padding too. */
static uint64_t round_up_256(uint64_t value)
{
    return (value + 255) / 256 * 256;
}

enum mxq_status mxq_find_extent(enum mxq_buffer buffer, enum mxq_layout layout, uint64_t rows, uint64_t cols,
                                struct mxq_extent *extent)
{
    const uint64_t blocks = mxq_count_blocks(cols);
    const bool scale = mxq_is_scale(buffer);
    bool fits = true;

    extent->valid_rows = extent->rows = rows;
    extent->valid_cols = extent->cols = scale ? blocks : cols / 2 + cols % 2;
    if (layout == MXQ_AITER && scale) {
        fits = round_up(&extent->rows, MXQ_AITER_SCALE_ROWS) && round_up(&extent->cols, MXQ_AITER_SCALE_COLS);
    } else if (layout == MXQ_AITER) {
        fits = round_up(&extent->rows, MXQ_AITER_DATA_GROUP);
        extent->cols = blocks * MXQ_UNIT_NBYTES;
    }
    if (!fits || __builtin_mul_overflow(extent->rows, extent->cols, &extent->nbytes) || extent->nbytes > INT64_MAX)
        return MXQ_ERR_OVERFLOW;
    return MXQ_OK;
}

static void find_data_share(enum mxq_layout layout, const struct mxq_extent *extent, const struct mxq_panel *logical,
                            struct mxq_share *share)
{
    const uint64_t group = layout == MXQ_AITER ? MXQ_AITER_DATA_GROUP : 1;

    share->pitch_nbytes = group * extent->cols;
    share->offset = mxq_data_offset(layout, share->pitch_nbytes, logical->row0, logical->col0 / MXQ_BLOCK_NELEMS);
    share->nruns = (logical->rows + group - 1) / group;
    share->run_nbytes = layout == MXQ_AITER ? mxq_count_blocks(logical->cols) * group * MXQ_UNIT_NBYTES
                                            : logical->cols / 2 + logical->cols % 2;
}

static void find_scale_share(enum mxq_layout layout, const struct mxq_extent *extent, const struct mxq_panel *logical,
                             struct mxq_share *share)
{
    const uint64_t group = layout == MXQ_AITER ? MXQ_AITER_SCALE_GROUP : 1;

    share->pitch_nbytes = group * extent->cols;
    share->offset = mxq_scale_offset(layout, share->pitch_nbytes, logical->row0, logical->col0 / MXQ_BLOCK_NELEMS);
    share->nruns = layout == MXQ_AITER ? round_up_256(logical->rows) / group : logical->rows;
    share->run_nbytes =
        layout == MXQ_AITER ? round_up_256(logical->cols) / MXQ_BLOCK_NELEMS * group : mxq_count_blocks(logical->cols);
}

void mxq_find_share(enum mxq_buffer buffer, enum mxq_layout layout, const struct mxq_extent *extent,
                    const struct mxq_panel *logical, struct mxq_share *share)
{
    if (mxq_is_scale(buffer))
        find_scale_share(layout, extent, logical, share);
    else
        find_data_share(layout, extent, logical, share);
    if (share->nruns == 0 || share->run_nbytes == 0)
        share->nruns = share->run_nbytes = 0;
}
