/*
 * checkpoint_tasks.c - one shard as tasks for threads: which parts of which tensors, and doing one
 *
 * The source is read with pread(), not mapped: a file that is truncated meanwhile is then an error and not a signal, and what
 * was read does not stay in the process's memory, which is limited. The copy costs little, because a tile of 2 MiB stays in
 * the caches until it has been checksummed, quantized and measured.
 */
#include "cli/checkpoint_tasks.h"

#include "cli/stage.h"
#include "io/checksum.h"
#include "io/fp8_blocks.h"
#include "io/outfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of an ordinary tile, and of the largest with full rows. */
#define TILE_NBYTES ((uint64_t)2 << 20)
#define WIDE_TILE_NBYTES ((uint64_t)8 << 20)

/* Of bytes that are only copied. */
#define CHUNK_NBYTES ((uint64_t)4 << 20)

/* What a thread's buffer for elements holds even if no tensor is as large: others use it, too. */
#define LEAST_NBYTES ((uint64_t)1 << 20)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t divide_up(uint64_t n, uint64_t by)
{
    return n / by + (n % by != 0);
}

static uint64_t round_down_panel(uint64_t n)
{
    return n < MXQ_PANEL_ALIGN ? MXQ_PANEL_ALIGN : n / MXQ_PANEL_ALIGN * MXQ_PANEL_ALIGN;
}

/* Whether values are computed, and not only bytes moved. */
static bool has_values(const struct mxq_plan_tensor *planned)
{
    return planned->action == MXQ_ACTION_QUANTIZE || planned->action == MXQ_ACTION_WIDEN;
}

static enum mxq_dtype value_dtype(const struct mxq_plan_tensor *planned)
{
    if (planned->kind == MXQ_VALUES_PLAIN)
        return planned->dtype;
    return planned->action == MXQ_ACTION_WIDEN ? MXQ_BF16 : MXQ_F32;
}

/* Bytes of an element in the source. */
static uint64_t source_elem_nbytes(const struct mxq_plan_tensor *planned)
{
    return planned->kind == MXQ_VALUES_FP8_BLOCKS ? 1 : mxq_dtype_nbytes(planned->dtype);
}

/* ---------------------------------------------------------------------------------------------- dividing */

static bool share_is_contiguous(const struct mxq_share *share)
{
    return share->nruns < 2 || share->run_nbytes == share->pitch_nbytes;
}

static uint64_t share_nbytes(const struct mxq_share *share)
{
    return share->nruns * share->run_nbytes;
}

/* What the buffers get of a panel, and whether each gets it in one piece. */
static uint64_t sum_shares(const struct mxq_plan *matrix, const struct mxq_panel *panel, bool *contiguous)
{
    uint64_t sum = 0;

    *contiguous = true;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share = {0, 0, 0, 0};
        mxq_locate_share(matrix, panel, b, &share);
        sum += share_nbytes(&share);
        *contiguous = *contiguous && share_is_contiguous(&share);
    }
    return sum;
}

/* Full rows where 256 of them are not too much; else a part of the width. */
static void choose_tile(struct mxq_tensor_tasks *t, uint64_t rows, uint64_t cols)
{
    const uint64_t elem = mxq_dtype_nbytes(value_dtype(t->planned));
    const uint64_t least_rows = smaller(rows, MXQ_PANEL_ALIGN);

    if (cols <= WIDE_TILE_NBYTES / elem / least_rows) {
        t->tile_cols = cols;
        t->tile_rows = smaller(round_down_panel(TILE_NBYTES / elem / cols), rows);
    } else {
        t->tile_cols = smaller(round_down_panel(TILE_NBYTES / elem / least_rows), cols);
        t->tile_rows = least_rows;
    }
}

/* Tiles of which a buffer gets many short runs are gathered: the whole slice, or as much of it as there is room for. */
static void choose_stripe(struct mxq_tensor_tasks *t, uint64_t stripe_nbytes)
{
    const struct mxq_plan *matrix = &t->planned->matrix;
    struct mxq_panel panel = {0, 0, t->tile_rows, t->tile_cols};
    bool contiguous;

    t->stripe_rows = t->tile_rows;
    t->stripe_cols = t->tile_cols;
    sum_shares(matrix, &panel, &contiguous);
    if (contiguous)
        return;
    panel.cols = matrix->cols;
    if (sum_shares(matrix, &panel, &contiguous) > stripe_nbytes)
        return;
    t->stripe_cols = matrix->cols;
    if (contiguous)
        return;
    while (panel.rows < matrix->rows) {
        panel.rows = smaller(panel.rows + t->tile_rows, matrix->rows);
        if (sum_shares(matrix, &panel, &contiguous) > stripe_nbytes)
            return;
        t->stripe_rows = panel.rows;
    }
}

