/* hip_timing.c - how long the kernel takes on a matrix in the GPU's memory, and how long copies of as many bytes take */
#include "kernels/gpu_host.h"

#include <stdio.h>
#include <string.h>

enum {
    NEVENTS = 3
};

struct bench {
    const struct mxq_gpu_runtime *runtime;
    const struct mxq_gpu *gpu;
    void *stream;
    void *event[NEVENTS]; /* before the kernels, between them and the copies, after those */
    uint8_t *elements;
    uint8_t *out[MXQ_NUM_BUFFERS];
    uint8_t *flag;
    uint8_t *copied[2];
    uint64_t copy_nbytes;
    struct mxq_gpu_task task;
};

static int allocate(const struct bench *bench, uint8_t **bytes, uint64_t nbytes)
{
    void *address = NULL;
    int code = nbytes != 0 ? bench->runtime->allocate(&address, nbytes) : 0;

    *bytes = code == 0 ? address : NULL;
    return code;
}

static int allocate_all(struct bench *bench, const struct mxq_plan *plan, uint64_t elements_nbytes)
{
    int code = bench->runtime->create_stream(&bench->stream, MXQ_GPU_STREAM_NON_BLOCKING);

    for (unsigned i = 0; i < NEVENTS && code == 0; i++)
        code = bench->runtime->create_event(&bench->event[i], MXQ_GPU_EVENT_DEFAULT);
    if (code == 0)
        code = allocate(bench, &bench->elements, elements_nbytes);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && code == 0; b++)
        code = allocate(bench, &bench->out[b], plan->extent[b].nbytes);
    for (unsigned i = 0; i < 2 && code == 0; i++)
        code = allocate(bench, &bench->copied[i], bench->copy_nbytes);
    if (code == 0)
        code = allocate(bench, &bench->flag, sizeof(uint32_t));
    return code;
}

static void free_all(const struct bench *bench)
{
    uint8_t *const all[] = {bench->elements, bench->out[0],    bench->out[1],    bench->out[2],
                            bench->out[3],   bench->copied[0], bench->copied[1], bench->flag};

    if (bench->stream != NULL)
        bench->runtime->wait_for_stream(bench->stream);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] != NULL)
            bench->runtime->free(all[i]);
    for (unsigned i = 0; i < NEVENTS; i++)
        if (bench->event[i] != NULL)
            bench->runtime->destroy_event(bench->event[i]);
    if (bench->stream != NULL)
        bench->runtime->destroy_stream(bench->stream);
}

static void make_task(struct bench *bench, const struct mxq_plan *plan, const struct mxq_matrix *matrix)
{
    struct mxq_gpu_task *task = &bench->task;

    memset(task, 0, sizeof(*task));
    task->recipe = plan->options.recipe;
    task->matrix = *matrix;
    task->matrix.data = bench->elements;
    task->nonfinite = (uint32_t *)(void *)bench->flag;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        const struct mxq_panel whole = {0, 0, plan->rows, plan->cols};
        struct mxq_target *target = &task->target[mxq_direction_of(b)];
        struct mxq_share share;
        mxq_locate_share(plan, &whole, b, &share);
        target->wanted = plan->options.wanted[mxq_direction_of(b)];
        if (mxq_is_scale(b)) {
            target->scale = bench->out[b];
            target->scale_pitch = share.run_nbytes;
            target->scale_layout = plan->options.layout[b];
        } else {
            target->data = bench->out[b];
            target->data_pitch = share.run_nbytes;
            target->data_layout = plan->options.layout[b];
        }
    }
}

static enum mxq_status launch(const struct bench *bench, unsigned nruns, struct mxq_gpu_error *error)
{
    enum mxq_status status = MXQ_OK;

    for (unsigned i = 0; i < nruns && status == MXQ_OK; i++)
        status = mxq_launch_gpu_task(bench->runtime, bench->gpu, bench->stream, &bench->task, error);
    return status;
}

