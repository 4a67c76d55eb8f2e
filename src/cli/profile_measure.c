/* profile_measure.c - what a matrix loses under several profiles: going over it, panel by panel, on several threads */
#include "cli/profile_measure.h"

#include "cli/pool.h"
#include "cli/progress.h"
#include "cli/tiling.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Panels whose sums are kept until all of them are there, to be added in order whatever the threads do. */
#define BATCH 64

/* A result of a panel. */
struct made {
    uint8_t *bytes[MXQ_NUM_BUFFERS];
};

/* One thread's buffers. */
struct worker {
    uint8_t *elements;
    struct made reference;
    struct made candidate;
};

struct run {
    struct mxq_profile_measuring *measuring;
    struct mxq_tiling tiling;
    struct mxq_plan reference;
    struct mxq_plan *plans; /* of each profile */
    struct worker *workers;
    unsigned nworkers;
    struct mxq_profile_measurement *parts; /* of each panel of a batch, those of each profile */
    uint64_t first;
    uint64_t ndone;
};

/* ---- differences */

static struct mxq_share find_share(const struct run *run, const struct mxq_panel *panel, enum mxq_buffer buffer)
{
    struct mxq_share share;

    if (mxq_locate_share(&run->reference, panel, buffer, &share) != MXQ_OK)
        memset(&share, 0, sizeof(share));
    return share;
}

static enum mxq_buffer data_of(enum mxq_direction direction)
{
    return direction == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
}

static enum mxq_buffer scale_of(enum mxq_direction direction)
{
    return direction == MXQ_ROWWISE ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
}

/* An odd row ends with half a byte that is no code. */
static uint64_t count_codes(const uint8_t *a, const uint8_t *b, uint64_t ncodes)
{
    uint64_t different = 0;

    for (uint64_t i = 0; i < ncodes / 2; i++)
        different += (uint64_t)((a[i] & 15) != (b[i] & 15)) + (uint64_t)(a[i] >> 4 != b[i] >> 4);
    if (ncodes % 2 != 0)
        different += (a[ncodes / 2] & 15) != (b[ncodes / 2] & 15);
    return different;
}

static void count_different(const struct run *run, const struct worker *worker, const struct mxq_panel *panel,
                            struct mxq_profile_measurement *part)
{
    const enum mxq_direction direction = run->measuring->direction;
    const enum mxq_buffer data = data_of(direction);
    const enum mxq_buffer scale = scale_of(direction);
    const struct mxq_share codes = find_share(run, panel, data);
    const struct mxq_share scales = find_share(run, panel, scale);
    const uint64_t ncodes = direction == MXQ_ROWWISE ? panel->cols : panel->rows;

    for (uint64_t row = 0; row < codes.nruns; row++)
        part->different_codes += count_codes(worker->reference.bytes[data] + row * codes.run_nbytes,
                                             worker->candidate.bytes[data] + row * codes.run_nbytes, ncodes);
    for (uint64_t i = 0; i < scales.nruns * scales.run_nbytes; i++)
        part->different_scales += worker->reference.bytes[scale][i] != worker->candidate.bytes[scale][i];
}

/* ---- one panel */

static void locate(const struct run *run, const struct mxq_panel *panel, const struct made *made,
                   struct mxq_destination out[MXQ_NUM_BUFFERS])
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        out[b] = (struct mxq_destination){made->bytes[b], find_share(run, panel, b).run_nbytes};
}

static enum mxq_status measure_panel(const struct run *run, const struct worker *worker, const struct mxq_panel *panel,
                                     struct mxq_profile_measurement *parts)
{
    const struct mxq_profile_measuring *m = run->measuring;
    const struct mxq_matrix matrix = {worker->elements, m->tensor->dtype, panel->rows, panel->cols, panel->cols};
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    enum mxq_status status;

    locate(run, panel, &worker->reference, out);
    status = mxq_quantize_panel(&run->reference, m->kernel, panel, &matrix, out, NULL);
    locate(run, panel, &worker->candidate, out);
    for (unsigned i = 0; i < m->nmeasurements && status == MXQ_OK; i++) {
        status = mxq_quantize_panel(&run->plans[i], m->kernel, panel, &matrix, out, NULL);
        if (status == MXQ_OK)
            status = mxq_measure_panel(&run->plans[i], panel, &matrix, out, m->direction, &parts[i].distortion);
        if (status == MXQ_OK)
            count_different(run, worker, panel, &parts[i]);
    }
    return status;
}

static bool run_task(void *context, unsigned number, uint64_t task, struct mxq_fault *fault)
{
    const struct run *run = context;
    const struct mxq_profile_measuring *m = run->measuring;
    const struct worker *worker = &run->workers[number];
    const struct mxq_panel panel = mxq_get_tile(&run->tiling, run->first + task);
    enum mxq_status status;

    if (!mxq_read_panel(m->source, m->cols, &panel, worker->elements, NULL, fault))
        return false;
    status = measure_panel(run, worker, &panel, run->parts + task * m->nmeasurements);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "cannot quantize: %s", mxq_describe_status(status));
    return status == MXQ_OK;
}

