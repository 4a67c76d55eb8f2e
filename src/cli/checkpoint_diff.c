/*
 * checkpoint_diff.c - comparing the tensors of two checkpoints on several threads
 *
 * Work is cut into strips: full rows of a slice of an MXFP4 tensor, or stretches of bytes of another one. As in diff.c, a
 * strip whose bytes are the same on both sides needs only memcmp(), and what its values add to the SNR is found in a second
 * pass, in tensors that differ somewhere.
 */
#include "cli/checkpoint_diff.h"

#include "cli/msg.h"
#include "cli/pool.h"
#include "cli/progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of codes in an ordinary strip. */
#define STRIP_NBYTES ((uint64_t)2 << 20)

struct strip {
    size_t pair;
    uint64_t slice;
    struct mxq_panel panel; /* MXFP4 */
    uint64_t offset;        /* of other bytes */
    uint64_t nbytes;
    bool same;
    uint64_t ndiffering;
    struct mxq_comparison *sum;      /* NULL while the strip is the same on both sides */
    struct mxq_mismatch *mismatches; /* NULL: none */
    size_t nmismatches;
};

/* One side's bytes of a strip: as stored, and in logical order. */
struct side_buffers {
    uint8_t *data_share;
    uint8_t *scale_share;
    uint8_t *units;
    uint8_t *scales;
};

struct worker {
    struct side_buffers test;
    struct side_buffers golden;
};

struct run {
    struct mxq_checkpoint_diff *diff;
    struct strip *strips;
    uint64_t nstrips;
    struct worker *workers;
    unsigned nworkers;
    uint64_t *todo; /* second pass: numbers of strips */
    uint64_t total_nbytes;
    uint64_t done_nbytes;
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
    mxq_set_fault(fault, NULL, ENOMEM, "cannot compare");
    return false;
}

/* ---------------------------------------------------------------------------------------------- strips */

static uint64_t strip_rows(const struct mxq_plan *plan)
{
    const uint64_t wanted = 2 * STRIP_NBYTES / larger(plan->cols, 1);

    return larger(wanted / MXQ_PANEL_ALIGN * MXQ_PANEL_ALIGN, MXQ_PANEL_ALIGN);
}

/* strips may be NULL to count them alone. */
static uint64_t cut_packed(const struct mxq_checkpoint_diff *diff, size_t index, struct strip *strips)
{
    const struct mxq_tensor_pair *pair = &diff->pairs[index];
    const struct mxq_plan *plan = &pair->golden_plan;
    const uint64_t high = strip_rows(plan);
    uint64_t n = 0;

    for (uint64_t slice = 0; slice < pair->golden_packed->nslices; slice++) {
        for (uint64_t row = 0; row < plan->rows; row += high, n++) {
            if (strips == NULL)
                continue;
            strips[n].pair = index;
            strips[n].slice = slice;
            strips[n].panel = (struct mxq_panel){row, 0, smaller(high, plan->rows - row), plan->cols};
            strips[n].nbytes = strips[n].panel.rows * ((plan->cols + 1) / 2);
        }
    }
    return n;
}

static uint64_t cut_plain(const struct mxq_checkpoint_diff *diff, size_t index, struct strip *strips)
{
    const uint64_t nbytes = mxq_tensor_at(diff->golden.checkpoint, diff->pairs[index].golden_plain)->nbytes;
    uint64_t n = 0;

    for (uint64_t offset = 0; offset < nbytes; offset += STRIP_NBYTES, n++) {
        if (strips == NULL)
            continue;
        strips[n].pair = index;
        strips[n].offset = offset;
        strips[n].nbytes = smaller(STRIP_NBYTES, nbytes - offset);
    }
    return n;
}

static uint64_t cut_pairs(const struct mxq_checkpoint_diff *diff, struct strip *strips)
{
    uint64_t n = 0;

    for (size_t i = 0; i < diff->npairs; i++) {
        struct strip *next = strips != NULL ? strips + n : NULL;
        if (diff->pairs[i].kind == MXQ_PAIR_PACKED)
            n += cut_packed(diff, i, next);
        else if (diff->pairs[i].kind == MXQ_PAIR_PLAIN)
            n += cut_plain(diff, i, next);
    }
    return n;
}