static int copy(const struct bench *bench, unsigned nruns)
{
    int code = 0;

    for (unsigned i = 0; i < nruns && code == 0; i++)
        code = bench->runtime->copy_within(bench->copied[1], bench->copied[0], bench->copy_nbytes, bench->stream);
    return code;
}

static enum mxq_status take_sample(const struct bench *bench, unsigned nruns, struct mxq_gpu_sample *sample,
                                   struct mxq_gpu_error *error)
{
    const struct mxq_gpu_runtime *runtime = bench->runtime;
    float kernel_ms = 0, copy_ms = 0;
    enum mxq_status status;
    int code = runtime->record_event(bench->event[0], bench->stream);

    status = code == 0 ? launch(bench, nruns, error) : MXQ_OK;
    if (status != MXQ_OK)
        return status;
    if (code == 0)
        code = runtime->record_event(bench->event[1], bench->stream);
    if (code == 0)
        code = copy(bench, nruns);
    if (code == 0)
        code = runtime->record_event(bench->event[2], bench->stream);
    if (code == 0)
        code = runtime->wait_for_event(bench->event[2]);
    if (code == 0)
        code = runtime->get_milliseconds(&kernel_ms, bench->event[0], bench->event[1]);
    if (code == 0)
        code = runtime->get_milliseconds(&copy_ms, bench->event[1], bench->event[2]);
    sample->kernel_ms = kernel_ms / (float)nruns;
    sample->copy_ms = copy_ms / (float)nruns;
    return code == 0 ? MXQ_OK : mxq_fail_gpu(error, bench->gpu, code, "cannot measure");
}

static enum mxq_status run(struct bench *bench, const struct mxq_plan *plan, const struct mxq_matrix *matrix,
                           unsigned nsamples, unsigned nruns, struct mxq_gpu_sample *samples,
                           struct mxq_gpu_error *error)
{
    const uint64_t nbytes = ((matrix->rows - 1) * matrix->row_stride + matrix->cols) * mxq_dtype_nbytes(matrix->dtype);
    struct mxq_gpu_sample warm_up;
    enum mxq_status status;
    int code = allocate_all(bench, plan, nbytes);

    if (code == 0)
        code = bench->runtime->copy_in(bench->elements, matrix->data, nbytes, bench->stream);
    if (code == 0)
        code = bench->runtime->fill(bench->flag, 0, sizeof(uint32_t), bench->stream);
    if (code == 0)
        code = bench->runtime->wait_for_stream(bench->stream);
    if (code != 0)
        return mxq_fail_gpu(error, bench->gpu, code, "cannot copy %llu bytes to the GPU", (unsigned long long)nbytes);
    make_task(bench, plan, matrix);
    status = take_sample(bench, 1, &warm_up, error);
    for (unsigned i = 0; i < nsamples && status == MXQ_OK; i++)
        status = take_sample(bench, nruns, &samples[i], error);
    return status;
}

enum mxq_status mxq_time_gpu(struct mxq_gpu *gpu, const struct mxq_plan *plan, const struct mxq_matrix *matrix,
                             unsigned nsamples, unsigned nruns, struct mxq_gpu_sample *samples, uint64_t *copy_nbytes,
                             struct mxq_gpu_error *error)
{
    struct bench bench = {0};
    enum mxq_status status;

    if (matrix->rows != plan->rows || matrix->cols != plan->cols || plan->rows == 0 || plan->cols == 0 || nruns == 0) {
        snprintf(error->text, sizeof(error->text), "%s", mxq_describe_status(MXQ_ERR_ARGUMENT));
        return MXQ_ERR_ARGUMENT;
    }
    bench.gpu = gpu;
    bench.copy_nbytes = matrix->rows * matrix->cols * mxq_dtype_nbytes(matrix->dtype);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        bench.copy_nbytes += plan->extent[b].nbytes;
    *copy_nbytes = bench.copy_nbytes;
    bench.copy_nbytes /= 2;
    bench.runtime = mxq_use_gpu(gpu, error);
    if (bench.runtime == NULL)
        return MXQ_ERR_DEVICE;
    status = run(&bench, plan, matrix, nsamples, nruns, samples, error);
    free_all(&bench);
    return status;
}
