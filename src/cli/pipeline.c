/* pipeline.c - one tensor through the quantizer, panel by panel, on several threads */
#include "cli/pipeline.h"

#include "cli/msg.h"
#include "cli/pool.h"
#include "cli/progress.h"
#include "cli/stage.h"
#include "io/checksum.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Input bytes of an ordinary panel, and of the widest one of full rows, which streams need. */
#define PANEL_NBYTES ((uint64_t)4 << 20)
#define WIDE_PANEL_NBYTES ((uint64_t)32 << 20)

/*
 * Memory for the panels of all threads. A panel and what is made of it are seldom more than 6 MiB, so this is enough for
 * twenty threads; of very wide matrices, fewer threads take panels at a time.
 */
#define PANELS_NBYTES ((uint64_t)112 << 20)

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
    struct mxq_gpu_team *gpus; /* NULL: CPUs */
    unsigned nworkers;
    uint64_t high; /* rows of a panel, */
    uint64_t wide; /* and columns */
    uint64_t nacross;
    uint64_t npanels;
    bool whole_rows; /* panels are contiguous in the file */
    bool one_by_one; /* panels are read in order, one at a time */
    struct outcome *outcomes;
    struct worker *workers;
    struct mxq_stage stage;

    /* The tasks at hand: panels of one stripe, and spread among them the parts of the one before. */
    uint64_t first;
    uint64_t nstripe;
    uint64_t nparts;

    uint64_t done_nbytes;
    bool only_count; /* a value that is not finite was found: write nothing any more */
};

