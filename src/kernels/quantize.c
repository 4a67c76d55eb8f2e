/* quantize.c - quantizing a panel or a whole matrix: padding, then a kernel */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

#include <string.h>

/* Padding rows of codes share their group of 16 with the last valid rows; scales may have padding in every group. */
bool mxq_find_padding(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                      struct mxq_padding *padding)
{
    const struct mxq_panel logical = mxq_orient_panel(panel, mxq_direction_of(buffer));
    struct mxq_share share;

    if (plan->options.layout[buffer] != MXQ_AITER || mxq_locate_share(plan, panel, buffer, &share) != MXQ_OK ||
        share.nruns == 0)
        return false;
    if (mxq_is_scale(buffer)) {
        *padding = (struct mxq_padding){0, plan->options.pad_fill};
        return logical.rows % MXQ_AITER_SCALE_ROWS != 0 || mxq_count_blocks(logical.cols) % MXQ_AITER_SCALE_COLS != 0;
    }
    *padding = (struct mxq_padding){share.nruns - 1, 0};
    return logical.rows % MXQ_AITER_DATA_GROUP != 0;
}

/* The kernel then writes over what is valid. */
void mxq_write_padding(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                       const struct mxq_destination *out)
{
    struct mxq_share share;
    struct mxq_padding padding;

    if (!mxq_find_padding(plan, panel, buffer, &padding) || mxq_locate_share(plan, panel, buffer, &share) != MXQ_OK)
        return;
    for (uint64_t run = padding.first_run; run < share.nruns; run++)
        memset(out->bytes + run * out->pitch_nbytes, padding.fill, share.run_nbytes);
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
        task.status = &status;
        if (kernel->takes(task.recipe))
            found = kernel->quantize_panel(&task);
        else if (mxq_can_transform_first(kernel, task.recipe))
            found = mxq_transform_first(&task, kernel);
        else
            found = mxq_kernel_scalar.quantize_panel(&task);
    }
    if (nonfinite != NULL)
        *nonfinite = found;
    return status;
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
            if ((mxq_load_value(matrix, r, c) & ~MXQ_F32_SIGN) < MXQ_F32_INFINITY)
                continue;
            if (count++ == 0) {
                *row = r;
                *col = c;
            }
        }
    }
    return count;
}
