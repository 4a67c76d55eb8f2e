/* hip_none.c - stands in for the GPU in a library that was built without support for any */
#include "kernels/mxq_gpu.h"
#include "kernels/mxq_internal.h"

#include <stdio.h>
#include <string.h>

static enum mxq_status refuse(struct mxq_gpu_error *error)
{
    snprintf(error->text, sizeof(error->text), "this program was built without GPU support");
    return MXQ_ERR_DEVICE;
}

const char *mxq_gpu_vendor(void)
{
    return NULL;
}

enum mxq_status mxq_count_gpus(unsigned *ngpus, struct mxq_gpu_error *error)
{
    (void)ngpus;
    return refuse(error);
}

enum mxq_status mxq_open_gpu(struct mxq_gpu *gpu, unsigned index, struct mxq_gpu_error *error)
{
    memset(gpu, 0, sizeof(*gpu));
    gpu->index = index;
    return refuse(error);
}

void mxq_close_gpu(struct mxq_gpu *gpu)
{
    (void)gpu;
}

uint64_t mxq_gpu_slot_nbytes(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_dtype dtype)
{
    (void)plan;
    (void)panel;
    (void)dtype;
    return UINT64_MAX;
}

enum mxq_status mxq_prepare_gpu_slot(struct mxq_gpu_slot *slot, struct mxq_gpu *gpu, const struct mxq_plan *plan,
                                     const struct mxq_panel *panel, enum mxq_dtype dtype, struct mxq_gpu_error *error)
{
    (void)slot;
    (void)gpu;
    (void)plan;
    (void)panel;
    (void)dtype;
    return refuse(error);
}

enum mxq_status mxq_start_gpu_panel(struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                                    const struct mxq_panel *panel, enum mxq_dtype dtype, struct mxq_gpu_error *error)
{
    (void)slot;
    (void)plan;
    (void)panel;
    (void)dtype;
    return refuse(error);
}

enum mxq_status mxq_place_gpu_panel(struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                                    const struct mxq_panel *panel, enum mxq_dtype dtype)
{
    (void)slot;
    (void)plan;
    (void)panel;
    (void)dtype;
    return MXQ_ERR_DEVICE;
}

enum mxq_status mxq_finish_gpu_panel(struct mxq_gpu_slot *slot, bool *nonfinite, struct mxq_gpu_error *error)
{
    (void)slot;
    (void)nonfinite;
    return refuse(error);
}

void mxq_release_gpu_slot(struct mxq_gpu_slot *slot)
{
    (void)slot;
}

enum mxq_status mxq_time_gpu(struct mxq_gpu *gpu, const struct mxq_plan *plan, const struct mxq_matrix *matrix,
                             unsigned nsamples, unsigned nruns, struct mxq_gpu_sample *samples, uint64_t *copy_nbytes,
                             struct mxq_gpu_error *error)
{
    (void)gpu;
    (void)plan;
    (void)matrix;
    (void)nsamples;
    (void)nruns;
    (void)samples;
    (void)copy_nbytes;
    return refuse(error);
}

static bool runs_here(void)
{
    return false;
}

static bool quantize_panel(const struct mxq_task *task)
{
    *task->status = MXQ_ERR_DEVICE;
    return false;
}

const struct mxq_kernel mxq_kernel_gpu = {
    .name = "gpu",
    .summary = "the first GPU, a panel at a time",
    .runs_here = runs_here,
    .takes = mxq_recipe_is_common,
    .quantize_panel = quantize_panel,
};
