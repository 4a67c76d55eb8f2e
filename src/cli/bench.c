/* bench.c - the cases of mxfp4q bench, and their matrices */
#include "cli/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct mxq_bench_case cases[] = {
    {"both aiter", MXQ_BF16, {true, true}, MXQ_AITER, false, false},
    {"both linear", MXQ_BF16, {true, true}, MXQ_LINEAR, false, false},
    {"rowwise aiter", MXQ_BF16, {true, false}, MXQ_AITER, false, false},
    {"columnwise aiter", MXQ_BF16, {false, true}, MXQ_AITER, false, false},
    {"both aiter", MXQ_F32, {true, true}, MXQ_AITER, false, false},
    {"both aiter hadamard", MXQ_BF16, {true, true}, MXQ_AITER, true, false},
    {"both aiter 1 thread", MXQ_BF16, {true, true}, MXQ_AITER, false, true},
};

const struct mxq_bench_case *mxq_get_bench_case(size_t index)
{
    return index < sizeof(cases) / sizeof(cases[0]) ? &cases[index] : NULL;
}

bool mxq_plan_bench(const struct mxq_bench_request *request, struct mxq_plan *plan, uint64_t *nbytes,
                    struct mxq_fault *fault)
{
    const struct mxq_bench_case *which = request->which;
    struct mxq_options options;
    enum mxq_status status;

    mxq_init_options(&options, NULL);
    memcpy(options.wanted, which->wanted, sizeof(options.wanted));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = which->layout;
    options.recipe.hadamard_nelems = which->hadamard ? 16 : 0;
    status = mxq_make_plan(plan, &options, request->rows, request->cols);
    if (status != MXQ_OK || request->rows > SIZE_MAX / 4 / request->cols) {
        mxq_set_fault(fault, NULL, 0, "bench: %s", mxq_describe_status(status != MXQ_OK ? status : MXQ_ERR_OVERFLOW));
        return false;
    }
    *nbytes = request->rows * request->cols * mxq_dtype_nbytes(which->dtype);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        *nbytes += plan->extent[b].nbytes;
    return true;
}

/* Values around 0, of both signs, mostly within two powers of two: blocks with scales that differ a little. */
static void fill(struct mxq_matrix *matrix, void *data)
{
    uint32_t state = 1;

    for (uint64_t i = 0; i < matrix->rows * matrix->cols; i++) {
        float value;
        uint32_t bits;
        state = state * 1664525 + 1013904223;
        value = ((float)(state >> 8) / 0x1p24f - 0.5f) * 4;
        memcpy(&bits, &value, sizeof(bits));
        if (matrix->dtype == MXQ_F32)
            ((uint32_t *)data)[i] = bits;
        else
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
    }
}

void *mxq_allocate_pages(uint64_t nbytes)
{
    const uint64_t page = 4096;

    return aligned_alloc(page, (nbytes + page - 1) / page * page);
}

bool mxq_make_bench_matrix(const struct mxq_bench_request *request, struct mxq_matrix *matrix, struct mxq_fault *fault)
{
    const enum mxq_dtype dtype = request->which->dtype;
    void *data = mxq_allocate_pages(request->rows * request->cols * mxq_dtype_nbytes(dtype));

    if (data == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "bench");
        return false;
    }
    *matrix = (struct mxq_matrix){data, dtype, request->rows, request->cols, request->cols};
    fill(matrix, data);
    return true;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

double mxq_find_median(unsigned nvalues, double values[])
{
    qsort(values, nvalues, sizeof(values[0]), compare_doubles);
    return nvalues % 2 == 1 ? values[nvalues / 2] : (values[nvalues / 2 - 1] + values[nvalues / 2]) / 2;
}
