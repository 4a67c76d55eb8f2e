/* hip_host.c - the host side of the GPU: opening one, and sending panels through its slots */
#include "kernels/gpu_host.h"

#include "kernels/gpu_launch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Every buffer of a slot starts at a multiple of this, as memory that a GPU allocates does. */
#define ALIGNMENT 256

/* Elements of a panel, so that all its sizes fit in 64 bits. */
#define MOST_NELEMS ((uint64_t)1 << 60)

/* Where the parts of a slot are; the same on the host and on the GPU. */
struct slot_map {
    uint64_t out[MXQ_NUM_BUFFERS];
    uint64_t flag;
    uint64_t nbytes;
};

enum mxq_status mxq_fail_gpu(struct mxq_gpu_error *error, const struct mxq_gpu *gpu, int code, const char *format, ...)
{
    const struct mxq_gpu_runtime *runtime = mxq_load_gpu_runtime(error);
    char what[160];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    if (code != 0 && runtime != NULL)
        snprintf(error->text, sizeof(error->text), "GPU %u: %s: %s", gpu->index, what,
                 mxq_describe_gpu_code(runtime, code));
    else
        snprintf(error->text, sizeof(error->text), "GPU %u: %s", gpu->index, what);
    return MXQ_ERR_DEVICE;
}

/* ---- GPUs */

const char *mxq_gpu_vendor(void)
{
    return mxq_gpu_binding.vendor;
}

enum mxq_status mxq_count_gpus(unsigned *ngpus, struct mxq_gpu_error *error)
{
    const struct mxq_gpu_runtime *runtime = mxq_load_gpu_runtime(error);
    int count = 0;
    int code;

    if (runtime == NULL)
        return MXQ_ERR_DEVICE;
    code = runtime->get_count(&count);
    if (code != 0 || count <= 0) {
        snprintf(error->text, sizeof(error->text), "no GPU%s%s", code != 0 ? ": " : "",
                 code != 0 ? mxq_describe_gpu_code(runtime, code) : "");
        return MXQ_ERR_DEVICE;
    }
    *ngpus = (unsigned)count;
    return MXQ_OK;
}

/* What needs no context. */
static void describe_gpu(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu)
{
    size_t total;
    int nprocessors;

    if (runtime->get_name(gpu->name, (int)sizeof(gpu->name) - 1, gpu->device) != 0)
        gpu->name[0] = '\0';
    if (runtime->get_total(&total, gpu->device) == 0)
        gpu->total_nbytes = total;
    if (runtime->get_attribute(&nprocessors, mxq_gpu_binding.processors_attribute, gpu->device) == 0)
        gpu->nprocessors = (unsigned)nprocessors;
    mxq_gpu_binding.describe(runtime, gpu);
}

static enum mxq_status load_kernels(const struct mxq_gpu_runtime *runtime, struct mxq_gpu *gpu,
                                    struct mxq_gpu_error *error)
{
    size_t free_nbytes, total_nbytes;
    int code = mxq_gpu_binding.open(runtime, gpu);

    if (code != 0)
        return mxq_fail_gpu(error, gpu, code, "cannot be used");
    code = runtime->get_memory(&free_nbytes, &total_nbytes);
    if (code != 0)
        return mxq_fail_gpu(error, gpu, code, "cannot tell its memory");
    gpu->free_nbytes = free_nbytes;
    code = runtime->load_module(&gpu->module, mxq_gpu_module);
    if (code != 0)
        gpu->module = NULL;
    return code == 0 ? MXQ_OK : mxq_fail_gpu(error, gpu, code, "cannot load the kernels for %s", gpu->arch);
}

enum mxq_status mxq_open_gpu(struct mxq_gpu *gpu, unsigned index, struct mxq_gpu_error *error)
{
    const struct mxq_gpu_runtime *runtime = mxq_load_gpu_runtime(error);
    enum mxq_status status;
    unsigned ngpus = 0;
    int code;

    memset(gpu, 0, sizeof(*gpu));
    gpu->index = index;
    status = mxq_count_gpus(&ngpus, error);
    if (status != MXQ_OK)
        return status;
    if (index >= ngpus) {
        snprintf(error->text, sizeof(error->text), "no GPU %u: there %s %u", index, ngpus == 1 ? "is" : "are", ngpus);
        return MXQ_ERR_DEVICE;
    }
    code = runtime->get_device(&gpu->device, (int)index);
    if (code != 0)
        return mxq_fail_gpu(error, gpu, code, "cannot be used");
    describe_gpu(runtime, gpu);
    status = load_kernels(runtime, gpu, error);
    if (status != MXQ_OK)
        mxq_close_gpu(gpu);
    return status;
}

