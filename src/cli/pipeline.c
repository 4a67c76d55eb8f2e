/* pipeline.c - one tensor through the quantizer, panel by panel, on several threads */
#include "cli/pipeline.h"

#include "cli/progress.h"
#include "io/checksum.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Input bytes of an ordinary panel, and of the widest one of full rows, which streams need. */
#define PANEL_NBYTES ((uint64_t)4 << 20)
#define WIDE_PANEL_NBYTES ((uint64_t)32 << 20)

/* What one panel contributes; added up in the order of panels, so that sums do not depend on threads. */
struct outcome {
    uint32_t crc;
    uint64_t nbytes;
    bool nonfinite;
    uint64_t nnonfinite;
    uint64_t row;
    uint64_t col;
    struct mxq_distortion distortion[MXQ_NUM_DIRECTIONS];
};

/* What the threads share. Everything below lock is guarded by it. */
struct run {
    struct mxq_pipeline *pipeline;
    uint64_t high; /* rows of a panel, */
    uint64_t wide; /* and columns */
    uint64_t nacross;
    uint64_t npanels;
    bool whole_rows; /* panels are contiguous in the file */
    bool one_by_one; /* reading is in order, under the lock */
    struct outcome *outcomes;

    pthread_mutex_t lock;
    uint64_t next;
    uint64_t done_nbytes;
    bool only_count; /* a value that is not finite was found: write nothing any more */
    bool failed;
    struct mxq_fault *fault;
};

/* One thread's buffers. */
struct worker {
    struct run *run;
    uint8_t *elements;
    uint8_t *share[MXQ_NUM_BUFFERS];
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t round_down_panel(uint64_t n)
{
    return n < MXQ_PANEL_ALIGN ? MXQ_PANEL_ALIGN : n / MXQ_PANEL_ALIGN * MXQ_PANEL_ALIGN;
}

/* Full rows where 256 of them are not too much; else a part of the width. */
static void choose_panels(struct run *run)
{
    const struct mxq_plan *plan = run->pipeline->plan;
    const uint64_t elem = mxq_dtype_nbytes(run->pipeline->tensor->dtype);
    const uint64_t least_rows = smaller(plan->rows, MXQ_PANEL_ALIGN);

    run->whole_rows = plan->cols <= WIDE_PANEL_NBYTES / elem / least_rows;
    if (run->whole_rows) {
        run->wide = plan->cols;
        run->high = round_down_panel(PANEL_NBYTES / elem / plan->cols);
    } else {
        run->high = MXQ_PANEL_ALIGN;
        run->wide = round_down_panel(PANEL_NBYTES / elem / least_rows);
    }
    run->nacross = (plan->cols + run->wide - 1) / run->wide;
    run->npanels = run->nacross * ((plan->rows + run->high - 1) / run->high);
}

static struct mxq_panel find_panel(const struct run *run, uint64_t index)
{
    const struct mxq_plan *plan = run->pipeline->plan;
    struct mxq_panel panel;

    panel.row0 = index / run->nacross * run->high;
    panel.col0 = index % run->nacross * run->wide;
    panel.rows = smaller(run->high, plan->rows - panel.row0);
    panel.cols = smaller(run->wide, plan->cols - panel.col0);
    return panel;
}

/* ---- one panel */

static bool write_shares(const struct worker *worker, const struct mxq_panel *panel, struct mxq_fault *fault)
{
    const struct mxq_pipeline *pipeline = worker->run->pipeline;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        mxq_locate_share(pipeline->plan, panel, b, &share);
        if (share.nruns != 0 && mxq_result_wants(pipeline->result, b) &&
            !mxq_write_share(pipeline->result, b, &share, worker->share[b], fault))
            return false;
    }
    return true;
}

static bool quantize_panel(const struct worker *worker, const struct mxq_panel *panel, const struct mxq_matrix *matrix,
                           struct outcome *outcome, struct mxq_fault *fault)
{
    const struct mxq_pipeline *pipeline = worker->run->pipeline;
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    enum mxq_status status;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        mxq_locate_share(pipeline->plan, panel, b, &share);
        out[b] = (struct mxq_destination){worker->share[b], share.run_nbytes};
    }
    status = mxq_quantize_panel(pipeline->plan, pipeline->kernel, panel, matrix, out, &outcome->nonfinite);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && status == MXQ_OK && pipeline->measure; d++)
        if (pipeline->plan->options.wanted[d])
            status = mxq_measure_panel(pipeline->plan, panel, matrix, out, d, &outcome->distortion[d]);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "bug: a panel was refused: %s", mxq_describe_status(status));
    return status == MXQ_OK;
}

