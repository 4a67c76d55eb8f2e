/* quantize.c - quantizing a panel or a whole matrix: padding, then a kernel */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

#include <string.h>

/* Padding rows share their group of 16 with the last valid rows; the kernel then writes over what is valid. */
static void pad_data(const struct mxq_share *share, uint64_t rows, const struct mxq_destination *destination)
{
    if (rows % MXQ_AITER_DATA_GROUP != 0)
        memset(destination->bytes + (share->nruns - 1) * destination->pitch_nbytes, 0, share->run_nbytes);
}

static void pad_scale(const struct mxq_share *share, const struct mxq_panel *logical, uint8_t pad_fill,
                      const struct mxq_destination *destination)
{
    if (logical->rows % MXQ_AITER_SCALE_ROWS == 0 && mxq_count_blocks(logical->cols) % MXQ_AITER_SCALE_COLS == 0)
        return;
    for (uint64_t run = 0; run < share->nruns; run++)
        memset(destination->bytes + run * destination->pitch_nbytes, pad_fill, share->run_nbytes);
}

void mxq_write_padding(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                       const struct mxq_destination *out)
{
    const struct mxq_panel logical = mxq_orient_panel(panel, mxq_direction_of(buffer));
    struct mxq_share share;

    if (plan->options.layout[buffer] != MXQ_AITER || mxq_locate_share(plan, panel, buffer, &share) != MXQ_OK ||
        share.nruns == 0)
        return;
    if (mxq_is_scale(buffer))
        pad_scale(&share, &logical, plan->options.pad_fill, out);
    else
        pad_data(&share, logical.rows, out);
}

enum mxq_status mxq_quantize_panel(const struct mxq_plan *plan, const struct mxq_kernel *kernel,
                                   const struct mxq_panel *panel, const struct mxq_matrix *matrix,
                                   const struct mxq_destination out[MXQ_NUM_BUFFERS], bool *nonfinite)
{
    struct mxq_task task;
    enum mxq_status status = mxq_prepare_task(plan, panel, matrix, out, &task);
    bool found = false;

    if (status == MXQ_OK && kernel == NULL)
        status = mxq_select_kernel(NULL, &kernel);
    if (status != MXQ_OK)
        return status;
    if (panel->rows != 0 && panel->cols != 0) {
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            mxq_write_padding(plan, panel, b, &out[b]);
        found = kernel->quantize_panel(&task);
    }
    if (nonfinite != NULL)
        *nonfinite = found;
    return MXQ_OK;
}

enum mxq_status mxq_quantize(const struct mxq_plan *plan, const struct mxq_kernel *kernel,
                             const struct mxq_matrix *matrix, uint8_t *const out[MXQ_NUM_BUFFERS], bool *nonfinite)
{
    struct mxq_destination destination[MXQ_NUM_BUFFERS];
    struct mxq_panel panel = {0, 0, 0, 0};

    if (plan == NULL || out == NULL)
        return MXQ_ERR_ARGUMENT;
    panel.rows = plan->rows;
    panel.cols = plan->cols;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        const enum mxq_status status = mxq_locate_share(plan, &panel, b, &share);
        if (status != MXQ_OK)
            return status;
        destination[b].bytes = out[b];
        destination[b].pitch_nbytes = share.pitch_nbytes;
    }
    return mxq_quantize_panel(plan, kernel, &panel, matrix, destination, nonfinite);
}

uint64_t mxq_count_nonfinite(const struct mxq_matrix *matrix, uint64_t *row, uint64_t *col)
{
    uint64_t count = 0;

    for (uint64_t r = 0; r < matrix->rows; r++) {
        for (uint64_t c = 0; c < matrix->cols; c++) {
            uint32_t x[MXQ_BLOCK_NELEMS];
            mxq_load_block(matrix, r, c, MXQ_ROWWISE, 1, x);
            if ((x[0] & ~MXQ_F32_SIGN) < MXQ_F32_INFINITY)
                continue;
            if (count++ == 0) {
                *row = r;
                *col = c;
            }
        }
    }
    return count;
}
