/*
 * checkpoint_verify_source.c - making the tensors of a checkpoint again from its source, all or a sample, and comparing bytes
 *
 * It shares the kernels with what made the checkpoint, and nothing else: the values of FP8 blocks are computed one by one.
 */
#include "cli/checkpoint_remake.h"
#include "cli/pool.h"
#include "cli/progress.h"
#include "cli/tiling.h"
#include "io/checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_NBYTES ((uint64_t)4 << 20)

/* Tiles of a tensor, or pieces of one that was copied, in a sample. */
#define NSAMPLES 4

struct task {
    size_t item;
    uint64_t index; /* of the piece; of the tile, slice after slice */
};

/* What differs in one output of an item. */
struct difference {
    uint64_t ncompared;
    uint64_t ndiffering;
    uint64_t first; /* byte of the tensor; of all that differ the one with the smallest place */
    uint8_t is;
    uint8_t wanted;
};

struct worker {
    uint8_t *raw;   /* elements as the source has them */
    void *values;   /* of FP8 elements */
    float *scales;  /* of their blocks */
    uint8_t *there; /* what is there */
    uint8_t *want[MXQ_NUM_BUFFERS];
    struct difference differences[MXQ_NUM_BUFFERS]; /* of the last task */
};

struct run {
    struct mxq_verify *verify;
    struct mxq_remade_list list;
    struct task *tasks;
    uint64_t ntasks;
    struct difference (*differences)[MXQ_NUM_BUFFERS]; /* of each item */
    struct worker *workers;
    unsigned nworkers;
    uint64_t done;
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool set_no_memory(struct mxq_fault *fault)
{
    mxq_set_fault(fault, NULL, ENOMEM, "cannot verify");
    return false;
}

static const struct mxq_st_tensor *source_tensor(const struct run *run, const struct mxq_remade *item)
{
    return mxq_tensor_at(run->verify->from.checkpoint, item->from);
}

/* ---------------------------------------------------------------------------------------------- tasks */

static struct mxq_tiling tile_item(const struct mxq_remade *item)
{
    struct mxq_tiling tiling;