static void count_nonfinite(const struct mxq_panel *panel, const struct mxq_matrix *matrix, struct outcome *outcome)
{
    outcome->nnonfinite = mxq_count_nonfinite(matrix, &outcome->row, &outcome->col);
    outcome->row += panel->row0;
    outcome->col += panel->col0;
}

static bool process_panel(struct worker *worker, uint64_t index, bool only_count, struct mxq_fault *fault)
{
    struct run *run = worker->run;
    struct outcome *outcome = &run->outcomes[index];
    const struct mxq_panel panel = find_panel(run, index);
    const struct mxq_matrix matrix = {worker->elements, run->pipeline->tensor->dtype, panel.rows, panel.cols,
                                      panel.cols};

    if (only_count) {
        count_nonfinite(&panel, &matrix, outcome);
        return true;
    }
    if (!quantize_panel(worker, &panel, &matrix, outcome, fault))
        return false;
    if (outcome->nonfinite && run->pipeline->stop_at_nonfinite) {
        count_nonfinite(&panel, &matrix, outcome);
        return true;
    }
    return write_shares(worker, &panel, fault);
}

/* ---- threads */

static bool read_panel(struct worker *worker, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = worker->run;
    const struct mxq_panel panel = find_panel(run, index);
    struct outcome *outcome = &run->outcomes[index];

    outcome->nbytes = panel.rows * panel.cols * mxq_dtype_nbytes(run->pipeline->tensor->dtype);
    return mxq_read_panel(run->pipeline->source, run->pipeline->plan->cols, &panel, worker->elements,
                          run->whole_rows ? &outcome->crc : NULL, fault);
}

/* The lock is held. The first fault is the one that is told. */
static void note_end(struct run *run, uint64_t index, bool good, const struct mxq_fault *fault)
{
    if (!good && !run->failed) {
        run->failed = true;
        *run->fault = *fault;
    }
    if (run->outcomes[index].nonfinite && run->pipeline->stop_at_nonfinite)
        run->only_count = true;
    run->done_nbytes += run->outcomes[index].nbytes;
    mxq_update_progress(run->done_nbytes);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct run *run = worker->run;

    pthread_mutex_lock(&run->lock);
    while (!run->failed && run->next < run->npanels) {
        const uint64_t index = run->next++;
        const bool only_count = run->only_count;
        struct mxq_fault fault;
        bool good = true;
        if (run->one_by_one)
            good = read_panel(worker, index, &fault);
        pthread_mutex_unlock(&run->lock);
        if (!run->one_by_one)
            good = read_panel(worker, index, &fault);
        good = good && process_panel(worker, index, only_count, &fault);
        pthread_mutex_lock(&run->lock);
        note_end(run, index, good, &fault);
    }
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* The first panel is the largest, so its sizes do for all. */
static bool allocate_worker(struct worker *worker, struct run *run, struct mxq_fault *fault)
{
    const struct mxq_panel panel = find_panel(run, 0);
    bool good;

    worker->run = run;
    worker->elements = malloc(panel.rows * panel.cols * mxq_dtype_nbytes(run->pipeline->tensor->dtype));
    good = worker->elements != NULL;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        struct mxq_share share;
        mxq_locate_share(run->pipeline->plan, &panel, b, &share);
        if (share.nruns != 0)
            good = (worker->share[b] = malloc(share.nruns * share.run_nbytes)) != NULL;
    }
    if (!good)
        mxq_set_fault(fault, NULL, ENOMEM, "cannot quantize");
    return good;
}

static void free_workers(struct worker *workers, unsigned nworkers)
{
    for (unsigned i = 0; i < nworkers && workers != NULL; i++) {
        free(workers[i].elements);
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            free(workers[i].share[b]);
    }
    free(workers);
}

