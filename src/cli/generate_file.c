/* generate_file.c - made-up tensors on their way into files, chunk by chunk, on several threads */
#include "cli/generate_file.h"

#include "cli/pool.h"
#include "cli/progress.h"
#include "io/outfile.h"
#include "io/writers.h"

#include <errno.h>
#include <stdlib.h>

/* Elements that are made and written at once. */
#define CHUNK_NELEMS ((uint64_t)1 << 18)

/* One file being written. */
struct run {
    const struct mxq_generated *generated;
    int fd;
    bool in_order;
    const char *name;
    uint64_t header_nbytes;
    unsigned nworkers;
    uint8_t **chunks;     /* one for each worker */
    uint64_t done_nbytes; /* changed by one thread at a time */
};

bool mxq_measure_generated(struct mxq_generated *g)
{
    uint64_t nelems = 1, nbytes;
    bool is_empty = false;
    uint64_t cols;

    for (unsigned axis = 0; axis < g->rank; axis++) {
        is_empty |= g->shape[axis] == 0;
        /* Sizes beside a zero count too, as they do for those who read the file. */
        if (g->shape[axis] != 0 && __builtin_mul_overflow(nelems, g->shape[axis], &nelems))
            return false;
    }
    if (__builtin_mul_overflow(nelems, mxq_dtype_nbytes(g->dtype), &nbytes) || nbytes > INT64_MAX)
        return false;
    g->nelems = is_empty ? 0 : nelems;
    g->nbytes = is_empty ? 0 : nbytes;
    cols = g->rank > 0 ? g->shape[g->rank - 1] : 1;
    mxq_init_generator(&g->generator, g->pattern, g->seed, g->dtype, is_empty ? 0 : nelems / cols, cols);
    return true;
}

static bool write_header(struct run *run, struct mxq_fault *fault)
{
    static const char *const descr[MXQ_NUM_DTYPES] = {[MXQ_BF16] = "<V2", [MXQ_F16] = "<f2", [MXQ_F32] = "<f4"};
    const struct mxq_generated *g = run->generated;
    uint8_t header[MXQ_NPY_TENSOR_HEADER_NBYTES];

    if (g->raw)
        return true;
    run->header_nbytes = mxq_make_npy_tensor_header(header, descr[g->dtype], g->rank, g->shape);
    return mxq_write_all(run->fd, header, run->header_nbytes, run->name, fault);
}

static uint64_t chunk_nelems(const struct mxq_generated *g, uint64_t index)
{
    const uint64_t left = g->nelems - index * CHUNK_NELEMS;

    return left < CHUNK_NELEMS ? left : CHUNK_NELEMS;
}

static bool write_chunk(void *context, unsigned worker, uint64_t index, struct mxq_fault *fault)
{
    const struct run *run = context;
    const struct mxq_generated *g = run->generated;
    const uint64_t elem_nbytes = mxq_dtype_nbytes(g->dtype);
    const uint64_t first = index * CHUNK_NELEMS;
    const uint64_t nelems = chunk_nelems(g, index);
    uint8_t *bytes = run->chunks[worker];

    mxq_generate(&g->generator, first, nelems, bytes);
    if (run->in_order)
        return mxq_write_all(run->fd, bytes, nelems * elem_nbytes, run->name, fault);
    return mxq_pwrite_all(run->fd, bytes, nelems * elem_nbytes, run->header_nbytes + first * elem_nbytes, run->name,
                          fault);
}

static void note_chunk(void *context, unsigned worker, uint64_t index)
{
    struct run *run = context;

    (void)worker;
    run->done_nbytes += chunk_nelems(run->generated, index) * mxq_dtype_nbytes(run->generated->dtype);
    mxq_update_progress(run->done_nbytes);
}

static bool allocate_chunks(struct run *run, struct mxq_fault *fault)
{
    const size_t nbytes = CHUNK_NELEMS * mxq_dtype_nbytes(run->generated->dtype);
    bool good;

    run->chunks = calloc(run->nworkers, sizeof(*run->chunks));
    good = run->chunks != NULL;
    for (unsigned i = 0; i < run->nworkers && good; i++)
        good = (run->chunks[i] = malloc(nbytes)) != NULL;
    if (!good)
        mxq_set_fault(fault, run->name, ENOMEM, "cannot write");
    return good;
}

static void free_chunks(struct run *run)
{
    for (unsigned i = 0; i < run->nworkers && run->chunks != NULL; i++)
        free(run->chunks[i]);
    free(run->chunks);
}

static bool write_chunks(struct run *run, struct mxq_fault *fault)
{
    const struct mxq_generated *g = run->generated;
    const uint64_t nchunks = (g->nelems + CHUNK_NELEMS - 1) / CHUNK_NELEMS;
    struct mxq_tasks tasks = {.ntasks = nchunks, .context = run, .run = write_chunk, .done = note_chunk};
    bool good;

    run->nworkers = tasks.nthreads = mxq_count_workers(run->in_order ? 1 : g->nthreads, nchunks);
    good = allocate_chunks(run, fault);
    if (good) {
        mxq_start_progress(run->name, g->nbytes);
        good = mxq_run_tasks(&tasks, fault);
        mxq_end_progress();
    }
    free_chunks(run);
    return good;
}

bool mxq_write_generated(const struct mxq_generated *generated, int fd, bool in_order, const char *name,
                         struct mxq_fault *fault)
{
    struct run run = {.generated = generated, .fd = fd, .in_order = in_order, .name = name};

    if (!write_header(&run, fault))
        return false;
    if (!in_order && !mxq_reserve_space(fd, run.header_nbytes + generated->nbytes, name, fault))
        return false;
    return write_chunks(&run, fault);
}