    mxq_tile_rows(&tiling, item->plan.rows, item->plan.cols);
    return tiling;
}

static uint64_t count_tasks(const struct run *run, const struct mxq_remade *item)
{
    if (item->fate == MXQ_FATE_COPIED)
        return (source_tensor(run, item)->nbytes + PIECE_NBYTES - 1) / PIECE_NBYTES;
    return item->nslices * tile_item(item).ntiles;
}

/* The first, the last, and others at places that the tensor's name gives. */
static uint64_t choose_task(const char *name, uint64_t total, uint64_t sample)
{
    const uint32_t salt[2] = {mxq_update_crc(0, name, strlen(name)), (uint32_t)sample};

    if (sample == 0)
        return 0;
    return sample == 1 ? total - 1 : 1 + mxq_update_crc(0, salt, sizeof(salt)) % (total - 2);
}

static bool add_tasks(struct run *run, size_t index)
{
    const struct mxq_remade *item = &run->list.items[index];
    const uint64_t total = count_tasks(run, item);
    const bool all = run->verify->full || total <= NSAMPLES;
    const uint64_t wanted = all ? total : NSAMPLES;
    struct task *grown;

    if (wanted == 0)
        return true;
    grown = realloc(run->tasks, (run->ntasks + wanted) * sizeof(*grown));
    if (grown == NULL)
        return false;
    run->tasks = grown;
    for (uint64_t i = 0; i < wanted; i++)
        run->tasks[run->ntasks++] = (struct task){index, all ? i : choose_task(item->from->name, total, i)};
    return true;
}

static bool make_tasks(struct run *run, struct mxq_fault *fault)
{
    run->differences = calloc(run->list.nitems + 1, sizeof(*run->differences));
    if (run->differences == NULL)
        return set_no_memory(fault);
    for (size_t i = 0; i < run->list.nitems; i++)
        if (!add_tasks(run, i))
            return set_no_memory(fault);
    return true;
}

/* ---------------------------------------------------------------------------------------------- memory */

/* The largest that any task needs. */
struct sizes {
    uint64_t raw;
    uint64_t values;
    uint64_t scales;
    uint64_t there;
    uint64_t want[MXQ_NUM_BUFFERS];
};

static uint64_t count_scale_values(const struct mxq_remade *item, const struct mxq_panel *panel)
{
    const uint64_t across = (item->plan.cols + item->block_cols - 1) / item->block_cols;

    return ((panel->row0 + panel->rows - 1) / item->block_rows - panel->row0 / item->block_rows + 1) * across;
}

/* The first tile is the largest; its rows may lie in as many rows of blocks as fit, and one more. */
static void add_sizes(const struct run *run, const struct mxq_remade *item, struct sizes *sizes)
{
    const struct mxq_tiling tiling = tile_item(item);
    struct mxq_panel panel = mxq_get_tile(&tiling, 0);
    const uint64_t nelems = panel.rows * panel.cols;
    struct mxq_share share;

    sizes->raw = larger(sizes->raw, nelems * (mxq_st_dtype_nbits(source_tensor(run, item)->dtype) / 8));
    if (item->fate == MXQ_FATE_WIDENED) {
        sizes->there = larger(sizes->there, 2 * nelems);
        sizes->want[0] = larger(sizes->want[0], 2 * nelems);
    }
    if (item->scales != NULL) {
        sizes->values = larger(sizes->values, nelems * sizeof(float));
        panel.row0 = item->block_rows - 1;
        sizes->scales = larger(sizes->scales, count_scale_values(item, &panel));
        panel.row0 = 0;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        if (item->to[b] == NULL || item->fate != MXQ_FATE_QUANTIZED)
            continue;
        mxq_locate_share(&item->plan, &panel, b, &share);
        sizes->want[b] = larger(sizes->want[b], share.nruns * share.run_nbytes);
        sizes->there = larger(sizes->there, share.nruns * share.run_nbytes);
    }
}

static bool allocate_worker(struct worker *worker, const struct sizes *sizes)
{
    bool good = true;

    worker->raw = malloc(sizes->raw + 1);
    worker->values = malloc(sizes->values + 1);
    worker->scales = malloc(sizes->scales * sizeof(float) + 1);
    worker->there = malloc(sizes->there + 1);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        good = (worker->want[b] = malloc(sizes->want[b] + 1)) != NULL && good;
    return good && worker->raw != NULL && worker->values != NULL && worker->scales != NULL && worker->there != NULL;
}

static bool allocate_workers(struct run *run, struct mxq_fault *fault)
{
    struct sizes sizes = {.raw = PIECE_NBYTES, .there = PIECE_NBYTES};

    for (size_t i = 0; i < run->list.nitems; i++)
        if (run->list.items[i].fate != MXQ_FATE_COPIED && count_tasks(run, &run->list.items[i]) != 0)
            add_sizes(run, &run->list.items[i], &sizes);
    run->nworkers = mxq_count_workers(run->verify->nthreads, run->ntasks);
    run->workers = calloc(run->nworkers, sizeof(*run->workers));
    if (run->workers == NULL)
        return set_no_memory(fault);
    for (unsigned i = 0; i < run->nworkers; i++)
        if (!allocate_worker(&run->workers[i], &sizes))
            return set_no_memory(fault);
    return true;
}

static void free_run(struct run *run)
{
    for (unsigned i = 0; i < run->nworkers && run->workers != NULL; i++) {
        free(run->workers[i].raw);
        free(run->workers[i].values);
        free(run->workers[i].scales);
        free(run->workers[i].there);
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            free(run->workers[i].want[b]);
    }
    free(run->workers);
    free(run->tasks);
    free(run->differences);
    mxq_free_remade_list(&run->list);
}

/* ---------------------------------------------------------------------------------------------- comparing */

/* Bytes of a tensor from place on: what is there, and what must be. */
static void compare_bytes(struct difference *difference, uint64_t place, const uint8_t *there, const uint8_t *want,
                          uint64_t nbytes)
{
    difference->ncompared += nbytes;
    if (memcmp(there, want, nbytes) == 0)
        return;
    for (uint64_t i = 0; i < nbytes; i++) {
        if (there[i] == want[i])
            continue;
        if (difference->ndiffering == 0 || place + i < difference->first) {
            difference->first = place + i;
            difference->is = there[i];
            difference->wanted = want[i];
        }
        difference->ndiffering++;
    }
}

static void merge_difference(struct difference *sum, const struct difference *part)
{
    if (part->ndiffering != 0 && (sum->ndiffering == 0 || part->first < sum->first)) {
        sum->first = part->first;
        sum->is = part->is;
        sum->wanted = part->wanted;
    }
    sum->ncompared += part->ncompared;
    sum->ndiffering += part->ndiffering;
}

static bool compare_piece(struct run *run, const struct mxq_remade *item, uint64_t index, struct worker *worker,
                          struct mxq_fault *fault)
{
    const struct mxq_checkpoint_side *made = &run->verify->made, *from = &run->verify->from;
    const uint64_t offset = index * PIECE_NBYTES;
    const uint64_t nbytes = smaller(PIECE_NBYTES, source_tensor(run, item)->nbytes - offset);