static void divide_matrix(struct mxq_tensor_tasks *t, uint64_t stripe_nbytes)
{
    const struct mxq_plan *matrix = &t->planned->matrix;

    if (matrix->rows == 0 || matrix->cols == 0)
        return;
    choose_tile(t, matrix->rows, matrix->cols);
    t->stripe_rows = t->tile_rows;
    t->stripe_cols = t->tile_cols;
    if (t->planned->action == MXQ_ACTION_QUANTIZE)
        choose_stripe(t, stripe_nbytes);
    t->nacross = divide_up(matrix->cols, t->stripe_cols);
    t->ndown = divide_up(matrix->rows, t->stripe_rows);
    t->ntasks = t->planned->nslices * t->ndown * t->nacross;
}

/* Tasks follow each other in a buffer when each gives it one piece, and there is one across. */
static void find_order(struct mxq_tensor_tasks *t)
{
    const struct mxq_panel stripe = {0, 0, t->stripe_rows, t->stripe_cols};

    t->source_in_order = t->tile_cols == t->planned->matrix.cols;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share = {0, 0, 0, 0};
        if (t->planned->action == MXQ_ACTION_QUANTIZE)
            mxq_locate_share(&t->planned->matrix, &stripe, b, &share);
        t->output_in_order[b] = t->nacross <= 1 && share_is_contiguous(&share) &&
                                (t->ndown <= 1 || t->stripe_cols == t->planned->matrix.cols);
    }
}

static void divide_tensor(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                          const struct mxq_plan_tensor *planned, uint64_t stripe_nbytes, struct mxq_tensor_tasks *t)
{
    const struct mxq_st_header *outputs = plan->shards[planned->shard].header;

    memset(t, 0, sizeof(*t));
    t->planned = planned;
    t->source = &checkpoint->shards[planned->shard].header->tensors[planned->tensor];
    if (planned->action == MXQ_ACTION_QUANTIZE) {
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            t->output[b] = planned->output[b] != MXQ_NO_TENSOR ? &outputs->tensors[planned->output[b]] : NULL;
    } else if (planned->action != MXQ_ACTION_DROP) {
        t->output[0] = &outputs->tensors[planned->copy];
    }
    if (has_values(planned)) {
        divide_matrix(t, stripe_nbytes);
        find_order(t);
        return;
    }
    t->ntasks = divide_up(t->source->nbytes, CHUNK_NBYTES);
    t->source_in_order = true;
    t->output_in_order[0] = true;
}

bool mxq_list_tasks(struct mxq_shard_tasks *tasks, uint64_t stripe_nbytes, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_plan *plan = tasks->plan;
    size_t n = 0;

    tasks->ntasks = 0;
    tasks->ntensors = 0;
    tasks->tensors = calloc(plan->ntensors + 1, sizeof(*tasks->tensors));
    if (tasks->tensors == NULL) {
        mxq_set_fault(fault, tasks->output_name, ENOMEM, "cannot make");
        return false;
    }
    for (size_t i = 0; i < plan->ntensors; i++) {
        if (plan->tensors[i].shard != tasks->shard)
            continue;
        divide_tensor(tasks->checkpoint, plan, &plan->tensors[i], stripe_nbytes, &tasks->tensors[n]);
        tasks->tensors[n].first_task = tasks->ntasks;
        tasks->ntasks += tasks->tensors[n].ntasks;
        n++;
    }
    tasks->ntensors = n;
    return true;
}

void mxq_free_tasks(struct mxq_shard_tasks *tasks)
{
    free(tasks->tensors);
    tasks->tensors = NULL;
}

const struct mxq_tensor_tasks *mxq_find_tensor_of_task(const struct mxq_shard_tasks *tasks, uint64_t task)
{
    size_t low = 0;
    size_t high = tasks->ntensors;

    /* The last that begins at or before the task; those without tasks come before it. */
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (tasks->tensors[middle].first_task <= task)
            low = middle;
        else
            high = middle;
    }
    return &tasks->tensors[low];
}