static bool cut_strips(struct run *run, struct mxq_fault *fault)
{
    run->nstrips = cut_pairs(run->diff, NULL);
    run->strips = calloc(run->nstrips + 1, sizeof(*run->strips));
    run->todo = calloc(run->nstrips + 1, sizeof(*run->todo));
    if (run->strips == NULL || run->todo == NULL)
        return set_no_memory(fault);
    cut_pairs(run->diff, run->strips);
    for (uint64_t i = 0; i < run->nstrips; i++)
        run->total_nbytes += run->strips[i].nbytes;
    return true;
}

/* ---------------------------------------------------------------------------------------------- memory */

/* The largest that any strip needs. */
struct sizes {
    uint64_t data;
    uint64_t scale;
    uint64_t nblocks;
};

static void add_sizes(const struct mxq_plan *plan, const struct mxq_panel *panel, struct sizes *sizes)
{
    struct mxq_share share;

    mxq_locate_share(plan, panel, MXQ_ROWWISE_DATA, &share);
    sizes->data = larger(sizes->data, share.nruns * share.run_nbytes);
    mxq_locate_share(plan, panel, MXQ_ROWWISE_SCALE, &share);
    sizes->scale = larger(sizes->scale, share.nruns * share.run_nbytes);
    sizes->nblocks = larger(sizes->nblocks, panel->rows * mxq_count_units(panel, MXQ_ROWWISE_SCALE));
}

static struct sizes find_sizes(const struct run *run)
{
    struct sizes sizes = {0, 0, 0};

    for (uint64_t i = 0; i < run->nstrips; i++) {
        const struct strip *strip = &run->strips[i];
        const struct mxq_tensor_pair *pair = &run->diff->pairs[strip->pair];
        if (pair->kind == MXQ_PAIR_PACKED) {
            add_sizes(&pair->test_plan, &strip->panel, &sizes);
            add_sizes(&pair->golden_plan, &strip->panel, &sizes);
        } else {
            sizes.data = larger(sizes.data, strip->nbytes);
        }
    }
    return sizes;
}

static bool allocate_side(struct side_buffers *side, const struct sizes *sizes)
{
    side->data_share = malloc(sizes->data + 1);
    side->scale_share = malloc(sizes->scale + 1);
    side->units = malloc(sizes->nblocks * MXQ_UNIT_NBYTES + 1);
    side->scales = malloc(sizes->nblocks + 1);
    return side->data_share != NULL && side->scale_share != NULL && side->units != NULL && side->scales != NULL;
}

static bool allocate_workers(struct run *run, struct mxq_fault *fault)
{
    const struct sizes sizes = find_sizes(run);

    run->nworkers = mxq_count_workers(run->diff->nthreads, run->nstrips);
    run->workers = calloc(run->nworkers, sizeof(*run->workers));
    if (run->workers == NULL)
        return set_no_memory(fault);
    for (unsigned i = 0; i < run->nworkers; i++)
        if (!allocate_side(&run->workers[i].test, &sizes) || !allocate_side(&run->workers[i].golden, &sizes))
            return set_no_memory(fault);
    return true;
}

static void free_side(struct side_buffers *side)
{
    free(side->data_share);
    free(side->scale_share);
    free(side->units);
    free(side->scales);
}

static void free_run(struct run *run)
{
    for (unsigned i = 0; i < run->nworkers && run->workers != NULL; i++) {
        free_side(&run->workers[i].test);
        free_side(&run->workers[i].golden);
    }
    for (uint64_t i = 0; i < run->nstrips && run->strips != NULL; i++) {
        free(run->strips[i].mismatches);
        free(run->strips[i].sum);
    }
    free(run->workers);
    free(run->strips);
    free(run->todo);
}

/* ---------------------------------------------------------------------------------------------- MXFP4 */

