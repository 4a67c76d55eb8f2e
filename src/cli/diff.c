/*
 * diff.c - running a comparison
 *
 * The directions are compared one after the other, in strips of full logical rows, whose shares are one contiguous piece
 * of each file in either layout. A strip whose bytes are the same on both sides needs only memcmp(); what its values add
 * to the SNR is found in a second pass over such strips, and only when something differs somewhere.
 */
#include "cli/diff.h"

#include "cli/pool.h"
#include "cli/progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of codes in an ordinary strip of one side. */
#define STRIP_NBYTES ((uint64_t)2 << 20)

struct strip {
    enum mxq_direction direction;
    struct mxq_panel panel; /* of the input matrix */
    bool same;              /* the bytes of both sides are the same */
    struct mxq_comparison sum;
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
    void *source;
    uint8_t *classes; /* worst class of each block, for the heatmap */
};

struct run {
    struct mxq_diff *diff;
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

static enum mxq_buffer data_of(enum mxq_direction direction)
{
    return direction == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
}

static enum mxq_buffer scale_of(enum mxq_direction direction)
{
    return direction == MXQ_ROWWISE ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
}

static uint64_t logical_rows(const struct strip *strip)
{
    return strip->direction == MXQ_ROWWISE ? strip->panel.rows : strip->panel.cols;
}

static uint64_t logical_nelems(const struct strip *strip)
{
    return strip->direction == MXQ_ROWWISE ? strip->panel.cols : strip->panel.rows;
}

static uint64_t count_blocks(uint64_t nelems)
{
    return (nelems + MXQ_BLOCK_NELEMS - 1) / MXQ_BLOCK_NELEMS;
}

/* ---------------------------------------------------------------------------------------------- strips */

static uint64_t round_down(uint64_t n)
{
    return n < MXQ_PANEL_ALIGN ? MXQ_PANEL_ALIGN : n / MXQ_PANEL_ALIGN * MXQ_PANEL_ALIGN;
}

/* A strip is full logical rows, unless a row alone is very long. */
static void choose_strip(uint64_t rows, uint64_t nelems, uint64_t *high, uint64_t *wide)
{
    const uint64_t least = smaller(rows, MXQ_PANEL_ALIGN);

    *wide = nelems;
    *high = round_down(2 * STRIP_NBYTES / nelems);
    if (least * (nelems / 2) > 8 * STRIP_NBYTES) {
        *wide = round_down(2 * STRIP_NBYTES / least);
        *high = MXQ_PANEL_ALIGN;
    }
}

static uint64_t cut_direction(struct run *run, enum mxq_direction direction, struct strip *strips)
{
    const struct mxq_plan *plan = &run->diff->golden->plan;
    const bool rowwise = direction == MXQ_ROWWISE;
    const uint64_t rows = rowwise ? plan->rows : plan->cols;
    const uint64_t nelems = rowwise ? plan->cols : plan->rows;
    uint64_t high, wide, nstrips = 0;

    if (rows == 0 || nelems == 0 || !(run->diff->compared_data[direction] || run->diff->compared_scale[direction]))
        return 0;
    choose_strip(rows, nelems, &high, &wide);
    for (uint64_t row = 0; row < rows; row += high) {
        for (uint64_t first = 0; first < nelems; first += wide, nstrips++) {
            const uint64_t nrows = smaller(high, rows - row);
            const uint64_t n = smaller(wide, nelems - first);
            if (strips == NULL)
                continue;
            strips[nstrips].direction = direction;
            strips[nstrips].panel =
                rowwise ? (struct mxq_panel){row, first, nrows, n} : (struct mxq_panel){first, row, n, nrows};
        }
    }
    return nstrips;
}

static bool cut_strips(struct run *run, struct mxq_fault *fault)
{
    const uint64_t nrowwise = cut_direction(run, MXQ_ROWWISE, NULL);

    run->nstrips = nrowwise + cut_direction(run, MXQ_COLUMNWISE, NULL);
    run->strips = calloc(run->nstrips + 1, sizeof(*run->strips));
    if (run->strips == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot compare");
        return false;
    }
    cut_direction(run, MXQ_ROWWISE, run->strips);
    cut_direction(run, MXQ_COLUMNWISE, run->strips + nrowwise);
    return true;
}

/* ---------------------------------------------------------------------------------------------- memory */

/* The largest that any strip needs. */
struct sizes {
    uint64_t data;
    uint64_t scale;
    uint64_t nblocks;
    uint64_t source;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_share_sizes(const struct mxq_stored *stored, const struct strip *strip, struct sizes *sizes)
{
    struct mxq_share share;

    mxq_locate_share(&stored->plan, &strip->panel, data_of(strip->direction), &share);
    sizes->data = larger(sizes->data, share.nruns * share.run_nbytes);
    mxq_locate_share(&stored->plan, &strip->panel, scale_of(strip->direction), &share);
    sizes->scale = larger(sizes->scale, share.nruns * share.run_nbytes);
}

static struct sizes find_sizes(const struct run *run)
{
    const struct mxq_diff *diff = run->diff;
    struct sizes sizes = {0, 0, 0, 0};

