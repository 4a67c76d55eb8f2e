/* pipeline.c - one tensor through the quantizer, panel by panel, on several threads */
#include "cli/pipeline.h"

#include "cli/pool.h"
#include "cli/progress.h"
#include "io/checksum.h"

#include <errno.h>
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

/* What the threads share. What follows done_nbytes is changed only where tasks are handed out or done, one at a time. */
struct run {
    struct mxq_pipeline *pipeline;
    uint64_t high; /* rows of a panel, */
    uint64_t wide; /* and columns */
    uint64_t nacross;
    uint64_t npanels;
    bool whole_rows; /* panels are contiguous in the file */
    bool one_by_one; /* panels are read in order, one at a time */
    struct outcome *outcomes;
    struct worker *workers;

    uint64_t done_nbytes;
    bool only_count; /* a value that is not finite was found: write nothing any more */
};

/* One thread's buffers. */
struct worker {
    struct run *run;
    bool only_count;
    uint8_t *elements;
    uint8_t *share[MXQ_NUM_BUFFERS];
    struct mxq_histogram histogram[MXQ_NUM_DIRECTIONS]; /* counts: the order of adding them does not matter */
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

static enum mxq_status measure_panel(struct worker *worker, const struct mxq_panel *panel,
                                     const struct mxq_matrix *matrix, const struct mxq_destination out[MXQ_NUM_BUFFERS],
                                     struct outcome *outcome)
{
    const struct mxq_plan *plan = worker->run->pipeline->plan;
    struct mxq_origin in[MXQ_NUM_BUFFERS];
    enum mxq_status status = MXQ_OK;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        in[b] = (struct mxq_origin){out[b].bytes, out[b].pitch_nbytes};
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && status == MXQ_OK; d++) {
        if (!plan->options.wanted[d])
            continue;
        status = mxq_measure_panel(plan, panel, matrix, out, d, &outcome->distortion[d]);
        if (status == MXQ_OK)
            status = mxq_count_panel(plan, panel, in, d, &worker->histogram[d]);
    }
    return status;
}

static bool quantize_panel(struct worker *worker, const struct mxq_panel *panel, const struct mxq_matrix *matrix,
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
    if (status == MXQ_OK && pipeline->measure)
        status = measure_panel(worker, panel, matrix, out, outcome);
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

static bool process_panel(struct worker *worker, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = worker->run;
    struct outcome *outcome = &run->outcomes[index];
    const struct mxq_panel panel = find_panel(run, index);
    const struct mxq_matrix matrix = {worker->elements, run->pipeline->tensor->dtype, panel.rows, panel.cols,
                                      panel.cols};

    if (worker->only_count) {
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

static bool take_panel(void *context, unsigned number, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = context;
    struct worker *worker = &run->workers[number];

    worker->only_count = run->only_count;
    return !run->one_by_one || read_panel(worker, index, fault);
}

static bool run_panel(void *context, unsigned number, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = context;
    struct worker *worker = &run->workers[number];

    return (run->one_by_one || read_panel(worker, index, fault)) && process_panel(worker, index, fault);
}

static void note_panel(void *context, unsigned number, uint64_t index)
{
    struct run *run = context;

    (void)number;
    if (run->outcomes[index].nonfinite && run->pipeline->stop_at_nonfinite)
        run->only_count = true;
    run->done_nbytes += run->outcomes[index].nbytes;
    mxq_update_progress(run->done_nbytes);
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

static bool run_threads(struct run *run, struct mxq_fault *fault)
{
    const unsigned nworkers = mxq_count_workers(run->pipeline->nthreads, run->npanels);
    const struct mxq_tasks tasks = {run->npanels, nworkers, run, take_panel, run_panel, note_panel};
    bool good;

    run->workers = calloc(nworkers, sizeof(*run->workers));
    good = run->workers != NULL;
    if (!good)
        mxq_set_fault(fault, NULL, ENOMEM, "cannot quantize");
    for (unsigned i = 0; i < nworkers && good; i++)
        good = allocate_worker(&run->workers[i], run, fault);
    good = good && mxq_run_tasks(&tasks, fault);
    for (unsigned i = 0; i < nworkers && good; i++)
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            mxq_add_histogram(&run->pipeline->histogram[d], &run->workers[i].histogram[d]);
    free_workers(run->workers, nworkers);
    return good;
}

/* ---- the sum */

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
            mxq_add_distortion(&pipeline->distortion[d], &outcome->distortion[d]);
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

static bool run_panels(struct run *run, struct mxq_fault *fault)
{
    struct mxq_pipeline *pipeline = run->pipeline;
    bool good;

    choose_panels(run);
    if (!prepare_source(run, fault))
        return false;
    run->outcomes = calloc(run->npanels, sizeof(*run->outcomes));
    if (run->outcomes == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot quantize");
        return false;
    }
    good = run_threads(run, fault);
    if (good)
        sum_up(run);
    if (good && !run->whole_rows)
        good = mxq_checksum_tensor(pipeline->source, &pipeline->crc, fault);
    free(run->outcomes);
    return good;
}

bool mxq_run_pipeline(struct mxq_pipeline *pipeline, struct mxq_fault *fault)
{
    struct run run;

    memset(&run, 0, sizeof(run));
    run.pipeline = pipeline;
    if (pipeline->plan->rows != 0 && pipeline->plan->cols != 0 && !run_panels(&run, fault))
        return false;
    return mxq_finish_tensor(pipeline->source, fault);
}