static bool read_side(const struct mxq_checkpoint_side *side, const struct mxq_packed *packed,
                      const struct mxq_plan *plan, const struct strip *strip, struct side_buffers *buffers,
                      struct mxq_share shares[2], struct mxq_fault *fault)
{
    mxq_locate_share(plan, &strip->panel, MXQ_ROWWISE_DATA, &shares[0]);
    mxq_locate_share(plan, &strip->panel, MXQ_ROWWISE_SCALE, &shares[1]);
    return mxq_read_packed_share(side->checkpoint, side->fds, packed, strip->slice, MXQ_ROWWISE_DATA, &shares[0],
                                 buffers->data_share, fault) &&
           mxq_read_packed_share(side->checkpoint, side->fds, packed, strip->slice, MXQ_ROWWISE_SCALE, &shares[1],
                                 buffers->scale_share, fault);
}

static struct mxq_side order_side(const struct mxq_plan *plan, const struct strip *strip, struct side_buffers *buffers,
                                  const struct mxq_share shares[2])
{
    const struct mxq_origin data = {buffers->data_share, shares[0].run_nbytes};
    const struct mxq_origin scale = {buffers->scale_share, shares[1].run_nbytes};

    mxq_load_units(plan, &strip->panel, MXQ_ROWWISE_DATA, &data, buffers->units);
    mxq_load_units(plan, &strip->panel, MXQ_ROWWISE_SCALE, &scale, buffers->scales);
    return (struct mxq_side){buffers->units, buffers->scales};
}

static void fill_panel_pair(const struct strip *strip, struct mxq_panel_pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    pair->rows = strip->panel.rows;
    pair->nelems = strip->panel.cols;
    pair->direction = MXQ_ROWWISE;
}

static bool bytes_agree(const struct mxq_tensor_pair *pair, const struct worker *worker,
                        const struct mxq_share shares[2])
{
    return pair->test_plan.options.layout[0] == pair->golden_plan.options.layout[0] &&
           memcmp(worker->test.data_share, worker->golden.data_share, shares[0].nruns * shares[0].run_nbytes) == 0 &&
           memcmp(worker->test.scale_share, worker->golden.scale_share, shares[1].nruns * shares[1].run_nbytes) == 0;
}

static bool compare_packed(const struct run *run, struct strip *strip, struct worker *worker, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_diff *diff = run->diff;
    const struct mxq_tensor_pair *pair = &diff->pairs[strip->pair];
    struct mxq_share test_shares[2], golden_shares[2];
    struct mxq_panel_pair panels;

    if (!read_side(&diff->test, pair->test_packed, &pair->test_plan, strip, &worker->test, test_shares, fault) ||
        !read_side(&diff->golden, pair->golden_packed, &pair->golden_plan, strip, &worker->golden, golden_shares,
                   fault))
        return false;
    strip->same = bytes_agree(pair, worker, golden_shares);
    if (strip->same)
        return true;
    strip->sum = calloc(1, sizeof(*strip->sum));
    strip->mismatches = calloc(diff->limit + 1, sizeof(*strip->mismatches));
    if (strip->sum == NULL || strip->mismatches == NULL)
        return set_no_memory(fault);
    fill_panel_pair(strip, &panels);
    panels.test = order_side(&pair->test_plan, strip, &worker->test, test_shares);
    panels.golden = order_side(&pair->golden_plan, strip, &worker->golden, golden_shares);
    mxq_compare_panel(&diff->rules, &panels, strip->sum, strip->mismatches, diff->limit, &strip->nmismatches, NULL);
    if (strip->nmismatches == 0) {
        free(strip->mismatches);
        strip->mismatches = NULL;
    }
    return true;
}