    for (uint64_t i = 0; i < run->nstrips; i++) {
        const struct strip *strip = &run->strips[i];
        add_share_sizes(diff->test, strip, &sizes);
        add_share_sizes(diff->golden, strip, &sizes);
        sizes.nblocks = larger(sizes.nblocks, logical_rows(strip) * count_blocks(logical_nelems(strip)));
        if (diff->source != NULL)
            sizes.source =
                larger(sizes.source, strip->panel.rows * strip->panel.cols * diff->source_tensor->elem_nbytes);
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
    bool good;

    run->nworkers = mxq_count_workers(run->diff->nthreads, run->nstrips);
    run->workers = calloc(run->nworkers, sizeof(*run->workers));
    good = run->workers != NULL;
    for (unsigned i = 0; i < run->nworkers && good; i++) {
        struct worker *worker = &run->workers[i];
        worker->source = malloc(sizes.source + 1);
        worker->classes = malloc(sizes.nblocks + 1);
        good = worker->source != NULL && worker->classes != NULL && allocate_side(&worker->test, &sizes) &&
               allocate_side(&worker->golden, &sizes);
    }
    if (!good)
        mxq_set_fault(fault, NULL, ENOMEM, "cannot compare");
    return good;
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
        free(run->workers[i].source);
        free(run->workers[i].classes);
    }
    for (uint64_t i = 0; i < run->nstrips && run->strips != NULL; i++)
        free(run->strips[i].mismatches);
    free(run->workers);
    free(run->strips);
    free(run->todo);
}

/* ---------------------------------------------------------------------------------------------- reading */

static bool read_side(const struct run *run, const struct mxq_stored *stored, const struct strip *strip,
                      struct side_buffers *side, struct mxq_share shares[2], struct mxq_fault *fault)
{
    const enum mxq_buffer data = data_of(strip->direction);
    const enum mxq_buffer scale = scale_of(strip->direction);