    if (!mxq_read_tensor(made->checkpoint, made->fds, item->to[0], offset, nbytes, worker->there, fault) ||
        !mxq_read_tensor(from->checkpoint, from->fds, item->from, offset, nbytes, worker->raw, fault))
        return false;
    compare_bytes(&worker->differences[0], offset, worker->there, worker->raw, nbytes);
    return true;
}

/* ---------------------------------------------------------------------------------------------- values */

/* A panel of a slice of a matrix of rows x cols, without gaps. */
static bool read_panel(const struct mxq_checkpoint_side *side, const struct mxq_checkpoint_entry *entry,
                       const struct mxq_plan *plan, uint64_t slice, const struct mxq_panel *panel, unsigned elem_nbytes,
                       uint8_t *bytes, struct mxq_fault *fault)
{
    const uint64_t start = slice * plan->rows * plan->cols;
    const bool whole_rows = panel->cols == plan->cols;
    const uint64_t nruns = whole_rows ? 1 : panel->rows;
    const uint64_t run_nbytes = (whole_rows ? panel->rows : 1) * panel->cols * elem_nbytes;

    for (uint64_t i = 0; i < nruns; i++) {
        const uint64_t first = start + (panel->row0 + i) * plan->cols + panel->col0;
        if (!mxq_read_tensor(side->checkpoint, side->fds, entry, first * elem_nbytes, run_nbytes,
                             bytes + i * run_nbytes, fault))
            return false;
    }
    return true;
}

/* The scales of the rows of blocks that a panel touches, as FP32. */
static bool read_scales(const struct run *run, const struct mxq_remade *item, uint64_t slice,
                        const struct mxq_panel *panel, float *scales, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_side *from = &run->verify->from;
    const bool is_bf16 = mxq_tensor_at(from->checkpoint, item->scales)->dtype == MXQ_ST_BF16;
    const uint64_t across = (item->plan.cols + item->block_cols - 1) / item->block_cols;
    const uint64_t down = (item->plan.rows + item->block_rows - 1) / item->block_rows;
    const uint64_t n = count_scale_values(item, panel);
    const uint64_t first = (slice * down + panel->row0 / item->block_rows) * across;
    uint8_t *bytes = (uint8_t *)scales;

    if (!is_bf16)
        return mxq_read_tensor(from->checkpoint, from->fds, item->scales, first * 4, n * 4, scales, fault);
    if (!mxq_read_tensor(from->checkpoint, from->fds, item->scales, first * 2, n * 2, bytes, fault))
        return false;
    for (uint64_t i = n; i-- > 0;) { /* from the end, because they grow */
        uint16_t half;
        uint32_t bits;
        memcpy(&half, bytes + 2 * i, sizeof(half));
        bits = (uint32_t)half << 16;
        memcpy(bytes + 4 * i, &bits, sizeof(bits));
    }
    return true;
}

static float decode_e4m3(uint8_t code)
{
    const int exponent = code >> 3 & 15;
    const int fraction = code & 7;
    float value = exponent == 0 ? ldexpf((float)fraction, -9) : ldexpf((float)(8 + fraction), exponent - 10);

    if ((code & 127) == 127)
        value = NAN;
    return code & 128 ? -value : value;
}

/* A value is the FP32 product of its element and the scale of its block. */
static void apply_scales(const struct mxq_remade *item, const struct mxq_panel *panel, struct worker *worker)
{
    const uint64_t across = (item->plan.cols + item->block_cols - 1) / item->block_cols;
    const uint64_t above = panel->row0 / item->block_rows;
    float *values = worker->values;
    float elements[256];

    for (unsigned code = 0; code < 256; code++)
        elements[code] = decode_e4m3((uint8_t)code);
    for (uint64_t r = 0; r < panel->rows; r++) {
        const float *scales = worker->scales + ((panel->row0 + r) / item->block_rows - above) * across;
        for (uint64_t c = 0; c < panel->cols; c++)
            values[r * panel->cols + c] =
                elements[worker->raw[r * panel->cols + c]] * scales[(panel->col0 + c) / item->block_cols];
    }
}

/* Reads the values of a tile; *values is where they are. */
static bool read_values(const struct run *run, const struct mxq_remade *item, uint64_t slice,
                        const struct mxq_panel *panel, struct worker *worker, const void **values,
                        struct mxq_fault *fault)
{
    const unsigned elem_nbytes = mxq_st_dtype_nbits(source_tensor(run, item)->dtype) / 8;