/* Second pass: what the values of an equal strip add to the energy. */
static bool weigh_strip(void *context, unsigned number, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = context;
    struct strip *strip = &run->strips[run->todo[index]];
    const struct mxq_tensor_pair *pair = &run->diff->pairs[strip->pair];
    struct side_buffers *buffers = &run->workers[number].golden;
    struct mxq_share shares[2];
    struct mxq_panel_pair panels;

    strip->sum = calloc(1, sizeof(*strip->sum));
    if (strip->sum == NULL)
        return set_no_memory(fault);
    if (!read_side(&run->diff->golden, pair->golden_packed, &pair->golden_plan, strip, buffers, shares, fault))
        return false;
    fill_panel_pair(strip, &panels);
    panels.test = panels.golden = order_side(&pair->golden_plan, strip, buffers, shares);
    mxq_add_equal_panel(&panels, strip->sum);
    return true;
}

static bool weigh_equal_strips(struct run *run, struct mxq_fault *fault)
{
    struct mxq_tasks tasks = {0, run->nworkers, run, NULL, weigh_strip, NULL};
    bool *differs = calloc(run->diff->npairs + 1, sizeof(*differs));

    if (differs == NULL)
        return set_no_memory(fault);
    for (uint64_t i = 0; i < run->nstrips; i++)
        differs[run->strips[i].pair] |= !run->strips[i].same;
    for (uint64_t i = 0; i < run->nstrips; i++) {
        const struct strip *strip = &run->strips[i];
        if (strip->same && differs[strip->pair] && run->diff->pairs[strip->pair].kind == MXQ_PAIR_PACKED)
            run->todo[tasks.ntasks++] = i;
    }
    free(differs);
    return tasks.ntasks == 0 || mxq_run_tasks(&tasks, fault);
}

/* ---------------------------------------------------------------------------------------------- other tensors */

static bool compare_plain(const struct run *run, struct strip *strip, struct worker *worker, struct mxq_fault *fault)
{
    const struct mxq_checkpoint_side *test = &run->diff->test;
    const struct mxq_checkpoint_side *golden = &run->diff->golden;
    const struct mxq_tensor_pair *pair = &run->diff->pairs[strip->pair];
    const uint8_t *a = worker->test.data_share;
    const uint8_t *b = worker->golden.data_share;

    if (!mxq_read_tensor(test->checkpoint, test->fds, pair->test_plain, strip->offset, strip->nbytes,
                         worker->test.data_share, fault) ||
        !mxq_read_tensor(golden->checkpoint, golden->fds, pair->golden_plain, strip->offset, strip->nbytes,
                         worker->golden.data_share, fault))
        return false;
    strip->same = memcmp(a, b, strip->nbytes) == 0;
    for (uint64_t i = 0; i < strip->nbytes && !strip->same; i++)
        strip->ndiffering += a[i] != b[i];
    return true;
}

/* ---------------------------------------------------------------------------------------------- all of it */

static bool run_strip(void *context, unsigned number, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = context;
    struct strip *strip = &run->strips[index];
    struct worker *worker = &run->workers[number];

    return run->diff->pairs[strip->pair].kind == MXQ_PAIR_PACKED ? compare_packed(run, strip, worker, fault)
                                                                 : compare_plain(run, strip, worker, fault);
}

static void note_strip(void *context, unsigned number, uint64_t index)
{
    struct run *run = context;

    (void)number;
    run->done_nbytes += run->strips[index].nbytes;
    mxq_update_progress(run->done_nbytes);
}

/* A strip of a tensor that is the same everywhere. */
static void count_equal_strip(const struct strip *strip, struct mxq_comparison *sum)
{
    const uint64_t nblocks = strip->panel.rows * mxq_count_units(&strip->panel, MXQ_ROWWISE_SCALE);
    const uint64_t ncodes = strip->panel.rows * strip->panel.cols;

    sum->nscales += nblocks;
    sum->scales[MXQ_CLASS_EQUAL] += nblocks;
    sum->ncodes += ncodes;
    sum->codes[MXQ_CLASS_EQUAL] += ncodes;
}

static void keep_mismatches(struct mxq_checkpoint_diff *diff, const struct strip *strip)
{
    for (size_t i = 0; i < strip->nmismatches && diff->nfound < diff->limit; i++) {
        struct mxq_checkpoint_mismatch *found = &diff->found[diff->nfound++];
        *found = (struct mxq_checkpoint_mismatch){strip->pair, strip->slice, strip->mismatches[i]};
        found->mismatch.row += strip->panel.row0;
    }
}