    memset(shares, 0, 2 * sizeof(*shares));
    if (run->diff->compared_data[strip->direction]) {
        mxq_locate_share(&stored->plan, &strip->panel, data, &shares[0]);
        if (!mxq_read_share(stored, data, &shares[0], side->data_share, fault))
            return false;
    }
    if (run->diff->compared_scale[strip->direction]) {
        mxq_locate_share(&stored->plan, &strip->panel, scale, &shares[1]);
        if (!mxq_read_share(stored, scale, &shares[1], side->scale_share, fault))
            return false;
    }
    return true;
}

static bool layouts_agree(const struct mxq_diff *diff, enum mxq_direction direction)
{
    const enum mxq_layout *test = diff->test->plan.options.layout;
    const enum mxq_layout *golden = diff->golden->plan.options.layout;

    return test[data_of(direction)] == golden[data_of(direction)] &&
           test[scale_of(direction)] == golden[scale_of(direction)];
}

static bool bytes_agree(const struct mxq_diff *diff, const struct strip *strip, const struct worker *worker,
                        const struct mxq_share shares[2])
{
    return layouts_agree(diff, strip->direction) &&
           memcmp(worker->test.data_share, worker->golden.data_share, shares[0].nruns * shares[0].run_nbytes) == 0 &&
           memcmp(worker->test.scale_share, worker->golden.scale_share, shares[1].nruns * shares[1].run_nbytes) == 0;
}

static const uint8_t *load_units(const struct mxq_stored *stored, const struct strip *strip, enum mxq_buffer buffer,
                                 const struct mxq_share *share, const uint8_t *bytes, uint8_t *units)
{
    const struct mxq_origin origin = {bytes, share->run_nbytes};

    return mxq_load_units(&stored->plan, &strip->panel, buffer, &origin, units) == MXQ_OK ? units : NULL;
}

/* Brings a side into logical order, and says where it is. */
static struct mxq_side order_side(const struct run *run, const struct mxq_stored *stored, const struct strip *strip,
                                  struct side_buffers *buffers, const struct mxq_share shares[2])
{
    const enum mxq_direction direction = strip->direction;
    struct mxq_side side = {NULL, NULL};

    if (run->diff->compared_data[direction])
        side.data = load_units(stored, strip, data_of(direction), &shares[0], buffers->data_share, buffers->units);
    if (run->diff->compared_scale[direction])
        side.scale = load_units(stored, strip, scale_of(direction), &shares[1], buffers->scale_share, buffers->scales);
    return side;
}

static bool read_source(const struct run *run, const struct strip *strip, struct worker *worker,
                        struct mxq_matrix *matrix, struct mxq_fault *fault)
{
    const struct mxq_diff *diff = run->diff;

    if (diff->source == NULL)
        return true;
    *matrix = (struct mxq_matrix){worker->source, diff->source_tensor->dtype, strip->panel.rows, strip->panel.cols,
                                  strip->panel.cols};
    return mxq_read_panel(diff->source, diff->golden->plan.cols, &strip->panel, worker->source, NULL, fault);
}

/* ---------------------------------------------------------------------------------------------- padding */

/* Only where both sides have the same padding; different layouts have nothing to compare. */
static void compare_padding(const struct mxq_diff *diff, struct strip *strip, const struct worker *worker,
                            const struct mxq_share shares[2])
{
    const enum mxq_layout *layout = diff->golden->plan.options.layout;
    const enum mxq_layout data_layout = layout[data_of(strip->direction)];
    const enum mxq_layout scale_layout = layout[scale_of(strip->direction)];

    if (!layouts_agree(diff, strip->direction))
        return;
    for (unsigned k = 0; k < 2; k++) {
        const uint8_t *test = k == 0 ? worker->test.data_share : worker->test.scale_share;
        const uint8_t *golden = k == 0 ? worker->golden.data_share : worker->golden.scale_share;
        mxq_compare_padding(k != 0, k == 0 ? data_layout : scale_layout, logical_rows(strip), logical_nelems(strip),
                            &shares[k], test, golden, &strip->sum);
    }
}

/* ---------------------------------------------------------------------------------------------- one strip */

static void fill_pair(const struct run *run, const struct strip *strip, struct mxq_panel_pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    pair->rows = logical_rows(strip);
    pair->nelems = logical_nelems(strip);
    pair->direction = strip->direction;
    pair->recipe = run->diff->recipe;
    pair->places.row_stride = run->diff->golden->plan.cols;
    pair->places.first = strip->panel.row0 * pair->places.row_stride + strip->panel.col0;
}

static bool compare_strip(const struct run *run, struct strip *strip, struct worker *worker,
                          const struct mxq_share test_shares[2], const struct mxq_share golden_shares[2],
                          struct mxq_fault *fault)
{
    const struct mxq_diff *diff = run->diff;
    struct mxq_panel_pair pair;
    struct mxq_matrix source;

