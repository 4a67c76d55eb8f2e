/*
 * bench.h - what mxfp4q bench measures: cases, and the figures of each
 *
 * A case is quantized in memory, in turn with a copy in the same memory, and the medians of the two are compared: a machine
 * that is busy or slow is so for both. The figure to look at is the fraction: bytes that have to move, elements in and
 * codes and scales out, by the rate at which the copy moves bytes, reading and writing both counted.
 */
#ifndef MXQ_BENCH_H
#define MXQ_BENCH_H

#include "io/fault.h"
#include "kernels/mxq.h"

/* A case. What is not said here is as the default profile has it. */
struct mxq_bench_case {
    const char *name; /* "both aiter" */
    enum mxq_dtype dtype;
    bool wanted[MXQ_NUM_DIRECTIONS];
    enum mxq_layout layout;
    bool hadamard;
    bool one_thread;
};

/* The case with this number, from 0 on; NULL past the last. */
const struct mxq_bench_case *mxq_get_bench_case(size_t index);

struct mxq_bench_request {
    const struct mxq_bench_case *which;
    uint64_t rows; /* not 0 */
    uint64_t cols;
    unsigned nrounds;
    const struct mxq_kernel *kernel; /* on CPUs */
    unsigned nthreads;
    unsigned gpu; /* on a GPU: its number */
};

struct mxq_bench_result {
    uint64_t nbytes; /* that have to move */
    double seconds;  /* to quantize, */
    double rate;     /* and what that is in bytes a second */
    double copy_rate;
    double fraction; /* rate / copy_rate */
};

/* The plan of a case, and the bytes it has to move. */
bool mxq_plan_bench(const struct mxq_bench_request *request, struct mxq_plan *plan, uint64_t *nbytes,
                    struct mxq_fault *fault);

/* An arbitrary matrix without infinities and NaNs; the caller frees its data. */
bool mxq_make_bench_matrix(const struct mxq_bench_request *request, struct mxq_matrix *matrix, struct mxq_fault *fault);

/* Memory that begins a page, or NULL; free() frees it. */
void *mxq_allocate_pages(uint64_t nbytes);

/* The median; changes the order of the values. */
double mxq_find_median(unsigned nvalues, double values[]);

/* bench_cpu.c: panels on threads, against memcpy() on as many. */
bool mxq_bench_cpu(const struct mxq_bench_request *request, struct mxq_bench_result *result, struct mxq_fault *fault);

/* bench_gpu.c: a kernel by the GPU's clock, against a copy from the GPU's memory to itself. */
bool mxq_bench_gpu(const struct mxq_bench_request *request, struct mxq_bench_result *result, struct mxq_fault *fault);

#endif /* MXQ_BENCH_H */