/* ---------------------------------------------------------------------------------------------- buffers */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void fit_tensor(const struct mxq_tensor_tasks *t, struct mxq_buffer_sizes *sizes)
{
    const struct mxq_plan_tensor *planned = t->planned;
    const struct mxq_panel stripe = {0, 0, t->stripe_rows, t->stripe_cols};
    const uint64_t nelems = t->tile_rows * t->tile_cols;
    bool contiguous;

    if (!has_values(planned)) {
        sizes->elements_nbytes = larger(sizes->elements_nbytes, smaller(CHUNK_NBYTES, t->source->nbytes));
        return;
    }
    sizes->elements_nbytes = larger(sizes->elements_nbytes, nelems * mxq_dtype_nbytes(value_dtype(planned)));
    if (t->ntasks != 0 && planned->action == MXQ_ACTION_QUANTIZE)
        sizes->stripe_nbytes = larger(sizes->stripe_nbytes, sum_shares(&planned->matrix, &stripe, &contiguous));
    if (t->ntasks != 0 && planned->kind == MXQ_VALUES_FP8_BLOCKS) {
        sizes->codes_nbytes = larger(sizes->codes_nbytes, nelems);
        sizes->nscales = larger(sizes->nscales, (t->tile_rows / planned->block_rows + 2) *
                                                    divide_up(planned->matrix.cols, planned->block_cols));
    }
}

void mxq_size_task_buffers(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                           uint64_t stripe_nbytes, struct mxq_buffer_sizes *sizes)
{
    struct mxq_tensor_tasks t;

    memset(sizes, 0, sizeof(*sizes));
    sizes->elements_nbytes = LEAST_NBYTES;
    for (size_t i = 0; i < plan->ntensors; i++) {
        divide_tensor(checkpoint, plan, &plan->tensors[i], stripe_nbytes, &t);
        fit_tensor(&t, sizes);
    }
}

uint64_t mxq_sum_buffer_sizes(const struct mxq_buffer_sizes *sizes)
{
    return sizes->elements_nbytes + sizes->codes_nbytes + sizes->stripe_nbytes + sizes->nscales * sizeof(float);
}

bool mxq_allocate_task_buffers(const struct mxq_buffer_sizes *sizes, struct mxq_task_buffers *buffers)
{
    buffers->elements = mxq_allocate_large(sizes->elements_nbytes);
    buffers->codes = mxq_allocate_large(sizes->codes_nbytes);
    buffers->stripe = mxq_allocate_large(sizes->stripe_nbytes);
    buffers->scales = malloc((sizes->nscales + 1) * sizeof(float));
    return buffers->elements != NULL && buffers->codes != NULL && buffers->stripe != NULL && buffers->scales != NULL;
}

void mxq_free_task_buffers(struct mxq_task_buffers *buffers)
{
    free(buffers->elements);
    free(buffers->codes);
    free(buffers->stripe);
    free(buffers->scales);
    memset(buffers, 0, sizeof(*buffers));
}

/* ---------------------------------------------------------------------------------------------- reading */

/* A part of a tensor on its way: what a function below works on. */
struct job {
    const struct mxq_shard_tasks *tasks;
    const struct mxq_task_buffers *buffers;
    const struct mxq_tensor_tasks *t;
    uint64_t slice;
    struct mxq_panel stripe;
    struct mxq_task_outcome *outcome;
    struct mxq_fault *fault;
};

static const char *source_name(const struct mxq_shard_tasks *tasks, size_t shard)
{
    return tasks->checkpoint->shards[shard].name;
}

static bool read_source(const struct job *job, void *bytes, uint64_t nbytes, uint64_t offset)
{
    const size_t shard = job->t->planned->shard;

    return mxq_pread_all(job->tasks->source_fds[shard], bytes, nbytes, offset, source_name(job->tasks, shard),
                         job->fault);
}

/* The elements of a tile as they are stored. */
static bool read_elements(const struct job *job, const struct mxq_panel *tile, uint8_t *bytes)
{
    const struct mxq_plan *matrix = &job->t->planned->matrix;
    const uint64_t elem = source_elem_nbytes(job->t->planned);
    const uint64_t row_nbytes = tile->cols * elem;
    uint64_t offset =
        job->t->source->offset + ((job->slice * matrix->rows + tile->row0) * matrix->cols + tile->col0) * elem;

    if (tile->cols == matrix->cols) {
        if (!read_source(job, bytes, tile->rows * row_nbytes, offset))
            return false;
        job->outcome->source_crc = mxq_update_crc(job->outcome->source_crc, bytes, tile->rows * row_nbytes);
    } else {
        for (uint64_t r = 0; r < tile->rows; r++, offset += matrix->cols * elem)
            if (!read_source(job, bytes + r * row_nbytes, row_nbytes, offset))
                return false;
    }
    job->outcome->source_nbytes += tile->rows * row_nbytes;
    return true;
}