    fill_pair(run, strip, &pair);
    pair.test = order_side(run, diff->test, strip, &worker->test, test_shares);
    pair.golden = order_side(run, diff->golden, strip, &worker->golden, golden_shares);
    if (!read_source(run, strip, worker, &source, fault))
        return false;
    pair.source = diff->source != NULL ? &source : NULL;
    strip->mismatches = calloc(diff->limit + 1, sizeof(*strip->mismatches));
    if (strip->mismatches == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot compare");
        return false;
    }
    mxq_compare_panel(&diff->rules, &pair, &strip->sum, strip->mismatches, diff->limit, &strip->nmismatches,
                      worker->classes);
    if (diff->padding)
        compare_padding(diff, strip, worker, golden_shares);
    return true;
}

static bool run_strip(void *context, unsigned number, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = context;
    struct strip *strip = &run->strips[index];
    struct worker *worker = &run->workers[number];
    struct mxq_share test_shares[2], golden_shares[2];

    if (!read_side(run, run->diff->test, strip, &worker->test, test_shares, fault) ||
        !read_side(run, run->diff->golden, strip, &worker->golden, golden_shares, fault))
        return false;
    strip->same = bytes_agree(run->diff, strip, worker, golden_shares);
    if (strip->same)
        return true;
    return compare_strip(run, strip, worker, test_shares, golden_shares, fault);
}

static uint64_t strip_nbytes(const struct strip *strip)
{
    return strip->panel.rows * strip->panel.cols;
}

static void add_to_heat(const struct run *run, const struct strip *strip, const struct worker *worker)
{
    struct mxq_heat *heat = run->diff->heat[strip->direction];
    const uint64_t row0 = strip->direction == MXQ_ROWWISE ? strip->panel.row0 : strip->panel.col0;
    const uint64_t first = strip->direction == MXQ_ROWWISE ? strip->panel.col0 : strip->panel.row0;
    const uint64_t nblocks = count_blocks(logical_nelems(strip));

    if (heat == NULL)
        return;
    if (strip->same)
        mxq_add_equal_heat(heat, row0, first / MXQ_BLOCK_NELEMS, logical_rows(strip), nblocks);
    else
        mxq_add_heat(heat, row0, first / MXQ_BLOCK_NELEMS, logical_rows(strip), nblocks, worker->classes);
}

static void note_strip(void *context, unsigned number, uint64_t index)
{
    struct run *run = context;

    add_to_heat(run, &run->strips[index], &run->workers[number]);
    run->done_nbytes += strip_nbytes(&run->strips[index]);
    mxq_update_progress(run->done_nbytes);
}

/* ---------------------------------------------------------------------------------------------- equal strips */

/* Second pass: the energy of values in strips that are the same on both sides. */
static bool weigh_strip(void *context, unsigned number, uint64_t index, struct mxq_fault *fault)
{
    struct run *run = context;
    struct strip *strip = &run->strips[run->todo[index]];
    struct worker *worker = &run->workers[number];
    struct mxq_share shares[2];
    struct mxq_panel_pair pair;

    if (!read_side(run, run->diff->golden, strip, &worker->golden, shares, fault))
        return false;
    fill_pair(run, strip, &pair);
    pair.golden = order_side(run, run->diff->golden, strip, &worker->golden, shares);
    pair.test = pair.golden;
    mxq_add_equal_panel(&pair, &strip->sum);
    return true;
}

static bool weigh_equal_strips(struct run *run, struct mxq_fault *fault)
{
    struct mxq_tasks tasks = {0, run->nworkers, run, NULL, weigh_strip, NULL};
    bool any_differs = false;

    run->todo = calloc(run->nstrips + 1, sizeof(*run->todo));
    if (run->todo == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot compare");
        return false;
    }
    for (uint64_t i = 0; i < run->nstrips; i++) {
        any_differs |= !run->strips[i].same;
        if (run->strips[i].same)
            run->todo[tasks.ntasks++] = i;
    }
    return !any_differs || mxq_run_tasks(&tasks, fault);
}

/* Counts an equal strip without having looked at its values: nothing differs anywhere, so nothing else is needed. */
static void count_equal_strip(const struct mxq_diff *diff, struct strip *strip)
{
    const uint64_t nblocks = logical_rows(strip) * count_blocks(logical_nelems(strip));

    if (strip->sum.ncodes != 0 || strip->sum.nscales != 0)
        return;
    if (diff->compared_scale[strip->direction])
        strip->sum.nscales = strip->sum.scales[MXQ_CLASS_EQUAL] = nblocks;
    if (diff->compared_data[strip->direction])
        strip->sum.ncodes = strip->sum.codes[MXQ_CLASS_EQUAL] = strip_nbytes(strip);
}

/* ---------------------------------------------------------------------------------------------- all of it */

static void add_found(struct mxq_diff *diff, const struct strip *strip)
{
    const uint64_t row0 = strip->direction == MXQ_ROWWISE ? strip->panel.row0 : strip->panel.col0;
    const uint64_t first = strip->direction == MXQ_ROWWISE ? strip->panel.col0 : strip->panel.row0;

    for (size_t i = 0; i < strip->nmismatches && diff->nfound < diff->limit; i++) {
        struct mxq_found *found = &diff->found[diff->nfound++];
        found->direction = strip->direction;
        found->mismatch = strip->mismatches[i];
        found->mismatch.row += row0;
        found->mismatch.element += first;
    }
}

static void sum_up(struct run *run)
{
    struct mxq_diff *diff = run->diff;

    for (uint64_t i = 0; i < run->nstrips; i++) {
        struct strip *strip = &run->strips[i];
        if (strip->same)
            count_equal_strip(diff, strip);
        mxq_add_comparison(&diff->sum[strip->direction], &strip->sum);
        add_found(diff, strip);
    }
}

static bool run_all(struct run *run, struct mxq_fault *fault)
{
    struct mxq_diff *diff = run->diff;
    struct mxq_tasks tasks = {0, 0, run, NULL, run_strip, note_strip};

    diff->found = calloc(diff->limit + 1, sizeof(*diff->found));
    if (diff->found == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot compare");
        return false;
    }
    if (!cut_strips(run, fault) || !allocate_workers(run, fault))
        return false;
    for (uint64_t i = 0; i < run->nstrips; i++)
        run->total_nbytes += strip_nbytes(&run->strips[i]);
    tasks.ntasks = run->nstrips;
    tasks.nthreads = run->nworkers;
    mxq_start_progress("comparing", run->total_nbytes);
    if (!mxq_run_tasks(&tasks, fault) || !weigh_equal_strips(run, fault))
        return false;
    sum_up(run);
    return true;
}

bool mxq_run_diff(struct mxq_diff *diff, struct mxq_fault *fault)
{
    struct run run;
    bool good;

    memset(&run, 0, sizeof(run));
    run.diff = diff;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        diff->compared_data[d] = diff->test->present[data_of(d)] && diff->golden->present[data_of(d)];
        diff->compared_scale[d] = diff->test->present[scale_of(d)] && diff->golden->present[scale_of(d)];
    }
    good = run_all(&run, fault);
    mxq_end_progress();
    free_run(&run);
    return good;
}

bool mxq_diff_is_equal(const struct mxq_diff *diff)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const struct mxq_comparison *sum = &diff->sum[d];
        if (sum->scales[MXQ_CLASS_EQUAL] != sum->nscales || sum->codes[MXQ_CLASS_EQUAL] != sum->ncodes ||
            sum->padding_differs != 0)
            return false;
    }
    return true;
}

bool mxq_diff_passes(const struct mxq_diff *diff)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (!mxq_comparison_passes(&diff->rules, &diff->sum[d]))
            return false;
    return true;
}