void mxq_close_gpu(struct mxq_gpu *gpu)
{
    struct mxq_gpu_error ignored = {""};
    const struct mxq_gpu_runtime *runtime;

    if (gpu->module == NULL && gpu->context == NULL)
        return;
    runtime = mxq_load_gpu_runtime(&ignored);
    if (runtime == NULL)
        return;
    if (gpu->module != NULL && mxq_gpu_binding.use(runtime, gpu) == 0)
        runtime->unload_module(gpu->module);
    gpu->module = NULL;
    mxq_gpu_binding.close(runtime, gpu);
}

const struct mxq_gpu_runtime *mxq_use_gpu(const struct mxq_gpu *gpu, struct mxq_gpu_error *error)
{
    const struct mxq_gpu_runtime *runtime = mxq_load_gpu_runtime(error);
    int code;

    if (runtime == NULL)
        return NULL;
    code = mxq_gpu_binding.use(runtime, gpu);
    if (code == 0)
        return runtime;
    mxq_fail_gpu(error, gpu, code, "cannot be used");
    return NULL;
}

/* ---- launching */

static int launch_found(const struct mxq_gpu_runtime *runtime, const struct mxq_gpu *gpu, void *stream,
                        const struct mxq_gpu_launch *launch, struct mxq_gpu_task *task)
{
    enum {
        MAX_DYNAMIC_SHARED_NBYTES = 8,
        SHARED_NBYTES_ALLOWED = 48 << 10
    };
    void *arguments[] = {task};
    void *function;
    int code = runtime->get_function(&function, gpu->module, launch->symbol);

    if (code == 0 && mxq_gpu_binding.needs_shared_limit && launch->shared_nbytes > SHARED_NBYTES_ALLOWED)
        code = runtime->set_function_attribute(function, MAX_DYNAMIC_SHARED_NBYTES, (int)launch->shared_nbytes);
    if (code != 0)
        return code;
    return runtime->launch(function, launch->grid[0], launch->grid[1], launch->grid[2], launch->block_threads, 1, 1,
                           launch->shared_nbytes, stream, arguments, NULL);
}

enum mxq_status mxq_launch_gpu_task(const struct mxq_gpu_runtime *runtime, const struct mxq_gpu *gpu, void *stream,
                                    const struct mxq_gpu_task *task, struct mxq_gpu_error *error)
{
    const struct mxq_gpu_traits traits = {gpu->nprocessors};
    struct mxq_gpu_task copy = *task;
    struct mxq_gpu_launch launch;
    int code;

    mxq_find_gpu_launch(task, &traits, &launch);
    code = launch_found(runtime, gpu, stream, &launch, &copy);
    return code == 0 ? MXQ_OK : mxq_fail_gpu(error, gpu, code, "cannot start %s", launch.symbol);
}

/* ---- slots */