/* Runs work() on this thread and on as many others as can be had. Signals are for this one, which owns the outset. */
static void run_workers(struct worker *workers, unsigned nworkers)
{
    pthread_t *threads = calloc(nworkers, sizeof(*threads));
    unsigned nstarted = 0;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (threads != NULL && nstarted + 1 < nworkers &&
           pthread_create(&threads[nstarted], NULL, work, &workers[nstarted + 1]) == 0)
        nstarted++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    work(&workers[0]);
    for (unsigned i = 0; i < nstarted; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

static bool run_threads(struct run *run)
{
    const unsigned nworkers = (unsigned)smaller(run->pipeline->nthreads, run->npanels);
    struct worker *workers = calloc(nworkers, sizeof(*workers));
    bool good = workers != NULL;

    if (!good)
        mxq_set_fault(run->fault, NULL, ENOMEM, "cannot quantize");
    for (unsigned i = 0; i < nworkers && good; i++)
        good = allocate_worker(&workers[i], run, run->fault);
    if (good)
        run_workers(workers, nworkers);
    free_workers(workers, nworkers);
    return good && !run->failed;
}

/* ---- the sum */

static void add_distortion(struct mxq_distortion *sum, const struct mxq_distortion *part)
{
    sum->nelems += part->nelems;
    sum->nsaturated += part->nsaturated;
    sum->signal += part->signal;
    sum->noise += part->noise;
    sum->decoded += part->decoded;
    sum->product += part->product;
    if (!(part->largest <= sum->largest))
        sum->largest = part->largest;
}

static void add_nonfinite(struct mxq_pipeline *pipeline, const struct outcome *outcome)
{
    const bool first = pipeline->nnonfinite == 0 || outcome->row < pipeline->nonfinite_row ||
                       (outcome->row == pipeline->nonfinite_row && outcome->col < pipeline->nonfinite_col);

    pipeline->nonfinite |= outcome->nonfinite || outcome->nnonfinite != 0;
    if (outcome->nnonfinite != 0 && first) {
        pipeline->nonfinite_row = outcome->row;
        pipeline->nonfinite_col = outcome->col;
    }
    pipeline->nnonfinite += outcome->nnonfinite;
}

static void sum_up(struct run *run)
{
    struct mxq_pipeline *pipeline = run->pipeline;

    for (uint64_t i = 0; i < run->npanels; i++) {
        const struct outcome *outcome = &run->outcomes[i];
        pipeline->crc = mxq_combine_crc(pipeline->crc, outcome->crc, outcome->nbytes);
        add_nonfinite(pipeline, outcome);
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            add_distortion(&pipeline->distortion[d], &outcome->distortion[d]);
    }
}

/* Makes panels readable: what is not in the order of the rows of a file has to become so first. */
static bool prepare_source(struct run *run, struct mxq_fault *fault)
{
    struct mxq_pipeline *pipeline = run->pipeline;

    if ((pipeline->tensor->fortran_order || (!run->whole_rows && !mxq_tensor_is_seekable(pipeline->source))) &&
        !mxq_spool_tensor(pipeline->source, NULL, fault))
        return false;
    run->one_by_one = !mxq_tensor_is_seekable(pipeline->source);
    if (pipeline->tensor->fortran_order)
        run->whole_rows = false; /* of its rows, none is contiguous in the file */
    return true;
}

static bool run_panels(struct run *run)
{
    struct mxq_pipeline *pipeline = run->pipeline;
    bool good;

    choose_panels(run);
    if (!prepare_source(run, run->fault))
        return false;
    run->outcomes = calloc(run->npanels, sizeof(*run->outcomes));
    if (run->outcomes == NULL) {
        mxq_set_fault(run->fault, NULL, ENOMEM, "cannot quantize");
        return false;
    }
    good = run_threads(run);
    if (good)
        sum_up(run);
    if (good && !run->whole_rows)
        good = mxq_checksum_tensor(pipeline->source, &pipeline->crc, run->fault);
    free(run->outcomes);
    return good;
}

bool mxq_run_pipeline(struct mxq_pipeline *pipeline, struct mxq_fault *fault)
{
    struct run run;
    bool good = true;

    memset(&run, 0, sizeof(run));
    run.pipeline = pipeline;
    run.fault = fault;
    pthread_mutex_init(&run.lock, NULL);
    if (pipeline->plan->rows != 0 && pipeline->plan->cols != 0)
        good = run_panels(&run);
    pthread_mutex_destroy(&run.lock);
    return good && mxq_finish_tensor(pipeline->source, fault);
}