/* The scales of the rows of blocks that a tile touches. BF16 ones are read into the same place and widened from the end. */
static bool read_scales(const struct job *job, const struct mxq_panel *tile)
{
    const struct mxq_plan_tensor *planned = job->t->planned;
    const struct mxq_st_tensor *scales =
        &job->tasks->checkpoint->shards[planned->scale_shard].header->tensors[planned->scale_tensor];
    const uint64_t stride = divide_up(planned->matrix.cols, planned->block_cols);
    const uint64_t first = tile->row0 / planned->block_rows;
    const uint64_t n = ((tile->row0 + tile->rows - 1) / planned->block_rows - first + 1) * stride;
    const uint64_t elem = scales->dtype == MXQ_ST_F32 ? 4 : 2;
    const uint64_t before = (job->slice * divide_up(planned->matrix.rows, planned->block_rows) + first) * stride;
    float *values = job->buffers->scales;
    const uint8_t *narrow = (const uint8_t *)values;

    if (!mxq_pread_all(job->tasks->source_fds[planned->scale_shard], values, n * elem, scales->offset + before * elem,
                       source_name(job->tasks, planned->scale_shard), job->fault))
        return false;
    for (uint64_t i = elem == 2 ? n : 0; i-- > 0;) {
        const uint32_t bits = (uint32_t)(narrow[2 * i] | narrow[2 * i + 1] << 8) << 16;
        memcpy(&values[i], &bits, sizeof(bits));
    }
    return true;
}

/* The values of a tile, in buffers->elements. */
static bool read_tile(const struct job *job, const struct mxq_panel *tile)
{
    const struct mxq_plan_tensor *planned = job->t->planned;
    struct mxq_fp8_panel fp8;

    if (planned->kind == MXQ_VALUES_PLAIN)
        return read_elements(job, tile, job->buffers->elements);
    if (!read_elements(job, tile, job->buffers->codes) || !read_scales(job, tile))
        return false;
    fp8.codes = job->buffers->codes;
    fp8.panel = *tile;
    fp8.block_rows = planned->block_rows;
    fp8.block_cols = planned->block_cols;
    fp8.scales = job->buffers->scales;
    fp8.scale_stride = divide_up(planned->matrix.cols, planned->block_cols);
    mxq_widen_fp8_panel(&fp8, value_dtype(planned), job->buffers->elements);
    return true;
}

/* The tile with this number of a stripe, row after row; false: there is none. */
static bool get_tile(const struct mxq_tensor_tasks *t, const struct mxq_panel *stripe, uint64_t number,
                     struct mxq_panel *tile)
{
    const uint64_t nacross = divide_up(stripe->cols, t->tile_cols);
    const uint64_t row = number / nacross * t->tile_rows;
    const uint64_t col = number % nacross * t->tile_cols;

    if (row >= stripe->rows)
        return false;
    tile->row0 = stripe->row0 + row;
    tile->col0 = stripe->col0 + col;
    tile->rows = smaller(t->tile_rows, stripe->rows - row);
    tile->cols = smaller(t->tile_cols, stripe->cols - col);
    return true;
}

/* ---------------------------------------------------------------------------------------------- quantizing */

static bool write_output(const struct job *job, const void *bytes, uint64_t nbytes, uint64_t offset)
{
    return mxq_pwrite_all(job->tasks->output_fd, bytes, nbytes, offset, job->tasks->output_name, job->fault);
}

/* Where the shares of a tile go in the stripe, whose runs follow each other without gaps. */
static void find_destinations(const struct job *job, const struct mxq_panel *tile,
                              struct mxq_destination out[MXQ_NUM_BUFFERS])
{
    const struct mxq_plan *matrix = &job->t->planned->matrix;
    uint8_t *next = job->buffers->stripe;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share whole = {0, 0, 0, 0};
        struct mxq_share part = {0, 0, 0, 0};
        uint64_t distance;
        mxq_locate_share(matrix, &job->stripe, b, &whole);
        mxq_locate_share(matrix, tile, b, &part);
        out[b] = (struct mxq_destination){next, whole.run_nbytes};
        if (whole.nruns == 0)
            continue;
        distance = part.offset - whole.offset;
        out[b].bytes += distance / whole.pitch_nbytes * whole.run_nbytes + distance % whole.pitch_nbytes;
        next += share_nbytes(&whole);
    }
}

