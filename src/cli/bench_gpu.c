/* bench_gpu.c - timing a case on a GPU */
#include "cli/bench.h"
#include "kernels/mxq_gpu.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* Runs of a sample: a single one is as short as the steps of a GPU's clock are coarse. */
#define NRUNS 5

static bool time_matrix(const struct mxq_bench_request *request, struct mxq_gpu *gpu, const struct mxq_plan *plan,
                        struct mxq_gpu_sample *samples, double *values, struct mxq_bench_result *result,
                        struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};
    struct mxq_matrix matrix;
    uint64_t copy_nbytes;
    enum mxq_status status;

    if (!mxq_make_bench_matrix(request, &matrix, fault))
        return false;
    status = mxq_time_gpu(gpu, plan, &matrix, request->nrounds, NRUNS, samples, &copy_nbytes, &error);
    free((void *)(uintptr_t)matrix.data);
    if (status != MXQ_OK) {
        mxq_set_fault(fault, NULL, 0, "%s", error.text);
        return false;
    }
    for (unsigned i = 0; i < request->nrounds; i++)
        values[i] = 1e-3 * (double)samples[i].kernel_ms;
    result->seconds = mxq_find_median(request->nrounds, values);
    for (unsigned i = 0; i < request->nrounds; i++)
        values[i] = 1e-3 * (double)samples[i].copy_ms;
    result->copy_rate = (double)copy_nbytes / mxq_find_median(request->nrounds, values);
    result->rate = (double)result->nbytes / result->seconds;
    result->fraction = result->rate / result->copy_rate;
    return true;
}

/* The runtime starts threads, which inherit the mask: signals are for the program's first thread. */
static bool open_gpu(unsigned index, struct mxq_gpu *gpu, struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};
    sigset_t all, before;
    enum mxq_status status;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    status = mxq_open_gpu(gpu, index, &error);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "%s", error.text);
    return status == MXQ_OK;
}

bool mxq_bench_gpu(const struct mxq_bench_request *request, struct mxq_bench_result *result, struct mxq_fault *fault)
{
    struct mxq_gpu_sample *samples = calloc(request->nrounds, sizeof(*samples));
    double *values = calloc(request->nrounds, sizeof(*values));
    struct mxq_gpu gpu = {0};
    struct mxq_plan plan;
    bool good = false;

    if (samples == NULL || values == NULL)
        mxq_set_fault(fault, NULL, ENOMEM, "bench");
    else if (!open_gpu(request->gpu, &gpu, fault))
        good = false;
    else
        good = mxq_plan_bench(request, &plan, &result->nbytes, fault) &&
               time_matrix(request, &gpu, &plan, samples, values, result, fault);
    mxq_close_gpu(&gpu);
    free(samples);
    free(values);
    return good;
}
