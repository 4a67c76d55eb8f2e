/* gpu_team.c - the GPUs of one job, and the panels they work on */
#include "cli/gpu_team.h"

#include "cli/msg.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copying in, computing and copying out go on at once when there is a panel for each, and reading and writing take one. */
#define WORKERS_PER_GPU 4
#define MOST_WORKERS_PER_GPU 16

/* Of the free memory of a GPU, what the slots may take: allocations are rounded up, and others need some too. */
#define MEMORY_SHARE(nbytes) ((nbytes) / 10 * 9)

enum state {
    STATE_NEW,       /* no GPU was wanted so far */
    STATE_OPEN,      /* GPUs are there, and nothing they made was handed out */
    STATE_COMMITTED, /* something was */
    STATE_CPU        /* there are none, or one failed: CPUs do all there is */
};

struct mxq_gpu_team {
    struct mxq_device_request request;
    struct mxq_gpu *gpus;
    unsigned ngpus;
    struct mxq_gpu_slot *slots; /* worker i has slots[i], on GPU i % ngpus */
    unsigned nslots;
    pthread_mutex_t lock; /* guards state where panels run */
    enum state state;
};

/* ---- signals */

/* The runtime starts threads, which inherit the mask; signals are for the program's first thread (outfile.h). */
static void hold_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

static void restore_signals(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* ---- opening and closing */

struct mxq_gpu_team *mxq_create_gpu_team(const struct mxq_device_request *request)
{
    struct mxq_gpu_team *team = calloc(1, sizeof(*team));

    if (team == NULL)
        return NULL;
    team->request = *request;
    team->state = request->kind == MXQ_DEVICE_CPU ? STATE_CPU : STATE_NEW;
    pthread_mutex_init(&team->lock, NULL);
    return team;
}

const struct mxq_device_request *mxq_gpu_team_request(const struct mxq_gpu_team *team)
{
    return &team->request;
}

static void release_slots(struct mxq_gpu_team *team, unsigned first)
{
    for (unsigned i = first; i < team->nslots; i++)
        mxq_release_gpu_slot(&team->slots[i]);
    if (first < team->nslots)
        team->nslots = first;
}

static void close_gpus(struct mxq_gpu_team *team)
{
    sigset_t before;

    hold_signals(&before);
    release_slots(team, 0);
    for (unsigned i = 0; i < team->ngpus; i++)
        mxq_close_gpu(&team->gpus[i]);
    restore_signals(&before);
    free(team->slots);
    free(team->gpus);
    team->slots = NULL;
    team->gpus = NULL;
    team->ngpus = 0;
}

void mxq_free_gpu_team(struct mxq_gpu_team *team)
{
    if (team == NULL)
        return;
    close_gpus(team);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

static bool allocate_gpus(struct mxq_gpu_team *team, unsigned ngpus)
{
    team->gpus = calloc(ngpus, sizeof(*team->gpus));
    team->slots = calloc((size_t)ngpus * MOST_WORKERS_PER_GPU, sizeof(*team->slots));
    return team->gpus != NULL && team->slots != NULL;
}

static enum mxq_status open_gpus(struct mxq_gpu_team *team, unsigned ngpus, struct mxq_gpu_error *error)
{
    enum mxq_status status = MXQ_OK;

    for (unsigned i = 0; i < ngpus && status == MXQ_OK; i++) {
        status = mxq_open_gpu(&team->gpus[i], team->request.all ? i : team->request.index, error);
        if (status == MXQ_OK)
            team->ngpus = i + 1;
    }
    return status;
}

/* What became of a failure: a fault, or CPUs. Nothing is said of a GPU that is simply not there. */
static bool fail(struct mxq_gpu_team *team, const struct mxq_gpu_error *error, bool warn, struct mxq_fault *fault)
{
    if (team->request.kind == MXQ_DEVICE_GPU || team->state == STATE_COMMITTED) {
        mxq_set_fault(fault, NULL, 0, "%s", error->text);
        return false;
    }
    if (warn)
        mxq_print_warning("%s; the CPU does it instead", error->text);
    team->state = STATE_CPU;
    return true;
}

bool mxq_dismiss_gpu_team(struct mxq_gpu_team *team, const char *reason, struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};

    snprintf(error.text, sizeof(error.text), "%s", reason);
    return fail(team, &error, true, fault);
}

static bool start_gpus(struct mxq_gpu_team *team, struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};
    unsigned ngpus = 0;

    if (mxq_count_gpus(&ngpus, &error) != MXQ_OK)
        return fail(team, &error, false, fault);
    if (!team->request.all)
        ngpus = 1;
    if (!allocate_gpus(team, ngpus))
        snprintf(error.text, sizeof(error.text), "cannot use a GPU: no memory");
    else if (open_gpus(team, ngpus, &error) == MXQ_OK) {
        team->state = STATE_OPEN;
        return true;
    }
    close_gpus(team);
    return fail(team, &error, true, fault);
}