static bool quantize_tile(const struct job *job, const struct mxq_panel *tile)
{
    const struct mxq_plan_tensor *planned = job->t->planned;
    const struct mxq_matrix matrix = {job->buffers->elements, value_dtype(planned), tile->rows, tile->cols, tile->cols};
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    enum mxq_status status;
    bool nonfinite = false;

    find_destinations(job, tile, out);
    status = mxq_quantize_panel(&planned->matrix, job->tasks->kernel, tile, &matrix, out, &nonfinite);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && job->tasks->measure && status == MXQ_OK; d++)
        if (planned->matrix.options.wanted[d])
            status = mxq_measure_panel(&planned->matrix, tile, &matrix, out, d, &job->outcome->distortion[d]);
    job->outcome->nonfinite |= nonfinite;
    if (status != MXQ_OK)
        mxq_set_fault(job->fault, NULL, 0, "bug: a panel was refused: %s", mxq_describe_status(status));
    return status == MXQ_OK;
}

/* In runs, where the stripe is only a part of the width. */
static bool write_share(const struct job *job, enum mxq_buffer buffer, const struct mxq_share *share,
                        const uint8_t *bytes)
{
    const uint64_t start =
        job->t->output[buffer]->offset + job->slice * job->t->planned->matrix.extent[buffer].nbytes + share->offset;

    if (share_is_contiguous(share)) {
        job->outcome->crc[buffer] = mxq_update_crc(0, bytes, share_nbytes(share));
        return write_output(job, bytes, share_nbytes(share), start);
    }
    for (uint64_t run = 0; run < share->nruns; run++)
        if (!write_output(job, bytes + run * share->run_nbytes, share->run_nbytes, start + run * share->pitch_nbytes))
            return false;
    return true;
}

static bool write_stripe(const struct job *job)
{
    const uint8_t *next = job->buffers->stripe;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share = {0, 0, 0, 0};
        mxq_locate_share(&job->t->planned->matrix, &job->stripe, b, &share);
        if (job->t->output[b] == NULL || share.nruns == 0)
            continue;
        if (!write_share(job, b, &share, next))
            return false;
        job->outcome->nbytes[b] = share_nbytes(&share);
        next += share_nbytes(&share);
    }
    return true;
}

static bool quantize_stripe(const struct job *job)
{
    struct mxq_panel tile;

    for (uint64_t i = 0; get_tile(job->t, &job->stripe, i, &tile); i++) {
        if (!read_tile(job, &tile) || !quantize_tile(job, &tile))
            return false;
        if (job->outcome->nonfinite && !job->tasks->plan->request.nonfinite_allowed)
            return true;
    }
    return write_stripe(job);
}

/* ---------------------------------------------------------------------------------------------- widening, copying */

/* A stripe is a tile here. */
static bool widen_stripe(const struct job *job)
{
    const struct mxq_panel *tile = &job->stripe;
    const uint64_t cols = job->t->planned->matrix.cols;
    const uint64_t elem = mxq_dtype_nbytes(value_dtype(job->t->planned));
    const uint64_t nbytes = tile->rows * tile->cols * elem;
    uint64_t offset = job->t->output[0]->offset +
                      ((job->slice * job->t->planned->matrix.rows + tile->row0) * cols + tile->col0) * elem;

    if (!read_tile(job, tile))
        return false;
    job->outcome->nbytes[0] = nbytes;
    if (tile->cols == cols) {
        job->outcome->crc[0] = mxq_update_crc(0, job->buffers->elements, nbytes);
        return write_output(job, job->buffers->elements, nbytes, offset);
    }
    for (uint64_t r = 0; r < tile->rows; r++, offset += cols * elem)
        if (!write_output(job, job->buffers->elements + r * tile->cols * elem, tile->cols * elem, offset))
            return false;
    return true;
}

static uint64_t chunk_nbytes(const struct mxq_tensor_tasks *t, uint64_t number)
{
    return smaller(CHUNK_NBYTES, t->source->nbytes - number * CHUNK_NBYTES);
}

