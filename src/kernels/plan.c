/* plan.c - what will be made of a matrix: options checked, sizes computed, panels located */
#include "kernels/mxq_internal.h"

#include <string.h>

void mxq_init_options(struct mxq_options *options, const struct mxq_profile *profile)
{
    if (profile == NULL)
        profile = mxq_get_profile(0);
    memset(options, 0, sizeof(*options));
    options->recipe = profile->recipe;
    options->pad_fill = profile->pad_fill;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        options->wanted[d] = true;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options->layout[b] = MXQ_AITER;
}

static bool options_are_valid(const struct mxq_options *options)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if ((unsigned)options->layout[b] >= MXQ_NUM_LAYOUTS)
            return false;
    return mxq_recipe_is_valid(&options->recipe) && (options->wanted[MXQ_ROWWISE] || options->wanted[MXQ_COLUMNWISE]);
}

enum mxq_status mxq_make_plan(struct mxq_plan *plan, const struct mxq_options *options, uint64_t rows, uint64_t cols)
{
    if (plan == NULL || options == NULL || !options_are_valid(options))
        return MXQ_ERR_ARGUMENT;
    memset(plan, 0, sizeof(*plan));
    plan->options = *options;
    plan->rows = rows;
    plan->cols = cols;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const enum mxq_direction direction = mxq_direction_of(b);
        enum mxq_status status;
        if (!options->wanted[direction])
            continue;
        if (!mxq_recipe_fits(&options->recipe, direction == MXQ_ROWWISE ? cols : rows))
            return MXQ_ERR_ARGUMENT;
        status = mxq_find_extent(b, options->layout[b], direction == MXQ_ROWWISE ? rows : cols,
                                 direction == MXQ_ROWWISE ? cols : rows, &plan->extent[b]);
        if (status != MXQ_OK)
            return status;
    }
    return MXQ_OK;
}

static bool span_is_valid(uint64_t first, uint64_t nelems, uint64_t total)
{
    if (first > total || nelems > total - first)
        return false;
    return first % MXQ_PANEL_ALIGN == 0 && (nelems % MXQ_PANEL_ALIGN == 0 || first + nelems == total);
}

enum mxq_status mxq_locate_share(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_buffer buffer,
                                 struct mxq_share *share)
{
    struct mxq_panel logical;

    if ((unsigned)buffer >= MXQ_NUM_BUFFERS)
        return MXQ_ERR_ARGUMENT;
    if (!span_is_valid(panel->row0, panel->rows, plan->rows) || !span_is_valid(panel->col0, panel->cols, plan->cols))
        return MXQ_ERR_PANEL;
    memset(share, 0, sizeof(*share));
    if (!plan->options.wanted[mxq_direction_of(buffer)] || panel->rows == 0 || panel->cols == 0)
        return MXQ_OK;
    logical = mxq_orient_panel(panel, mxq_direction_of(buffer));
    mxq_find_share(buffer, plan->options.layout[buffer], &plan->extent[buffer], &logical, share);
    return MXQ_OK;
}

struct mxq_places mxq_find_places(const struct mxq_plan *plan, const struct mxq_panel *panel)
{
    const struct mxq_places places = {panel->row0 * plan->cols + panel->col0, plan->cols};

    return places;
}

static bool matrix_is_panel(const struct mxq_matrix *matrix, const struct mxq_panel *panel)
{
    return (unsigned)matrix->dtype < MXQ_NUM_DTYPES && matrix->rows == panel->rows && matrix->cols == panel->cols &&
           matrix->row_stride >= matrix->cols && (matrix->data != NULL || matrix->rows == 0 || matrix->cols == 0);
}

static enum mxq_status check_destination(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                         enum mxq_buffer buffer, const struct mxq_destination *destination)
{
    struct mxq_share share;
    const enum mxq_status status = mxq_locate_share(plan, panel, buffer, &share);

    if (status != MXQ_OK || share.nruns == 0)
        return status;
    return destination->bytes == NULL || destination->pitch_nbytes < share.run_nbytes ? MXQ_ERR_ARGUMENT : MXQ_OK;
}

enum mxq_status mxq_prepare_task(const struct mxq_plan *plan, const struct mxq_panel *panel,
                                 const struct mxq_matrix *matrix, const struct mxq_destination out[MXQ_NUM_BUFFERS],
                                 struct mxq_task *task)
{
    if (plan == NULL || panel == NULL || matrix == NULL || out == NULL || !matrix_is_panel(matrix, panel))
        return MXQ_ERR_ARGUMENT;
    memset(task, 0, sizeof(*task));
    task->recipe = &plan->options.recipe;
    task->matrix = matrix;
    task->places = mxq_find_places(plan, panel);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_target *target = &task->target[mxq_direction_of(b)];
        const enum mxq_status status = check_destination(plan, panel, b, &out[b]);
        if (status != MXQ_OK)
            return status;
        target->wanted = plan->options.wanted[mxq_direction_of(b)];
        if (mxq_is_scale(b)) {
            target->scale = out[b].bytes;
            target->scale_pitch = out[b].pitch_nbytes;
            target->scale_layout = plan->options.layout[b];
        } else {
            target->data = out[b].bytes;
            target->data_pitch = out[b].pitch_nbytes;
            target->data_layout = plan->options.layout[b];
        }
    }
    return MXQ_OK;
}