static uint64_t align(uint64_t nbytes)
{
    return (nbytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Elements, shares, flag: the first part is copied in at once, and all that follow are copied out at once. */
static enum mxq_status map_slot(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_dtype dtype,
                                struct slot_map *map)
{
    if (panel->rows != 0 && panel->cols > MOST_NELEMS / panel->rows)
        return MXQ_ERR_OVERFLOW;
    map->nbytes = align(panel->rows * panel->cols * mxq_dtype_nbytes(dtype));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        const enum mxq_status status = mxq_locate_share(plan, panel, b, &share);
        if (status != MXQ_OK)
            return status;
        map->out[b] = map->nbytes;
        map->nbytes += align(share.nruns * share.run_nbytes);
    }
    map->flag = map->nbytes;
    map->nbytes += ALIGNMENT;
    return MXQ_OK;
}

uint64_t mxq_gpu_slot_nbytes(const struct mxq_plan *plan, const struct mxq_panel *panel, enum mxq_dtype dtype)
{
    struct slot_map map;

    return map_slot(plan, panel, dtype, &map) == MXQ_OK ? map.nbytes : UINT64_MAX;
}

static void free_memory(const struct mxq_gpu_runtime *runtime, struct mxq_gpu_slot *slot)
{
    if (slot->device != NULL)
        runtime->free(slot->device);
    if (slot->host != NULL)
        runtime->free_host(slot->host);
    slot->device = NULL;
    slot->host = NULL;
    slot->elements = NULL;
    slot->capacity = 0;
}

static enum mxq_status allocate_memory(const struct mxq_gpu_runtime *runtime, struct mxq_gpu_slot *slot,
                                       uint64_t nbytes, struct mxq_gpu_error *error)
{
    void *device, *host;
    int code = runtime->allocate(&device, nbytes);

    if (code != 0)
        return mxq_fail_gpu(error, slot->gpu, code, "cannot allocate %llu bytes", (unsigned long long)nbytes);
    slot->device = device;
    code = runtime->allocate_host(&host, nbytes, MXQ_GPU_HOST_PORTABLE);
    if (code != 0)
        return mxq_fail_gpu(error, slot->gpu, code, "cannot allocate %llu bytes on the host",
                            (unsigned long long)nbytes);
    slot->host = host;
    slot->capacity = nbytes;
    return MXQ_OK;
}

enum mxq_status mxq_prepare_gpu_slot(struct mxq_gpu_slot *slot, struct mxq_gpu *gpu, const struct mxq_plan *plan,
                                     const struct mxq_panel *panel, enum mxq_dtype dtype, struct mxq_gpu_error *error)
{
    const struct mxq_gpu_runtime *runtime = mxq_use_gpu(gpu, error);
    const uint64_t nbytes = mxq_gpu_slot_nbytes(plan, panel, dtype);
    enum mxq_status status = MXQ_OK;
    int code = 0;

    if (runtime == NULL)
        return MXQ_ERR_DEVICE;
    slot->gpu = gpu;
    if (slot->stream == NULL)
        code = runtime->create_stream(&slot->stream, MXQ_GPU_STREAM_NON_BLOCKING);
    if (code != 0) {
        slot->stream = NULL;
        return mxq_fail_gpu(error, gpu, code, "cannot create a stream");
    }
    if (slot->capacity < nbytes) {
        free_memory(runtime, slot);
        status = allocate_memory(runtime, slot, nbytes, error);
    }
    slot->elements = slot->host;
    return status;
}

void mxq_release_gpu_slot(struct mxq_gpu_slot *slot)
{
    struct mxq_gpu_error ignored = {""};
    const struct mxq_gpu_runtime *runtime = slot->gpu != NULL ? mxq_use_gpu(slot->gpu, &ignored) : NULL;

    if (runtime == NULL)
        return;
    if (slot->stream != NULL) {
        runtime->wait_for_stream(slot->stream);
        runtime->destroy_stream(slot->stream);
    }
    free_memory(runtime, slot);
    memset(slot, 0, sizeof(*slot));
}

/* ---- panels */

static void aim(struct mxq_gpu_task *task, enum mxq_buffer buffer, enum mxq_layout layout, uint8_t *bytes,
                uint64_t pitch)
{
    struct mxq_target *target = &task->target[mxq_direction_of(buffer)];

    if (mxq_is_scale(buffer)) {
        target->scale_layout = layout;
        target->scale = bytes;
        target->scale_pitch = pitch;
    } else {
        target->data_layout = layout;
        target->data = bytes;
        target->data_pitch = pitch;
    }
}

/* What mxq_write_padding() does, on the GPU: AITER's layouts are filled where a share has more than what is valid. */
static int pad(const struct mxq_gpu_runtime *runtime, const struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
               const struct mxq_panel *panel, enum mxq_buffer buffer, uint8_t *bytes)
{
    struct mxq_share share;
    struct mxq_padding padding;

    if (mxq_locate_share(plan, panel, buffer, &share) != MXQ_OK || !mxq_find_padding(plan, panel, buffer, &padding))
        return 0;
    return runtime->fill(bytes + padding.first_run * share.run_nbytes, padding.fill,
                         (share.nruns - padding.first_run) * share.run_nbytes, slot->stream);
}

/* Copies in, pads, launches, copies out; all of it only enqueued. */
static enum mxq_status enqueue(const struct mxq_gpu_runtime *runtime, struct mxq_gpu_slot *slot,
                               const struct mxq_plan *plan, const struct mxq_panel *panel, const struct slot_map *map,
                               const struct mxq_gpu_task *task, struct mxq_gpu_error *error)
{
    const uint64_t nbytes = panel->rows * panel->cols * mxq_dtype_nbytes(task->matrix.dtype);
    enum mxq_status status;
    int code = runtime->copy_in(slot->device, slot->host, nbytes, slot->stream);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && code == 0; b++)
        code = pad(runtime, slot, plan, panel, b, slot->device + map->out[b]);
    if (code == 0)
        code = runtime->fill(slot->device + map->flag, 0, sizeof(uint32_t), slot->stream);
    if (code != 0)
        return mxq_fail_gpu(error, slot->gpu, code, "cannot copy to the GPU");
    status = mxq_launch_gpu_task(runtime, slot->gpu, slot->stream, task, error);
    if (status != MXQ_OK)
        return status;
    code = runtime->copy_out(slot->host + map->out[0], slot->device + map->out[0], map->nbytes - map->out[0],
                             slot->stream);
    return code == 0 ? MXQ_OK : mxq_fail_gpu(error, slot->gpu, code, "cannot copy from the GPU");
}