    if (!read_panel(&run->verify->from, item->from, &item->plan, slice, panel, elem_nbytes, worker->raw, fault))
        return false;
    *values = worker->raw;
    if (item->scales == NULL)
        return true;
    *values = worker->values;
    if (!read_scales(run, item, slice, panel, worker->scales, fault))
        return false;
    apply_scales(item, panel, worker);
    return true;
}

/* ---------------------------------------------------------------------------------------------- tiles */

static bool compare_share(const struct run *run, const struct mxq_remade *item, uint64_t slice, enum mxq_buffer buffer,
                          const struct mxq_share *share, struct worker *worker, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_side *made = &run->verify->made;
    const uint64_t start = slice * item->plan.extent[buffer].nbytes + share->offset;

    for (uint64_t i = 0; i < share->nruns; i++) {
        const uint64_t place = start + i * share->pitch_nbytes;
        if (!mxq_read_tensor(made->checkpoint, made->fds, item->to[buffer], place, share->run_nbytes, worker->there,
                             fault))
            return false;
        compare_bytes(&worker->differences[buffer], place, worker->there, worker->want[buffer] + i * share->run_nbytes,
                      share->run_nbytes);
    }
    return true;
}

static bool compare_quantized(const struct run *run, const struct mxq_remade *item, uint64_t slice,
                              const struct mxq_panel *panel, const void *values, struct worker *worker,
                              struct mxq_fault *fault)
{
    const struct mxq_matrix matrix = {values, item->dtype, panel->rows, panel->cols, panel->cols};
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    struct mxq_share shares[MXQ_NUM_BUFFERS];
    enum mxq_status status;

