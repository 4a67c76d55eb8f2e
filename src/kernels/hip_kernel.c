/*
 * hip_kernel.c - the GPU as a variant like the others, so that whatever holds variants against the scalar one can hold it
 *
 * Memory is the caller's, of any address and pitch, so each panel is copied in, quantized and copied out while the caller
 * waits. For speed there are slots (mxq_gpu.h), and no one gets this variant without asking for it by name.
 */
#include "kernels/gpu_host.h"

#include <pthread.h>
#include <string.h>

/* One buffer of a direction, on the host and on the GPU: runs of run_nbytes, gathered there. */
struct region {
    uint8_t *bytes;
    uint64_t pitch;
    uint64_t nruns;
    uint64_t run_nbytes;
    uint8_t *device;
};

/* What one panel has on the GPU. */
struct visit {
    const struct mxq_gpu_runtime *runtime;
    void *stream;
    void *elements;
    uint64_t elements_nbytes;
    uint8_t *flag;
    struct region region[MXQ_NUM_BUFFERS];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct mxq_gpu gpu;
static enum mxq_status opened;

static void open_first(void)
{
    struct mxq_gpu_error ignored = {""};

    opened = mxq_open_gpu(&gpu, 0, &ignored);
}

static bool runs_here(void)
{
    pthread_once(&once, open_first);
    return opened == MXQ_OK;
}

/* The groups of rows that have a valid row, and of each what a kernel may write and the padding between. */
static struct region find_region(const struct mxq_task *task, enum mxq_buffer buffer)
{
    const enum mxq_direction direction = mxq_direction_of(buffer);
    const struct mxq_target *target = &task->target[direction];
    const uint64_t rows = direction == MXQ_ROWWISE ? task->matrix->rows : task->matrix->cols;
    const uint64_t nelems = direction == MXQ_ROWWISE ? task->matrix->cols : task->matrix->rows;
    const uint64_t nblocks = mxq_count_blocks(nelems);
    struct region region = {0};

    if (!target->wanted)
        return region;
    region.bytes = mxq_is_scale(buffer) ? target->scale : target->data;
    region.pitch = mxq_is_scale(buffer) ? target->scale_pitch : target->data_pitch;
    region.nruns = rows;
    region.run_nbytes = mxq_is_scale(buffer) ? nblocks : (nelems + 1) / 2;
    if (mxq_is_scale(buffer) && target->scale_layout == MXQ_AITER) {
        region.nruns = (rows + MXQ_AITER_SCALE_GROUP - 1) / MXQ_AITER_SCALE_GROUP;
        region.run_nbytes =
            (nblocks + MXQ_AITER_SCALE_COLS - 1) / MXQ_AITER_SCALE_COLS * MXQ_AITER_SCALE_COLS * MXQ_AITER_SCALE_GROUP;
    } else if (!mxq_is_scale(buffer) && target->data_layout == MXQ_AITER) {
        region.nruns = (rows + MXQ_AITER_DATA_GROUP - 1) / MXQ_AITER_DATA_GROUP;
        region.run_nbytes = nblocks * MXQ_UNIT_NBYTES * MXQ_AITER_DATA_GROUP;
    }
    return region;
}

/* What is beside the valid bytes has to come back as it was, so regions travel both ways. */
static int copy_region(const struct visit *visit, const struct region *region, bool in)
{
    const bool gathered = region->pitch == region->run_nbytes;
    const uint64_t nruns = gathered ? 1 : region->nruns;
    const uint64_t nbytes = gathered ? region->nruns * region->run_nbytes : region->run_nbytes;
    int code = 0;

    for (uint64_t run = 0; run < nruns && region->nruns != 0 && code == 0; run++) {
        uint8_t *host = region->bytes + run * region->pitch;
        uint8_t *device = region->device + run * region->run_nbytes;
        code = in ? visit->runtime->copy_in(device, host, nbytes, visit->stream)
                  : visit->runtime->copy_out(host, device, nbytes, visit->stream);
    }
    return code;
}

static int allocate_visit(const struct mxq_task *task, struct visit *visit)
{
    void *address = NULL;
    int code = visit->runtime->create_stream(&visit->stream, MXQ_GPU_STREAM_NON_BLOCKING);

    if (code == 0)
        code = visit->runtime->allocate(&visit->elements, visit->elements_nbytes);
    if (code == 0)
        code = visit->runtime->allocate(&address, sizeof(uint32_t));
    visit->flag = address;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && code == 0; b++) {
        struct region *region = &visit->region[b];
        *region = find_region(task, b);
        address = NULL;
        if (region->nruns != 0)
            code = visit->runtime->allocate(&address, region->nruns * region->run_nbytes);
        region->device = address;
    }
    return code;
}

