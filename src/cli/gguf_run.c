/* gguf_run.c - carrying out the plan of a GGUF file: pieces of tensors are read, quantized or not, and written by threads */
#include "cli/gguf_run.h"

#include "cli/pool.h"
#include "cli/progress.h"
#include "io/ggml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Values of a piece. Blocks lie along rows, which are whole blocks, so a piece of a tensor is the blocks of one long row,
 * wherever its own rows end.
 */
#define PIECE_NELEMS ((uint64_t)1 << 20)
#define PIECE_NBLOCKS (PIECE_NELEMS / MXQ_BLOCK_NELEMS)
#define PIECE_NBYTES (PIECE_NELEMS * sizeof(float))
#define OUT_NBYTES (PIECE_NBLOCKS * MXQ_GGML_BLOCK_NBYTES)

struct buffers {
    uint8_t *in; /* PIECE_NBYTES */
    uint8_t *units;
    uint8_t *scales;
    uint8_t *blocks;
    uint64_t done_nbytes; /* of the task that was run last */
};

struct run {
    const struct mxq_gguf_plan *plan;
    const struct mxq_gguf_run_options *options;
    int in_fd;
    const char *in_name;
    int out_fd;
    uint64_t *first; /* of each tensor: the number of its first task; then that of all */
    struct buffers *buffers;
    unsigned nworkers;
    uint64_t done_nbytes;
};

/* ---- one piece */

static enum mxq_dtype get_dtype(uint32_t type)
{
    return type == MXQ_GGUF_F32 ? MXQ_F32 : type == MXQ_GGUF_F16 ? MXQ_F16 : MXQ_BF16;
}

static uint64_t piece_nbytes(const struct run *run, size_t tensor)
{
    const uint32_t type = run->plan->source->tensors[tensor].type;

    return run->plan->is_quantized[tensor] ? PIECE_NELEMS * mxq_dtype_nbytes(get_dtype(type)) : PIECE_NBYTES;
}

static bool refuse_nonfinite(const struct mxq_gguf_tensor *tensor, uint64_t first, const struct mxq_matrix *matrix,
                             const char *file, struct mxq_fault *fault)
{
    uint64_t row, col = 0;

    mxq_count_nonfinite(matrix, &row, &col);
    mxq_set_fault(
        fault, file, 0,
        "tensor \"%.200s\": a value is infinite or NaN, in row %llu at %llu (--nonfinite profile quantizes it)",
        tensor->name, (unsigned long long)((first + col) / tensor->shape[0]),
        (unsigned long long)((first + col) % tensor->shape[0]));
    return false;
}

/* nelems values of b->in, which begin with number first of the tensor, into blocks. */
static bool quantize_piece(const struct run *run, struct buffers *b, const struct mxq_gguf_tensor *tensor,
                           uint64_t first, uint64_t nelems, struct mxq_fault *fault)
{
    const struct mxq_matrix matrix = {b->in, get_dtype(tensor->type), 1, nelems, nelems};
    uint8_t *const out[MXQ_NUM_BUFFERS] = {[MXQ_ROWWISE_DATA] = b->units, [MXQ_ROWWISE_SCALE] = b->scales};
    const uint64_t nblocks = nelems / MXQ_BLOCK_NELEMS;
    struct mxq_plan plan;
    bool nonfinite = false;
    enum mxq_status status = mxq_make_plan(&plan, run->options->quantize, 1, nelems);

    if (status == MXQ_OK)
        status = mxq_quantize(&plan, run->options->kernel, &matrix, out, &nonfinite);
    if (status != MXQ_OK) {
        mxq_set_fault(fault, run->in_name, 0, "tensor \"%.200s\": %s", tensor->name, mxq_describe_status(status));
        return false;
    }
    if (nonfinite && !run->options->nonfinite_allowed)
        return refuse_nonfinite(tensor, first, &matrix, run->in_name, fault);
    if (memchr(b->scales, 255, (size_t)nblocks) != NULL) {
        mxq_set_fault(fault, run->in_name, 0,
                      "tensor \"%.200s\": a block gets the scale byte 255 (NaN), which llama.cpp refuses",
                      tensor->name);
        return false;
    }
    mxq_pack_ggml(b->units, b->scales, nblocks, b->blocks);
    return true;
}