    memset(out, 0, sizeof(out));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        if (item->to[b] == NULL)
            continue;
        mxq_locate_share(&item->plan, panel, b, &shares[b]);
        out[b] = (struct mxq_destination){worker->want[b], shares[b].run_nbytes};
    }
    status = mxq_quantize_panel(&item->plan, run->verify->kernel, panel, &matrix, out, NULL);
    if (status != MXQ_OK) {
        mxq_set_fault(fault, NULL, 0, "bug: a panel was refused: %s", mxq_describe_status(status));
        return false;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (item->to[b] != NULL && !compare_share(run, item, slice, b, &shares[b], worker, fault))
            return false;
    return true;
}

static uint16_t round_to_bf16(float value)
{
    uint32_t bits;

    if (isnan(value))
        return 0x7fc0;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static bool compare_widened(const struct run *run, const struct mxq_remade *item, uint64_t slice,
                            const struct mxq_panel *panel, struct worker *worker, struct mxq_fault *fault)
{
    const uint64_t nelems = panel->rows * panel->cols;
    const float *values = worker->values;
    uint16_t *want = (uint16_t *)(void *)worker->want[0];

    if (!read_panel(&run->verify->made, item->to[0], &item->plan, slice, panel, 2, worker->there, fault))
        return false;
    for (uint64_t i = 0; i < nelems; i++)
        want[i] = round_to_bf16(values[i]);
    for (uint64_t r = 0; r < panel->rows; r++) {
        const uint64_t first = (slice * item->plan.rows + panel->row0 + r) * item->plan.cols + panel->col0;
        compare_bytes(&worker->differences[0], 2 * first, worker->there + 2 * r * panel->cols,
                      (const uint8_t *)(want + r * panel->cols), 2 * panel->cols);
    }
    return true;
}

static bool compare_tile(struct run *run, const struct mxq_remade *item, uint64_t index, struct worker *worker,
                         struct mxq_fault *fault)
{
    const struct mxq_tiling tiling = tile_item(item);
    const uint64_t slice = index / tiling.ntiles;
    const struct mxq_panel panel = mxq_get_tile(&tiling, index % tiling.ntiles);
    const void *values;

    if (!read_values(run, item, slice, &panel, worker, &values, fault))
        return false;
    return item->fate == MXQ_FATE_QUANTIZED ? compare_quantized(run, item, slice, &panel, values, worker, fault)
                                            : compare_widened(run, item, slice, &panel, worker, fault);
}

static bool run_task(void *context, unsigned number, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = context;
    const struct task *task = &run->tasks[index];
    const struct mxq_remade *item = &run->list.items[task->item];
    struct worker *worker = &run->workers[number];

    memset(worker->differences, 0, sizeof(worker->differences));
    return item->fate == MXQ_FATE_COPIED ? compare_piece(run, item, task->index, worker, fault)
                                         : compare_tile(run, item, task->index, worker, fault);
}

static uint64_t count_values(const struct mxq_remade *item, uint64_t index)
{
    const struct mxq_tiling tiling = tile_item(item);
    const struct mxq_panel panel = mxq_get_tile(&tiling, index % tiling.ntiles);

    return panel.rows * panel.cols;
}

static void note_task(void *context, unsigned number, uint64_t index)
{
    struct run *run = context;
    const struct task *task = &run->tasks[index];
    const struct mxq_remade *item = &run->list.items[task->item];

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        merge_difference(&run->differences[task->item][b], &run->workers[number].differences[b]);
    if (item->fate == MXQ_FATE_QUANTIZED)
        run->verify->nmade += count_values(item, task->index);
    else
        run->verify->ncompared += run->workers[number].differences[0].ncompared;
    run->done++;
    mxq_update_progress(run->done);
}

/* ---------------------------------------------------------------------------------------------- telling */

/* Of the stored shape: slice, row, byte of the row. */
static void tell_difference(struct run *run, const struct mxq_remade *item, enum mxq_buffer buffer,
                            const struct difference *difference)
{
    const struct mxq_checkpoint *made = run->verify->made.checkpoint;
    const struct mxq_checkpoint_entry *to = item->to[buffer];
    const struct mxq_extent *extent = &item->plan.extent[buffer];
    char place[128];

    if (item->fate == MXQ_FATE_QUANTIZED)
        snprintf(place, sizeof(place), "slice %" PRIu64 ", row %" PRIu64 ", byte %" PRIu64,
                 difference->first / extent->nbytes, difference->first % extent->nbytes / extent->cols,
                 difference->first % extent->cols);
    else
        snprintf(place, sizeof(place), "byte %" PRIu64, difference->first);
    mxq_add_problem(run->verify,
                    "\"%s\": tensor \"%.400s\": of %" PRIu64 " bytes that were %s, %" PRIu64
                    " differ; the first (%s) is %02x, and must be %02x",
                    made->shards[to->shard].name, to->name, difference->ncompared,
                    item->fate == MXQ_FATE_COPIED ? "compared with the source" : "made again", difference->ndiffering,
                    place, difference->is, difference->wanted);
}

static void tell_all(struct run *run)
{
    struct mxq_verify *verify = run->verify;

    for (size_t i = 0; i < run->list.nitems; i++) {
        const struct mxq_remade *item = &run->list.items[i];
        if (item->fate == MXQ_FATE_QUANTIZED)
            verify->nvalues += item->nslices * item->plan.rows * item->plan.cols;
        else
            verify->ncopied += mxq_tensor_at(verify->made.checkpoint, item->to[0])->nbytes;
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            if (run->differences[i][b].ndiffering != 0)
                tell_difference(run, item, b, &run->differences[i][b]);
    }
}

bool mxq_verify_source(struct mxq_verify *verify, struct mxq_fault *fault)
{
    struct run run = {.verify = verify};
    bool good;

    good = mxq_list_remade(verify, &run.list, fault) && make_tasks(&run, fault) && allocate_workers(&run, fault);
    if (good && run.ntasks != 0) {
        const struct mxq_tasks tasks = {run.ntasks, run.nworkers, &run, NULL, run_task, note_task};
        mxq_start_progress("making again", run.ntasks);
        good = mxq_run_tasks(&tasks, fault);
        mxq_end_progress();
    }
    if (good)
        tell_all(&run);
    free_run(&run);
    return good;
}