static void free_visit(const struct visit *visit)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (visit->region[b].device != NULL)
            visit->runtime->free(visit->region[b].device);
    if (visit->flag != NULL)
        visit->runtime->free(visit->flag);
    if (visit->elements != NULL)
        visit->runtime->free(visit->elements);
    if (visit->stream != NULL)
        visit->runtime->destroy_stream(visit->stream);
}

static void make_task(const struct mxq_task *task, const struct visit *visit, struct mxq_gpu_task *made)
{
    memset(made, 0, sizeof(*made));
    made->recipe = *task->recipe;
    made->matrix = *task->matrix;
    made->matrix.data = visit->elements;
    made->nonfinite = (uint32_t *)(void *)visit->flag;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const enum mxq_buffer data = d == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
        const enum mxq_buffer scale = d == MXQ_ROWWISE ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
        made->target[d] = task->target[d];
        made->target[d].data = visit->region[data].device;
        made->target[d].data_pitch = visit->region[data].run_nbytes;
        made->target[d].scale = visit->region[scale].device;
        made->target[d].scale_pitch = visit->region[scale].run_nbytes;
    }
}

/* All of it on one stream; whether it went well. */
static bool run_visit(const struct mxq_task *task, const struct visit *visit, uint32_t *flag)
{
    struct mxq_gpu_task made;
    struct mxq_gpu_error ignored = {""};
    int code = visit->runtime->copy_in(visit->elements, task->matrix->data, visit->elements_nbytes, visit->stream);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && code == 0; b++)
        code = copy_region(visit, &visit->region[b], true);
    if (code == 0)
        code = visit->runtime->fill(visit->flag, 0, sizeof(*flag), visit->stream);
    make_task(task, visit, &made);
    if (code != 0 || mxq_launch_gpu_task(visit->runtime, &gpu, visit->stream, &made, &ignored) != MXQ_OK)
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && code == 0; b++)
        code = copy_region(visit, &visit->region[b], false);
    if (code == 0)
        code = visit->runtime->copy_out(flag, visit->flag, sizeof(*flag), visit->stream);
    return visit->runtime->wait_for_stream(visit->stream) == 0 && code == 0;
}

static bool quantize_panel(const struct mxq_task *task)
{
    const struct mxq_matrix *matrix = task->matrix;
    struct mxq_gpu_error ignored = {""};
    struct visit visit = {0};
    uint32_t flag = 0;
    bool good = false;

    visit.runtime = mxq_use_gpu(&gpu, &ignored);
    visit.elements_nbytes = ((matrix->rows - 1) * matrix->row_stride + matrix->cols) * mxq_dtype_nbytes(matrix->dtype);
    if (visit.runtime != NULL) {
        good = allocate_visit(task, &visit) == 0 && run_visit(task, &visit, &flag);
        free_visit(&visit);
    }
    if (!good)
        *task->status = MXQ_ERR_DEVICE;
    return flag != 0;
}

const struct mxq_kernel mxq_kernel_gpu = {
    .name = "gpu",
    .summary = "the first GPU, a panel at a time",
    .runs_here = runs_here,
    .takes = mxq_recipe_is_common,
    .quantize_panel = quantize_panel,
};
