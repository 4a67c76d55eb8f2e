/* bench_cpu.c - timing a case on CPUs */
#include "cli/bench.h"
#include "cli/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rows of a panel: results reach far enough that the kernel knows them to be more than the caches hold. */
#define PANEL_ROWS 1024

struct run {
    const struct mxq_bench_request *request;
    struct mxq_plan plan;
    struct mxq_matrix matrix;
    uint8_t *out[MXQ_NUM_BUFFERS];
    char *copy;
    uint64_t npanels;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct mxq_panel find_panel(const struct run *run, uint64_t index)
{
    const uint64_t left = run->matrix.rows - index * PANEL_ROWS;

    return (struct mxq_panel){index * PANEL_ROWS, 0, left < PANEL_ROWS ? left : PANEL_ROWS, run->matrix.cols};
}

static uint64_t row_nbytes(const struct run *run)
{
    return run->matrix.cols * mxq_dtype_nbytes(run->matrix.dtype);
}

static bool quantize_panel(void *context, unsigned worker, uint64_t index, struct mxq_fault *fault)
{
    const struct run *run = context;
    const struct mxq_panel panel = find_panel(run, index);
    struct mxq_matrix matrix = run->matrix;
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    enum mxq_status status;

    (void)worker;
    matrix.data = (const char *)matrix.data + panel.row0 * row_nbytes(run);
    matrix.rows = panel.rows;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        mxq_locate_share(&run->plan, &panel, b, &share);
        out[b].bytes = run->out[b] == NULL ? NULL : run->out[b] + share.offset;
        out[b].pitch_nbytes = share.pitch_nbytes;
    }
    status = mxq_quantize_panel(&run->plan, run->request->kernel, &panel, &matrix, out, NULL);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "bench: %s", mxq_describe_status(status));
    return status == MXQ_OK;
}

static bool copy_panel(void *context, unsigned worker, uint64_t index, struct mxq_fault *fault)
{
    const struct run *run = context;
    const struct mxq_panel panel = find_panel(run, index);
    const uint64_t at = panel.row0 * row_nbytes(run);

    (void)worker;
    (void)fault;
    memcpy(run->copy + at, (const char *)run->matrix.data + at, panel.rows * row_nbytes(run));
    return true;
}

static bool time_panels(struct run *run, bool (*panel)(void *, unsigned, uint64_t, struct mxq_fault *), double *seconds,
                        struct mxq_fault *fault)
{
    const unsigned nthreads = run->request->which->one_thread ? 1 : run->request->nthreads;
    const struct mxq_tasks tasks = {run->npanels, mxq_count_workers(nthreads, run->npanels), run, NULL, panel, NULL};
    const double start = now();
    const bool good = mxq_run_tasks(&tasks, fault);

    *seconds = now() - start;
    return good;
}

/* The first round touches the memory, and does not count. */
static bool time_rounds(struct run *run, double *seconds, double *copy_seconds, struct mxq_fault *fault)
{
    const unsigned nrounds = run->request->nrounds;

    for (unsigned round = 0; round <= nrounds; round++) {
        const unsigned at = round == 0 ? 0 : round - 1;
        if (!time_panels(run, copy_panel, &copy_seconds[at], fault) ||
            !time_panels(run, quantize_panel, &seconds[at], fault))
            return false;
    }
    return true;
}

static bool allocate(struct run *run, struct mxq_fault *fault)
{
    bool good;

    if (!mxq_make_bench_matrix(run->request, &run->matrix, fault))
        return false;
    run->copy = mxq_allocate_pages(run->matrix.rows * row_nbytes(run));
    good = run->copy != NULL;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++)
        if (run->plan.extent[b].nbytes != 0)
            good = (run->out[b] = mxq_allocate_pages(run->plan.extent[b].nbytes)) != NULL;
    if (!good)
        mxq_set_fault(fault, NULL, ENOMEM, "bench");
    return good;
}

static void release(struct run *run)
{
    free((void *)(uintptr_t)run->matrix.data);
    free(run->copy);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        free(run->out[b]);
}

bool mxq_bench_cpu(const struct mxq_bench_request *request, struct mxq_bench_result *result, struct mxq_fault *fault)
{
    double *seconds = calloc(request->nrounds, sizeof(*seconds));
    double *copy_seconds = calloc(request->nrounds, sizeof(*copy_seconds));
    struct run run = {.request = request, .npanels = (request->rows + PANEL_ROWS - 1) / PANEL_ROWS};
    bool good = seconds != NULL && copy_seconds != NULL;

    if (!good)
        mxq_set_fault(fault, NULL, ENOMEM, "bench");
    good = good && mxq_plan_bench(request, &run.plan, &result->nbytes, fault) && allocate(&run, fault) &&
           time_rounds(&run, seconds, copy_seconds, fault);
    if (good) {
        result->seconds = mxq_find_median(request->nrounds, seconds);
        result->rate = (double)result->nbytes / result->seconds;
        result->copy_rate =
            2 * (double)(run.matrix.rows * row_nbytes(&run)) / mxq_find_median(request->nrounds, copy_seconds);
        result->fraction = result->rate / result->copy_rate;
    }
    release(&run);
    free(seconds);
    free(copy_seconds);
    return good;
}