bool mxq_open_gpu_team(struct mxq_gpu_team *team, bool *ready, struct mxq_fault *fault)
{
    bool good = true;
    sigset_t before;

    if (team->state == STATE_NEW) {
        hold_signals(&before);
        good = start_gpus(team, fault);
        restore_signals(&before);
    }
    *ready = team->state == STATE_OPEN || team->state == STATE_COMMITTED;
    return good;
}

bool mxq_enlist_gpu_team(struct mxq_gpu_team *team, uint64_t nbytes, unsigned nthreads, bool *enlisted,
                         struct mxq_fault *fault)
{
    *enlisted = false;
    if (team->state == STATE_CPU || !mxq_device_wants_gpu(&team->request, nbytes, nthreads))
        return true;
    return mxq_open_gpu_team(team, enlisted, fault);
}

/* ---- sizes */

static uint64_t find_budget(const struct mxq_gpu_team *team)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < team->ngpus; i++)
        if (team->gpus[i].free_nbytes < least)
            least = team->gpus[i].free_nbytes;
    return MEMORY_SHARE(least);
}

unsigned mxq_count_gpu_workers(const struct mxq_gpu_team *team, unsigned nthreads, uint64_t npanels)
{
    unsigned nworkers = nthreads;

    if (nworkers < team->ngpus * WORKERS_PER_GPU)
        nworkers = team->ngpus * WORKERS_PER_GPU;
    if (nworkers > team->ngpus * MOST_WORKERS_PER_GPU)
        nworkers = team->ngpus * MOST_WORKERS_PER_GPU;
    return npanels < nworkers ? (unsigned)npanels : nworkers;
}

unsigned mxq_size_gpu_team(const struct mxq_gpu_team *team, const struct mxq_plan *plan, const struct mxq_panel *panel,
                           enum mxq_dtype dtype, unsigned wanted, bool smallest)
{
    const uint64_t each = find_budget(team) / mxq_gpu_slot_nbytes(plan, panel, dtype);
    const uint64_t enough = team->ngpus * (uint64_t)WORKERS_PER_GPU;
    uint64_t nworkers = each > MOST_WORKERS_PER_GPU ? wanted : each * team->ngpus;

    if (nworkers > wanted)
        nworkers = wanted;
    return smallest || nworkers == wanted || nworkers >= enough ? (unsigned)nworkers : 0;
}

/* Slots that are too many or, together with new ones, too large for the GPUs are given back. */
static void make_room(struct mxq_gpu_team *team, unsigned nworkers, uint64_t nbytes)
{
    uint64_t largest = nbytes;

    release_slots(team, nworkers);
    for (unsigned i = 0; i < team->nslots; i++)
        if (team->slots[i].capacity > largest)
            largest = team->slots[i].capacity;
    if (largest > find_budget(team) / ((nworkers + team->ngpus - 1) / team->ngpus))
        release_slots(team, 0);
}

bool mxq_prepare_gpu_team(struct mxq_gpu_team *team, unsigned nworkers, const struct mxq_plan *plan,
                          const struct mxq_panel *panel, enum mxq_dtype dtype, bool *ready, struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};
    enum mxq_status status = MXQ_OK;
    sigset_t before;
    bool good = true;

    hold_signals(&before);
    make_room(team, nworkers, mxq_gpu_slot_nbytes(plan, panel, dtype));
    for (unsigned i = 0; i < nworkers && status == MXQ_OK; i++) {
        if (i >= team->nslots)
            team->nslots = i + 1;
        status = mxq_prepare_gpu_slot(&team->slots[i], &team->gpus[i % team->ngpus], plan, panel, dtype, &error);
    }
    if (status != MXQ_OK) {
        release_slots(team, 0);
        good = fail(team, &error, true, fault);
    }
    restore_signals(&before);
    *ready = status == MXQ_OK;
    return good;
}

/* ---- panels */