static void note_task(void *context, unsigned number, uint64_t task)
{
    struct run *run = context;

    (void)number;
    (void)task;
    run->ndone++;
    mxq_update_progress(run->measuring->tensor->nbytes / run->tiling.ntiles * run->ndone);
}

/* ---- all panels */

static void add_parts(struct run *run, uint64_t npanels)
{
    struct mxq_profile_measuring *m = run->measuring;

    for (uint64_t panel = 0; panel < npanels; panel++) {
        for (unsigned i = 0; i < m->nmeasurements; i++) {
            const struct mxq_profile_measurement *part = &run->parts[panel * m->nmeasurements + i];
            mxq_add_distortion(&m->measurements[i].distortion, &part->distortion);
            m->measurements[i].different_codes += part->different_codes;
            m->measurements[i].different_scales += part->different_scales;
        }
    }
}

static bool run_batches(struct run *run, struct mxq_fault *fault)
{
    const size_t part_nbytes = run->measuring->nmeasurements * sizeof(*run->parts);
    struct mxq_tasks tasks = {.nthreads = run->nworkers, .context = run, .run = run_task, .done = note_task};
    bool good = true;

    for (run->first = 0; run->first < run->tiling.ntiles && good; run->first += tasks.ntasks) {
        const uint64_t left = run->tiling.ntiles - run->first;
        tasks.ntasks = left < BATCH ? left : BATCH;
        memset(run->parts, 0, tasks.ntasks * part_nbytes);
        good = mxq_run_tasks(&tasks, fault);
        if (good)
            add_parts(run, tasks.ntasks);
    }
    return good;
}

/* ---- plans and memory */

static enum mxq_status make_plan(const struct mxq_profile_measuring *m, const struct mxq_profile *profile,
                                 struct mxq_plan *plan)
{
    struct mxq_options options;

    mxq_init_options(&options, profile);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        options.wanted[d] = d == (unsigned)m->direction;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = MXQ_LINEAR;
    return mxq_make_plan(plan, &options, m->rows, m->cols);
}

static bool make_plans(struct run *run, struct mxq_fault *fault)
{
    const struct mxq_profile_measuring *m = run->measuring;
    enum mxq_status status = make_plan(m, m->reference, &run->reference);

    for (unsigned i = 0; i < m->nmeasurements && status == MXQ_OK; i++)
        status = make_plan(m, m->measurements[i].profile, &run->plans[i]);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "cannot quantize: %s", mxq_describe_status(status));
    return status == MXQ_OK;
}

static bool allocate_made(const struct run *run, const struct mxq_panel *panel, struct made *made)
{
    bool good = true;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        const struct mxq_share share = find_share(run, panel, b);
        if (share.nruns != 0)
            good = (made->bytes[b] = malloc(share.nruns * share.run_nbytes)) != NULL;
    }
    return good;
}

/* The first panel is the largest. */
static bool allocate_workers(struct run *run)
{
    const struct mxq_panel panel = mxq_get_tile(&run->tiling, 0);
    bool good = true;

    for (unsigned i = 0; i < run->nworkers && good; i++) {
        struct worker *worker = &run->workers[i];
        worker->elements = malloc(panel.rows * panel.cols * mxq_dtype_nbytes(run->measuring->tensor->dtype));
        good = worker->elements != NULL && allocate_made(run, &panel, &worker->reference) &&
               allocate_made(run, &panel, &worker->candidate);
    }
    return good;
}

static bool allocate(struct run *run, struct mxq_fault *fault)
{
    const struct mxq_profile_measuring *m = run->measuring;

    run->plans = calloc(m->nmeasurements, sizeof(*run->plans));
    run->parts = calloc((size_t)BATCH * m->nmeasurements, sizeof(*run->parts));
    run->workers = calloc(run->nworkers, sizeof(*run->workers));
    if (run->plans == NULL || run->parts == NULL || run->workers == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot measure");
        return false;
    }
    return true;
}

static void release(struct run *run)
{
    for (unsigned i = 0; i < run->nworkers && run->workers != NULL; i++) {
        free(run->workers[i].elements);
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
            free(run->workers[i].reference.bytes[b]);
            free(run->workers[i].candidate.bytes[b]);
        }
    }
    free(run->workers);
    free(run->parts);
    free(run->plans);
}

static bool measure(struct run *run, struct mxq_fault *fault)
{
    if (!allocate(run, fault) || !make_plans(run, fault))
        return false;
    if (run->tiling.ntiles == 0)
        return true;
    if (!allocate_workers(run)) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot measure");
        return false;
    }
    return run_batches(run, fault);
}

bool mxq_measure_profiles(struct mxq_profile_measuring *measuring, struct mxq_fault *fault)
{
    struct run run;
    bool good;

    memset(&run, 0, sizeof(run));
    run.measuring = measuring;
    mxq_tile_squares(&run.tiling, measuring->rows, measuring->cols);
    run.nworkers = mxq_count_workers(measuring->nthreads, run.tiling.ntiles);
    good = mxq_spool_tensor(measuring->source, NULL, fault) && measure(&run, fault) &&
           mxq_finish_tensor(measuring->source, fault);
    release(&run);
    return good;
}