/* One thread's buffers. */
struct worker {
    struct run *run;
    bool only_count;
    unsigned number;
    uint8_t *elements; /* these are the team's if there is one */
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
static void choose_panels(struct run *run, uint64_t panel_nbytes, uint64_t wide_panel_nbytes)
{
    const struct mxq_plan *plan = run->pipeline->plan;
    const uint64_t elem = mxq_dtype_nbytes(run->pipeline->tensor->dtype);
    const uint64_t least_rows = smaller(plan->rows, MXQ_PANEL_ALIGN);

    run->whole_rows = plan->cols <= wide_panel_nbytes / elem / least_rows;
    if (run->whole_rows) {
        run->wide = plan->cols;
        run->high = round_down_panel(panel_nbytes / elem / plan->cols);
    } else {
        run->high = MXQ_PANEL_ALIGN;
        run->wide = round_down_panel(panel_nbytes / elem / least_rows);
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
        if (share.nruns != 0 && !worker->run->stage.gathers[b] && mxq_result_wants(pipeline->result, b) &&
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

/* A GPU has buffers of its own for what comes out; what is gathered is copied from there. */
static void gather_share(struct worker *worker, const struct mxq_panel *panel, enum mxq_buffer buffer)
{
    const uint8_t *from = worker->share[buffer];
    struct mxq_destination to;
    struct mxq_share share;

    mxq_locate_share(worker->run->pipeline->plan, panel, buffer, &share);
    if (share.nruns == 0 || !mxq_find_in_stage(&worker->run->stage, buffer, &share, &to))
        return;
    for (uint64_t run = 0; run < share.nruns; run++)
        memcpy(to.bytes + run * to.pitch_nbytes, from + run * share.run_nbytes, share.run_nbytes);
}

static bool run_gpu_panel(struct worker *worker, const struct mxq_panel *panel, const struct mxq_matrix *matrix,
                          struct outcome *outcome, struct mxq_fault *fault)
{
    const struct mxq_pipeline *pipeline = worker->run->pipeline;

    if (!mxq_run_gpu_panel(pipeline->gpus, worker->number, pipeline->plan, panel, matrix->dtype, pipeline->kernel,
                           &outcome->nonfinite, fault))
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        worker->share[b] = mxq_gpu_worker_share(pipeline->gpus, worker->number, b);
        gather_share(worker, panel, b);
    }
    return true;
}

static bool quantize_panel(struct worker *worker, const struct mxq_panel *panel, const struct mxq_matrix *matrix,
                           struct outcome *outcome, struct mxq_fault *fault)
{
    const struct mxq_pipeline *pipeline = worker->run->pipeline;
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    enum mxq_status status = MXQ_OK;

    if (worker->run->gpus != NULL && !run_gpu_panel(worker, panel, matrix, outcome, fault))
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        mxq_locate_share(pipeline->plan, panel, b, &share);
        if (!mxq_find_in_stage(&worker->run->stage, b, &share, &out[b]))
            out[b] = (struct mxq_destination){worker->share[b], share.run_nbytes};
    }
    if (worker->run->gpus == NULL)
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

/* How many of the tasks before this one write parts of the stage. */
static uint64_t parts_before(const struct run *run, uint64_t task)
{
    return task * run->nparts / (run->nstripe + run->nparts);
}

static bool is_part(const struct run *run, uint64_t task)
{
    return parts_before(run, task + 1) > parts_before(run, task);
}

static uint64_t panel_of_task(const struct run *run, uint64_t task)
{
    return run->first + task - parts_before(run, task);
}

static bool take_task(void *context, unsigned number, uint64_t task, struct mxq_fault *fault)
{
    struct run *run = context;
    struct worker *worker = &run->workers[number];

    worker->only_count = run->only_count;
    return !run->one_by_one || is_part(run, task) || read_panel(worker, panel_of_task(run, task), fault);
}

static bool run_task(void *context, unsigned number, uint64_t task, struct mxq_fault *fault)
{
    struct run *run = context;
    struct worker *worker = &run->workers[number];
    const uint64_t index = panel_of_task(run, task);

    if (is_part(run, task))
        return worker->only_count || mxq_write_stage_part(&run->stage, parts_before(run, task), fault);
    return (run->one_by_one || read_panel(worker, index, fault)) && process_panel(worker, index, fault);
}

static void note_task(void *context, unsigned number, uint64_t task)
{
    struct run *run = context;
    const uint64_t index = panel_of_task(run, task);

    (void)number;
    if (is_part(run, task))
        return;
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

    if (run->gpus != NULL) {
        worker->elements = mxq_gpu_worker_elements(run->gpus, worker->number);
        return true;
    }
    worker->elements = mxq_allocate_large(panel.rows * panel.cols * mxq_dtype_nbytes(run->pipeline->tensor->dtype));
    good = worker->elements != NULL;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        struct mxq_share share;
        mxq_locate_share(run->pipeline->plan, &panel, b, &share);
        if (share.nruns != 0 && !run->stage.gathers[b])
            good = (worker->share[b] = mxq_allocate_large(share.nruns * share.run_nbytes)) != NULL;
    }
    if (!good)
        mxq_set_fault(fault, NULL, ENOMEM, "cannot quantize");
    return good;
}

static void free_workers(struct run *run)
{
    for (unsigned i = 0; i < run->nworkers && run->workers != NULL && run->gpus == NULL; i++) {
        free(run->workers[i].elements);
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            free(run->workers[i].share[b]);
    }
    free(run->workers);
}

/* Panels that are full rows are gathered. */
static bool create_stage(struct run *run, struct mxq_fault *fault)
{
    const struct mxq_pipeline *pipeline = run->pipeline;
    const struct mxq_panel panel = find_panel(run, 0);

    if (run->nacross > 1 || mxq_create_stage(&run->stage, pipeline->result, pipeline->plan, &panel, run->npanels))
        return true;
    mxq_set_fault(fault, NULL, ENOMEM, "cannot quantize");
    return false;
}

/*
 * The panels from run->first on, as many as half of the stage takes; none after the last. Two threads that write to one
 * file wait for each other, so what was gathered is written while others compute.
 */
static bool run_stripe(struct run *run, uint64_t npanels, struct mxq_fault *fault)
{
    struct mxq_tasks tasks = {
        .nthreads = run->nworkers, .context = run, .take = take_task, .run = run_task, .done = note_task};
    struct mxq_panel stripe = {.row0 = smaller(run->first * run->high, run->pipeline->plan->rows),
                               .cols = run->pipeline->plan->cols};

    if (run->stage.npanels != 0) {
        stripe.rows = smaller(npanels * run->high, run->pipeline->plan->rows - stripe.row0);
        mxq_start_stripe(&run->stage, &stripe);
        run->nparts = mxq_count_stage_parts(&run->stage);
    }
    run->nstripe = npanels;
    tasks.ntasks = run->nstripe + run->nparts;
    return mxq_run_tasks(&tasks, fault);
}

static bool run_stripes(struct run *run, struct mxq_fault *fault)
{
    const uint64_t npanels = run->stage.npanels != 0 ? run->stage.npanels : run->npanels;
    bool good = true;

    for (run->first = 0; good && run->first < run->npanels; run->first += npanels)
        good = run_stripe(run, smaller(npanels, run->npanels - run->first), fault);
    return good && (run->stage.npanels == 0 || run_stripe(run, 0, fault));
}

static bool run_threads(struct run *run, struct mxq_fault *fault)
{
    bool good = create_stage(run, fault);

    run->workers = calloc(run->nworkers, sizeof(*run->workers));
    if (good && run->workers == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot quantize");
        good = false;
    }
    for (unsigned i = 0; i < run->nworkers && good; i++) {
        run->workers[i].run = run;
        run->workers[i].number = i;
        good = allocate_worker(&run->workers[i], run, fault);
    }
    good = good && run_stripes(run, fault);
    for (unsigned i = 0; i < run->nworkers && good; i++)
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            mxq_add_histogram(&run->pipeline->histogram[d], &run->workers[i].histogram[d]);
    free_workers(run);
    mxq_free_stage(&run->stage);
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

/* ---- where it runs */

/* What a thread needs at most: the first panel is the largest. */
static uint64_t worker_nbytes(const struct run *run)
{
    const struct mxq_panel panel = find_panel(run, 0);
    uint64_t nbytes = panel.rows * panel.cols * mxq_dtype_nbytes(run->pipeline->tensor->dtype);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        struct mxq_share share;
        mxq_locate_share(run->pipeline->plan, &panel, b, &share);
        nbytes += share.nruns * share.run_nbytes;
    }
    return nbytes;
}

static void choose_cpus(struct run *run)
{
    uint64_t nworkers;

    choose_panels(run, PANEL_NBYTES, WIDE_PANEL_NBYTES);
    nworkers = smaller(run->pipeline->nthreads, PANELS_NBYTES / worker_nbytes(run));
    run->nworkers = mxq_count_workers((unsigned)nworkers, run->npanels);
    run->gpus = NULL;
}

/* Panels that the GPUs have room for, as many at a time as keep them busy; as small as panels can be, if need be. */
static bool size_gpu_panels(struct run *run, struct mxq_fault *fault)
{
    const struct mxq_pipeline *pipeline = run->pipeline;
    uint64_t nbytes = PANEL_NBYTES;
    uint64_t wide_nbytes = WIDE_PANEL_NBYTES;
    bool smallest;

    do {
        struct mxq_panel panel;
        choose_panels(run, nbytes, wide_nbytes);
        panel = find_panel(run, 0);
        smallest = nbytes < (uint64_t)MXQ_PANEL_ALIGN * MXQ_PANEL_ALIGN;
        run->nworkers = mxq_size_gpu_team(run->gpus, pipeline->plan, &panel, pipeline->tensor->dtype,
                                          mxq_count_gpu_workers(run->gpus, pipeline->nthreads, run->npanels), smallest);
        nbytes /= 2;
        wide_nbytes /= 2;
    } while (run->nworkers == 0 && !smallest);
    return run->nworkers != 0 || mxq_dismiss_gpu_team(run->gpus, "too little free memory on the GPU", fault);
}

static void tell_team(const struct run *run)
{
    const struct mxq_panel panel = find_panel(run, 0);
    char text[256];

    mxq_describe_gpu_team(run->gpus, text, sizeof(text));
    mxq_print_verbose("on %s, in panels of %" PRIu64 " x %" PRIu64 ", %u at a time", text, panel.rows, panel.cols,
                      run->nworkers);
}

/* Whether the team takes the tensor; false is a fault. */
static bool choose_device(struct run *run, struct mxq_fault *fault)
{
    struct mxq_pipeline *pipeline = run->pipeline;
    struct mxq_panel panel;
    bool ready = false;

    if (pipeline->gpus != NULL &&
        !mxq_enlist_gpu_team(pipeline->gpus, pipeline->tensor->nbytes, pipeline->nthreads, &ready, fault))
        return false;
    if (ready) {
        run->gpus = pipeline->gpus;
        if (!size_gpu_panels(run, fault))
            return false;
        ready = run->nworkers != 0;
    }
    if (ready) {
        panel = find_panel(run, 0);
        if (!mxq_prepare_gpu_team(run->gpus, run->nworkers, pipeline->plan, &panel, pipeline->tensor->dtype, &ready,
                                  fault))
            return false;
    }
    if (ready)
        tell_team(run);
    else
        choose_cpus(run);
    return true;
}

/* After the work, because a team may have gone over to the CPU. */
static void note_device(struct run *run)
{
    const char *arch = run->gpus != NULL ? mxq_gpu_team_arch(run->gpus) : NULL;

    run->pipeline->device = arch != NULL ? "gpu" : "cpu";
    run->pipeline->variant = arch != NULL ? arch : mxq_kernel_name(run->pipeline->kernel);
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

    if (!choose_device(run, fault) || !prepare_source(run, fault))
        return false;
    run->outcomes = calloc(run->npanels, sizeof(*run->outcomes));
    if (run->outcomes == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot quantize");
        return false;
    }
    good = run_threads(run, fault);
    if (good)
        sum_up(run);
    note_device(run);
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
    note_device(&run);
    if (pipeline->plan->rows != 0 && pipeline->plan->cols != 0 && !run_panels(&run, fault))
        return false;
    return mxq_finish_tensor(pipeline->source, fault);
}