void *mxq_gpu_worker_elements(const struct mxq_gpu_team *team, unsigned worker)
{
    return team->slots[worker].elements;
}

uint8_t *mxq_gpu_worker_share(const struct mxq_gpu_team *team, unsigned worker, enum mxq_buffer buffer)
{
    return team->slots[worker].out[buffer];
}

static bool is_on_cpu(struct mxq_gpu_team *team)
{
    bool answer;

    pthread_mutex_lock(&team->lock);
    answer = team->state == STATE_CPU;
    pthread_mutex_unlock(&team->lock);
    return answer;
}

/* The result of a GPU: whether it counts, which is not so when another GPU has failed meanwhile. */
static bool commit(struct mxq_gpu_team *team)
{
    bool counts;

    pthread_mutex_lock(&team->lock);
    counts = team->state != STATE_CPU;
    if (counts)
        team->state = STATE_COMMITTED;
    pthread_mutex_unlock(&team->lock);
    return counts;
}

/* Of failures of several workers, one is told. */
static bool give_up(struct mxq_gpu_team *team, const struct mxq_gpu_error *error, struct mxq_fault *fault)
{
    bool good;

    pthread_mutex_lock(&team->lock);
    good = team->state == STATE_CPU || fail(team, error, true, fault);
    pthread_mutex_unlock(&team->lock);
    return good;
}

static bool run_on_cpu(struct mxq_gpu_slot *slot, const struct mxq_plan *plan, const struct mxq_panel *panel,
                       enum mxq_dtype dtype, const struct mxq_kernel *kernel, bool *nonfinite, struct mxq_fault *fault)
{
    const struct mxq_matrix matrix = {slot->elements, dtype, panel->rows, panel->cols, panel->cols};
    struct mxq_destination out[MXQ_NUM_BUFFERS];
    enum mxq_status status = mxq_place_gpu_panel(slot, plan, panel, dtype);

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && status == MXQ_OK; b++) {
        struct mxq_share share;
        status = mxq_locate_share(plan, panel, b, &share);
        out[b] = (struct mxq_destination){slot->out[b], share.run_nbytes};
    }
    if (status == MXQ_OK)
        status = mxq_quantize_panel(plan, kernel, panel, &matrix, out, nonfinite);
    if (status != MXQ_OK)
        mxq_set_fault(fault, NULL, 0, "bug: a panel was refused: %s", mxq_describe_status(status));
    return status == MXQ_OK;
}

/* Whether the panel is done; otherwise, and if that is no fault, it is the CPU's. */
static bool run_on_gpu(struct mxq_gpu_team *team, struct mxq_gpu_slot *slot, const struct mxq_plan *plan,
                       const struct mxq_panel *panel, enum mxq_dtype dtype, bool *nonfinite, bool *done,
                       struct mxq_fault *fault)
{
    struct mxq_gpu_error error = {""};
    enum mxq_status status = mxq_start_gpu_panel(slot, plan, panel, dtype, &error);

    if (status == MXQ_OK)
        status = mxq_finish_gpu_panel(slot, nonfinite, &error);
    *done = status == MXQ_OK && commit(team);
    return status == MXQ_OK || give_up(team, &error, fault);
}

bool mxq_run_gpu_panel(struct mxq_gpu_team *team, unsigned worker, const struct mxq_plan *plan,
                       const struct mxq_panel *panel, enum mxq_dtype dtype, const struct mxq_kernel *kernel,
                       bool *nonfinite, struct mxq_fault *fault)
{
    struct mxq_gpu_slot *slot = &team->slots[worker];
    bool done = false;
    bool good = true;
    sigset_t before;

    hold_signals(&before);
    if (!is_on_cpu(team))
        good = run_on_gpu(team, slot, plan, panel, dtype, nonfinite, &done, fault);
    restore_signals(&before);
    return good && (done || run_on_cpu(slot, plan, panel, dtype, kernel, nonfinite, fault));
}

/* ---- names */

const char *mxq_gpu_team_arch(const struct mxq_gpu_team *team)
{
    return team->state == STATE_COMMITTED ? team->gpus[0].arch : NULL;
}

void mxq_describe_gpu_team(const struct mxq_gpu_team *team, char *text, size_t nbytes)
{
    char more[32] = "";

    if (team->ngpus > 1)
        snprintf(more, sizeof(more), " and %u more", team->ngpus - 1);
    snprintf(text, nbytes, "%s (%s)%s", team->gpus[0].name, team->gpus[0].arch, more);
}