static size_t find_tensor(const struct run *run, uint64_t task)
{
    size_t low = 0, high = run->plan->source->ntensors;

    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (run->first[middle] <= task)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool run_piece(void *context, unsigned worker, uint64_t task, struct mxq_fault *fault)
{
    const struct run *run = context;
    struct buffers *b = &run->buffers[worker];
    const size_t i = find_tensor(run, task);
    const struct mxq_gguf_tensor *tensor = &run->plan->source->tensors[i], *made = &run->plan->out.tensors[i];
    const uint64_t begin = (task - run->first[i]) * piece_nbytes(run, i);
    const uint64_t left = tensor->nbytes - begin;
    const uint64_t nbytes = left < piece_nbytes(run, i) ? left : piece_nbytes(run, i);
    uint64_t size, nelems;

    b->done_nbytes = nbytes;
    if (!mxq_pread_all(run->in_fd, b->in, nbytes, tensor->offset + begin, run->in_name, fault))
        return false;
    if (!run->plan->is_quantized[i])
        return mxq_pwrite_all(run->out_fd, b->in, nbytes, made->offset + begin, run->options->output, fault);
    size = mxq_dtype_nbytes(get_dtype(tensor->type));
    nelems = nbytes / size;
    return quantize_piece(run, b, tensor, begin / size, nelems, fault) &&
           mxq_pwrite_all(run->out_fd, b->blocks, nelems / MXQ_BLOCK_NELEMS * MXQ_GGML_BLOCK_NBYTES,
                          made->offset + begin / size / MXQ_BLOCK_NELEMS * MXQ_GGML_BLOCK_NBYTES, run->options->output,
                          fault);
}

static void note_piece(void *context, unsigned worker, uint64_t task)
{
    struct run *run = context;

    (void)task;
    run->done_nbytes += run->buffers[worker].done_nbytes;
    mxq_update_progress(run->done_nbytes);
}

/* ---- all of them */

static bool number_tasks(struct run *run)
{
    const struct mxq_gguf *source = run->plan->source;
    uint64_t n = 0;

    run->first = calloc(source->ntensors + 1, sizeof(*run->first));
    for (size_t i = 0; run->first != NULL && i < source->ntensors; i++) {
        run->first[i] = n;
        n += source->tensors[i].nbytes / piece_nbytes(run, i) + (source->tensors[i].nbytes % piece_nbytes(run, i) != 0);
    }
    if (run->first != NULL)
        run->first[source->ntensors] = n;
    return run->first != NULL;
}

/* The threads that there is memory for. */
static unsigned allowed_threads(const struct mxq_gguf_run_options *options)
{
    const uint64_t each = PIECE_NBYTES + PIECE_NBLOCKS * (MXQ_UNIT_NBYTES + 1) + OUT_NBYTES;
    const uint64_t n = options->memory_nbytes / each;

    return n < options->nthreads ? (n > 0 ? (unsigned)n : 1) : options->nthreads;
}

static bool allocate_buffers(struct run *run)
{
    run->buffers = calloc(run->nworkers, sizeof(*run->buffers));
    for (unsigned i = 0; run->buffers != NULL && i < run->nworkers; i++) {
        struct buffers *b = &run->buffers[i];
        b->in = malloc(PIECE_NBYTES);
        b->units = malloc(PIECE_NBLOCKS * MXQ_UNIT_NBYTES);
        b->scales = malloc(PIECE_NBLOCKS);
        b->blocks = malloc(OUT_NBYTES);
        if (b->in == NULL || b->units == NULL || b->scales == NULL || b->blocks == NULL)
            return false;
    }
    return run->buffers != NULL;
}

static void free_run(struct run *run)
{
    for (unsigned i = 0; run->buffers != NULL && i < run->nworkers; i++) {
        free(run->buffers[i].in);
        free(run->buffers[i].units);
        free(run->buffers[i].scales);
        free(run->buffers[i].blocks);
    }
    free(run->buffers);
    free(run->first);
}

static bool run_tasks(struct run *run, struct mxq_fault *fault)
{
    const struct mxq_gguf *source = run->plan->source;
    struct mxq_tasks tasks = {.context = run, .run = run_piece, .done = note_piece};
    bool good = number_tasks(run);

    if (good) {
        tasks.ntasks = run->first[source->ntensors];
        run->nworkers = tasks.nthreads = mxq_count_workers(allowed_threads(run->options), tasks.ntasks);
        good = allocate_buffers(run);
    }
    if (!good) {
        mxq_set_fault(fault, run->in_name, ENOMEM, "cannot quantize");
        free_run(run);
        return false;
    }
    mxq_start_progress(run->in_name, source->nbytes - source->data_offset);
    good = mxq_run_tasks(&tasks, fault);
    mxq_end_progress();
    free_run(run);
    return good;
}

/* Padding is what is not written: a new file is zero. */
static bool fill_file(struct run *run, struct mxq_fault *fault)
{
    const struct mxq_gguf_plan *plan = run->plan;
    const char *output = run->options->output;

    if (!mxq_reserve_space(run->out_fd, plan->out.nbytes, output, fault))
        return false;
    if (ftruncate(run->out_fd, (off_t)plan->out.nbytes) != 0) {
        mxq_set_fault(fault, output, errno, "cannot set its size");
        return false;
    }
    return mxq_write_gguf_header(plan->source, run->in_fd, run->in_name, &plan->out, run->out_fd, output, fault) &&
           run_tasks(run, fault);
}

bool mxq_run_gguf(int fd, const char *path, const struct mxq_gguf_plan *plan,
                  const struct mxq_gguf_run_options *options, struct mxq_fault *fault)
{
    struct run run = {.plan = plan, .options = options, .in_fd = fd, .in_name = path};
    struct mxq_outset *outset = mxq_create_outset(&options->outset);
    bool good;

    if (outset == NULL) {
        mxq_set_fault(fault, options->output, ENOMEM, "cannot write");
        return false;
    }
    run.out_fd = mxq_add_outfile(outset, options->output, fault);
    good = run.out_fd >= 0 && fill_file(&run, fault) && mxq_commit_outset(outset, fault);
    mxq_discard_outset(outset);
    return good;
}