/* What is dropped is read all the same, for the CRC of its shard. */
static bool copy_chunk(const struct job *job, uint64_t number)
{
    const uint64_t nbytes = chunk_nbytes(job->t, number);
    const uint64_t start = number * CHUNK_NBYTES;

    if (!read_source(job, job->buffers->elements, nbytes, job->t->source->offset + start))
        return false;
    job->outcome->source_nbytes = nbytes;
    job->outcome->source_crc = mxq_update_crc(0, job->buffers->elements, nbytes);
    if (job->t->output[0] == NULL)
        return true;
    job->outcome->nbytes[0] = nbytes;
    job->outcome->crc[0] = job->outcome->source_crc;
    return write_output(job, job->buffers->elements, nbytes, job->t->output[0]->offset + start);
}

/* ---------------------------------------------------------------------------------------------- tasks */

static struct mxq_panel find_stripe(const struct mxq_tensor_tasks *t, uint64_t number)
{
    const struct mxq_plan *matrix = &t->planned->matrix;
    struct mxq_panel stripe;

    number %= t->ndown * t->nacross;
    stripe.row0 = number / t->nacross * t->stripe_rows;
    stripe.col0 = number % t->nacross * t->stripe_cols;
    stripe.rows = smaller(t->stripe_rows, matrix->rows - stripe.row0);
    stripe.cols = smaller(t->stripe_cols, matrix->cols - stripe.col0);
    return stripe;
}

uint64_t mxq_count_task_nbytes(const struct mxq_shard_tasks *tasks, uint64_t task, uint64_t *offset)
{
    const struct mxq_tensor_tasks *t = mxq_find_tensor_of_task(tasks, task);
    const uint64_t number = task - t->first_task;
    const struct mxq_plan *matrix = &t->planned->matrix;
    uint64_t elem, slice;
    struct mxq_panel stripe;

    if (!has_values(t->planned)) {
        *offset = t->source->offset + number * CHUNK_NBYTES;
        return chunk_nbytes(t, number);
    }
    stripe = find_stripe(t, number);
    elem = source_elem_nbytes(t->planned);
    slice = number / (t->ndown * t->nacross);
    *offset = t->source->offset + ((slice * matrix->rows + stripe.row0) * matrix->cols + stripe.col0) * elem;
    return stripe.rows * stripe.cols * elem;
}

static void begin_job(struct job *job, const struct mxq_shard_tasks *tasks, const struct mxq_task_buffers *buffers,
                      const struct mxq_tensor_tasks *t, uint64_t number, struct mxq_task_outcome *outcome,
                      struct mxq_fault *fault)
{
    memset(outcome, 0, sizeof(*outcome));
    *job = (struct job){tasks, buffers, t, 0, {0, 0, 0, 0}, outcome, fault};
    if (has_values(t->planned)) {
        job->slice = number / (t->ndown * t->nacross);
        job->stripe = find_stripe(t, number);
    }
}

bool mxq_do_task(const struct mxq_shard_tasks *tasks, const struct mxq_task_buffers *buffers, uint64_t task,
                 struct mxq_task_outcome *outcome, struct mxq_fault *fault)
{
    const struct mxq_tensor_tasks *t = mxq_find_tensor_of_task(tasks, task);
    struct job job;

    begin_job(&job, tasks, buffers, t, task - t->first_task, outcome, fault);
    switch (t->planned->action) {
    case MXQ_ACTION_QUANTIZE:
        return quantize_stripe(&job);
    case MXQ_ACTION_WIDEN:
        return widen_stripe(&job);
    default:
        return copy_chunk(&job, task - t->first_task);
    }
}

bool mxq_count_nonfinite_in_tensor(const struct mxq_shard_tasks *tasks, const struct mxq_task_buffers *buffers,
                                   const struct mxq_tensor_tasks *t, uint64_t *count, uint64_t *first,
                                   struct mxq_fault *fault)
{
    const struct mxq_plan *whole = &t->planned->matrix;
    struct mxq_task_outcome outcome;
    struct mxq_panel tile;
    struct job job;

    *count = 0;
    *first = UINT64_MAX;
    for (uint64_t task = 0; task < t->ntasks; task++) {
        begin_job(&job, tasks, buffers, t, task, &outcome, fault);
        for (uint64_t i = 0; get_tile(t, &job.stripe, i, &tile); i++) {
            const struct mxq_matrix matrix = {buffers->elements, value_dtype(t->planned), tile.rows, tile.cols,
                                              tile.cols};
            uint64_t row = 0, col = 0, n;
            if (!read_tile(&job, &tile))
                return false;
            n = mxq_count_nonfinite(&matrix, &row, &col);
            *count += n;
            if (n != 0)
                *first = smaller(*first, (job.slice * whole->rows + tile.row0 + row) * whole->cols + tile.col0 + col);
        }
    }
    return true;
}