static void sum_up(struct run *run)
{
    for (uint64_t i = 0; i < run->nstrips; i++) {
        const struct strip *strip = &run->strips[i];
        struct mxq_tensor_pair *pair = &run->diff->pairs[strip->pair];
        if (pair->kind == MXQ_PAIR_PLAIN) {
            pair->nbytes += strip->nbytes;
            pair->ndiffering += strip->ndiffering;
        } else if (strip->sum != NULL) {
            mxq_add_comparison(&pair->sum, strip->sum);
            keep_mismatches(run->diff, strip);
        } else {
            count_equal_strip(strip, &pair->sum);
        }
    }
}

static bool compare_pairs(struct mxq_checkpoint_diff *diff, struct mxq_fault *fault)
{
    struct run run;
    struct mxq_tasks tasks = {0, 0, &run, NULL, run_strip, note_strip};
    bool good;

    memset(&run, 0, sizeof(run));
    run.diff = diff;
    good = cut_strips(&run, fault) && allocate_workers(&run, fault);
    if (good) {
        tasks.ntasks = run.nstrips;
        tasks.nthreads = run.nworkers;
        mxq_start_progress("comparing", run.total_nbytes);
        good = (run.nstrips == 0 || mxq_run_tasks(&tasks, fault)) && weigh_equal_strips(&run, fault);
        mxq_end_progress();
    }
    if (good)
        sum_up(&run);
    free_run(&run);
    return good;
}

/* ---------------------------------------------------------------------------------------------- sides */

static bool open_side(struct mxq_checkpoint_side *side, const char *path, struct mxq_fault *fault)
{
    if (!mxq_open_checkpoint(path, &side->checkpoint, mxq_warn_user, NULL, fault) ||
        !mxq_list_packed(side->checkpoint, &side->list, mxq_warn_user, NULL, fault))
        return false;
    side->fds = mxq_open_shards(side->checkpoint, fault);
    return side->fds != NULL;
}

static void close_side(struct mxq_checkpoint_side *side)
{
    if (side->checkpoint != NULL)
        mxq_close_shards(side->checkpoint, side->fds);
    mxq_free_packed_list(&side->list);
    mxq_close_checkpoint(side->checkpoint);
}

bool mxq_run_checkpoint_diff(struct mxq_checkpoint_diff *diff, const char *test, const char *golden,
                             struct mxq_fault *fault)
{
    if (!open_side(&diff->test, test, fault) || !open_side(&diff->golden, golden, fault))
        return false;
    diff->found = calloc(diff->limit + 1, sizeof(*diff->found));
    if (diff->found == NULL || !mxq_pair_tensors(diff))
        return set_no_memory(fault);
    return compare_pairs(diff, fault);
}

void mxq_free_checkpoint_diff(struct mxq_checkpoint_diff *diff)
{
    free(diff->found);
    free(diff->pairs);
    close_side(&diff->test);
    close_side(&diff->golden);
}

/* ---------------------------------------------------------------------------------------------- verdicts */

bool mxq_pair_is_equal(const struct mxq_tensor_pair *pair)
{
    if (pair->kind == MXQ_PAIR_PACKED)
        return pair->sum.codes[MXQ_CLASS_EQUAL] == pair->sum.ncodes &&
               pair->sum.scales[MXQ_CLASS_EQUAL] == pair->sum.nscales;
    return pair->kind == MXQ_PAIR_PLAIN && pair->ndiffering == 0;
}

bool mxq_pair_passes(const struct mxq_rules *rules, const struct mxq_tensor_pair *pair)
{
    return pair->kind == MXQ_PAIR_PACKED ? mxq_comparison_passes(rules, &pair->sum) : mxq_pair_is_equal(pair);
}

bool mxq_checkpoint_diff_passes(const struct mxq_checkpoint_diff *diff)
{
    for (size_t i = 0; i < diff->npairs; i++)
        if (!mxq_pair_passes(&diff->rules, &diff->pairs[i]))
            return false;
    return true;
}