static void make_task(const struct mxq_gpu_slot *slot, const struct mxq_plan *plan, const struct mxq_panel *panel,
                      enum mxq_dtype dtype, const struct slot_map *map, struct mxq_gpu_task *task)
{
    memset(task, 0, sizeof(*task));
    task->recipe = plan->options.recipe;
    task->matrix = (struct mxq_matrix){slot->device, dtype, panel->rows, panel->cols, panel->cols};
    task->nonfinite = (uint32_t *)(void *)(slot->device + map->flag);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        task->target[d].wanted = plan->options.wanted[d];
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        if (mxq_locate_share(plan, panel, b, &share) == MXQ_OK && share.nruns != 0)
            aim(task, b, plan->options.layout[b], slot->device + map->out[b], share.run_nbytes);
    }
}

/* Sets slot->out, and slot->flag_offset. */
static enum mxq_status place_panel(struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                                   const struct mxq_panel *panel, enum mxq_dtype dtype, struct slot_map *map)
{
    const enum mxq_status status = map_slot(plan, panel, dtype, map);

    if (status != MXQ_OK)
        return status;
    if (slot->capacity < map->nbytes || panel->rows == 0 || panel->cols == 0)
        return MXQ_ERR_ARGUMENT;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        slot->out[b] = plan->options.wanted[mxq_direction_of(b)] ? slot->host + map->out[b] : NULL;
    slot->flag_offset = map->flag;
    return MXQ_OK;
}

enum mxq_status mxq_place_gpu_panel(struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                                    const struct mxq_panel *panel, enum mxq_dtype dtype)
{
    struct slot_map map;

    return place_panel(slot, plan, panel, dtype, &map);
}

enum mxq_status mxq_start_gpu_panel(struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                                    const struct mxq_panel *panel, enum mxq_dtype dtype, struct mxq_gpu_error *error)
{
    const struct mxq_gpu_runtime *runtime;
    struct slot_map map;
    struct mxq_gpu_task task;
    const enum mxq_status status = place_panel(slot, plan, panel, dtype, &map);

    if (status != MXQ_OK) {
        snprintf(error->text, sizeof(error->text), "a panel was refused: %s", mxq_describe_status(status));
        return status;
    }
    runtime = mxq_use_gpu(slot->gpu, error);
    if (runtime == NULL)
        return MXQ_ERR_DEVICE;
    make_task(slot, plan, panel, dtype, &map, &task);
    return enqueue(runtime, slot, plan, panel, &map, &task, error);
}

enum mxq_status mxq_finish_gpu_panel(struct mxq_gpu_slot *slot, bool *nonfinite, struct mxq_gpu_error *error)
{
    const struct mxq_gpu_runtime *runtime = mxq_use_gpu(slot->gpu, error);
    uint32_t flag;
    int code;

    if (runtime == NULL)
        return MXQ_ERR_DEVICE;
    code = runtime->wait_for_stream(slot->stream);
    if (code != 0)
        return mxq_fail_gpu(error, slot->gpu, code, "cannot quantize");
    memcpy(&flag, slot->host + slot->flag_offset, sizeof(flag));
    *nonfinite = flag != 0;
    return MXQ_OK;
}
