/* diff_guess_fit.c - the readings under which most of a sample matches */
#include "cli/diff_guess.h"
#include "kernels/layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A search over the readings of one part. */
struct search {
    struct mxq_guess *guess;
    const struct mxq_guess_sample *sample;
    struct mxq_guess_fit *fit;
    uint8_t *given[MXQ_GUESS_NUM_SIDES]; /* units under the given readings */
    uint8_t *units;                      /* under another one */
    bool scales;
};

bool mxq_guess_is_better(size_t n, size_t base, size_t same, bool scales)
{
    const double gain = (double)same - (double)base;

    /* Half of what differs must be explained. Scale bytes take few values, so many match wherever they are put. */
    if (same <= base || 2 * (n - same) > n - base)
        return false;
    if (!scales)
        return same == n || gain * 50 >= (double)n;
    return gain >= (same == n ? 1 : 3) * sqrt((double)n);
}

/* Whether a fit may be told. What blames GOLDEN, or takes two changes, has to fit nearly all, lest chance picks it. */
static bool is_believable(const struct mxq_guess_fit *fit, size_t n, bool scales)
{
    if (fit->changed && (fit->side == MXQ_GUESS_GOLDEN || fit->reading[fit->side].nchanges > 1) &&
        (n - fit->same) * 20 > n)
        return false;
    return mxq_guess_is_better(n, fit->base, fit->same, scales);
}

static size_t count_same(const struct search *search, const struct mxq_guess_fit *fit, const uint8_t *test,
                         const uint8_t *golden)
{
    const size_t unit_nbytes = search->scales ? 1 : MXQ_UNIT_NBYTES;
    const struct mxq_guess_sample *sample = search->sample;
    size_t same = 0;

    for (size_t i = 0; i < sample->nblocks; i++)
        same += mxq_guess_same_unit(fit, &sample->shape, sample->index[i] % sample->shape.nblocks,
                                    test + i * unit_nbytes, golden + i * unit_nbytes);
    return same;
}

/* Whether the order of these readings is the same, so that units need not be read again. */
static bool same_order(const struct mxq_guess_reading *a, const struct mxq_guess_reading *b)
{
    return a->buffer == b->buffer && a->order == b->order && a->pitch == b->pitch;
}

/* Whether a reading takes the place of the best one so far; what takes more changes must fit clearly better. */
static bool is_preferred(const struct search *search, const struct mxq_guess_fit *fit)
{
    const struct mxq_guess_fit *best = search->fit;
    const unsigned nchanges = fit->reading[fit->side].nchanges;
    const unsigned best_nchanges = best->reading[fit->side].nchanges;

    if (!best->changed || nchanges == best_nchanges)
        return fit->same > best->same;
    if (nchanges < best_nchanges)
        return fit->same >= best->same;
    return mxq_guess_is_better(search->sample->nblocks, best->same, fit->same, search->scales);
}

/* Tries the other readings of one side. */
static bool try_side(struct search *search, enum mxq_guess_side side, const struct mxq_guess_reading *readings,
                     size_t nreadings, struct mxq_fault *fault)
{
    const struct mxq_guess_reading *loaded = NULL;

    for (size_t i = 1; i < nreadings; i++) {
        struct mxq_guess_fit fit = *search->fit;
        fit.reading[side] = readings[i];
        fit.reading[!side] = search->fit->reading[!side];
        if (loaded == NULL || !same_order(loaded, &readings[i])) {
            if (!mxq_guess_gather(search->guess, side, &readings[i], search->sample, search->units, fault))
                return false;
            loaded = &readings[i];
        }
        fit.changed = true;
        fit.side = side;
        fit.same = count_same(search, &fit, side == MXQ_GUESS_TEST ? search->units : search->given[0],
                              side == MXQ_GUESS_TEST ? search->given[1] : search->units);
        if (is_preferred(search, &fit))
            *search->fit = fit;
    }
    return true;
}

static bool allocate(struct search *search, size_t nbytes, struct mxq_fault *fault)
{
    search->units = malloc(nbytes);
    search->given[0] = malloc(nbytes);
    search->given[1] = malloc(nbytes);
    return (search->units != NULL && search->given[0] != NULL && search->given[1] != NULL) ||
           mxq_guess_no_memory(fault);
}

/* The given readings first; then what else the allowed sides may be. */
static bool search_readings(struct search *search, const bool allowed[MXQ_GUESS_NUM_SIDES],
                            struct mxq_guess_reading (*readings)[MXQ_GUESS_READINGS], const size_t *nreadings,
                            struct mxq_fault *fault)
{
    struct mxq_guess_fit *fit = search->fit;
    struct mxq_guess_fit given;

    for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES; side++) {
        fit->reading[side] = readings[side][0];
        if (!mxq_guess_gather(search->guess, side, &readings[side][0], search->sample, search->given[side], fault))
            return false;
    }
    fit->same = fit->base = count_same(search, fit, search->given[0], search->given[1]);
    given = *fit;
    for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES; side++) {
        const struct mxq_guess_fit best = *fit;
        *fit = given;
        if (allowed[side] && given.same < search->sample->nblocks &&
            !try_side(search, side, readings[side], nreadings[side], fault))
            return false;
        /* Rather TEST is wrong than GOLDEN. */
        if (!is_believable(fit, search->sample->nblocks, search->scales) ||
            (best.changed && !mxq_guess_is_better(search->sample->nblocks, best.same, fit->same, search->scales)))
            *fit = best;
    }
    return true;
}

static bool fit_part(struct mxq_guess *guess, const bool allowed[MXQ_GUESS_NUM_SIDES], enum mxq_direction direction,
                     enum mxq_guess_part part, struct mxq_guess_fit *fit, struct mxq_fault *fault)
{
    const struct mxq_guess_sample *sample = &guess->sample[direction];
    struct search search = {.guess = guess, .sample = sample, .fit = fit, .scales = part == MXQ_GUESS_SCALE};
    struct mxq_guess_reading readings[MXQ_GUESS_NUM_SIDES][MXQ_GUESS_READINGS];
    const size_t nreadings[MXQ_GUESS_NUM_SIDES] = {
        mxq_guess_list_readings(guess->diff->test, direction, part, &sample->shape, readings[MXQ_GUESS_TEST]),
        mxq_guess_list_readings(guess->diff->golden, direction, part, &sample->shape, readings[MXQ_GUESS_GOLDEN])};
    bool good;

    memset(fit, 0, sizeof(*fit));
    if (nreadings[MXQ_GUESS_TEST] == 0 || nreadings[MXQ_GUESS_GOLDEN] == 0)
        return true;
    good = allocate(&search, sample->nblocks * MXQ_UNIT_NBYTES, fault) &&
           search_readings(&search, allowed, readings, nreadings, fault);
    free(search.units);
    free(search.given[0]);
    free(search.given[1]);
    return good;
}

/* ---------------------------------------------------------------------------------------------- together */

/* Marks, in matches, the blocks of the sample that match under a fit. */
static bool mark_matches(struct mxq_guess *guess, enum mxq_direction direction, const struct mxq_guess_fit *fit,
                         bool *matches, struct mxq_fault *fault)
{
    const struct mxq_guess_sample *sample = &guess->sample[direction];
    const size_t unit_nbytes = mxq_is_scale(fit->reading[0].buffer) ? 1 : MXQ_UNIT_NBYTES;
    uint8_t *test = malloc(sample->nblocks * unit_nbytes);
    uint8_t *golden = malloc(sample->nblocks * unit_nbytes);
    bool good = (test != NULL && golden != NULL) || mxq_guess_no_memory(fault);

    good = good && mxq_guess_gather(guess, MXQ_GUESS_TEST, &fit->reading[0], sample, test, fault) &&
           mxq_guess_gather(guess, MXQ_GUESS_GOLDEN, &fit->reading[1], sample, golden, fault);
    for (size_t i = 0; i < sample->nblocks && good; i++)
        matches[i] = matches[i] && mxq_guess_same_unit(fit, &sample->shape, sample->index[i] % sample->shape.nblocks,
                                                       test + i * unit_nbytes, golden + i * unit_nbytes);
    free(test);
    free(golden);
    return good;
}

/* Counts the blocks of one direction's sample in which all parts match, or all parts that were changed. */
static bool count_direction(struct mxq_guess *guess, const struct mxq_guess_account *account,
                            enum mxq_direction direction, bool only_changed, size_t *same, struct mxq_fault *fault)
{
    const struct mxq_guess_sample *sample = &guess->sample[direction];
    bool *matches = malloc(sample->nblocks * sizeof(*matches));
    bool good = matches != NULL || mxq_guess_no_memory(fault);

    for (size_t i = 0; i < sample->nblocks && good; i++)
        matches[i] = true;
    for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS && good; part++)
        if (sample->compared[part] && (!only_changed || account->fit[direction][part].changed))
            good = mark_matches(guess, direction, &account->fit[direction][part], matches, fault);
    for (size_t i = 0; i < sample->nblocks && good; i++)
        *same += matches[i];
    free(matches);
    return good;
}

static bool direction_is_changed(const struct mxq_guess_account *account, enum mxq_direction direction)
{
    return account->fit[direction][MXQ_GUESS_DATA].changed || account->fit[direction][MXQ_GUESS_SCALE].changed;
}

/* Of everything, or, if that does not match anyway, of what was changed. */
static bool count_account(struct mxq_guess *guess, struct mxq_guess_account *account, struct mxq_fault *fault)
{
    size_t all = 0, changed = 0, nall = 0, nchanged = 0;

    account->whole = true;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        if (guess->sample[d].nblocks == 0)
            continue;
        if (!count_direction(guess, account, d, false, &all, fault))
            return false;
        nall += guess->sample[d].nblocks;
        account->whole = account->whole && guess->sample[d].whole;
        if (!direction_is_changed(account, d))
            continue;
        if (!count_direction(guess, account, d, true, &changed, fault))
            return false;
        nchanged += guess->sample[d].nblocks;
    }
    account->partial = nall - all > nchanged - changed;
    account->sample_same = account->partial ? changed : all;
    account->sample_total = account->partial ? nchanged : nall;
    account->same = account->sample_same;
    account->total = account->sample_total;
    return true;
}

bool mxq_guess_find_account(struct mxq_guess *guess, const bool allowed[MXQ_GUESS_NUM_SIDES],
                            struct mxq_guess_account *account, struct mxq_fault *fault)
{
    memset(account, 0, sizeof(*account));
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++) {
            if (guess->sample[d].nblocks == 0 || !guess->sample[d].compared[part])
                continue;
            if (!fit_part(guess, allowed, d, part, &account->fit[d][part], fault))
                return false;
            account->changed |= account->fit[d][part].changed;
        }
    }
    return count_account(guess, account, fault);
}

/* ---------------------------------------------------------------------------------------------- views */

static void unpack_unit(const struct mxq_guess_fit *fit, const struct mxq_guess_shape *shape, uint64_t block,
                        const uint8_t *const units[MXQ_GUESS_NUM_SIDES], struct mxq_guess_view *view, size_t i)
{
    for (unsigned code = 0; code < mxq_guess_nvalid(shape, block); code++) {
        uint8_t codes[MXQ_GUESS_NUM_SIDES];
        bool known[MXQ_GUESS_NUM_SIDES];
        for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES; side++)
            codes[side] = mxq_guess_code(fit->reading[side].twist, units[side] + i * MXQ_UNIT_NBYTES,
                                         mxq_guess_unit_nbytes(&fit->reading[side], shape, block), code, &known[side]);
        for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES && known[0] && known[1]; side++)
            view->codes[side][i][code] = codes[side];
    }
}

static bool load_codes(struct mxq_guess *guess, enum mxq_direction direction, const struct mxq_guess_fit *fit,
                       struct mxq_guess_view *view, struct mxq_fault *fault)
{
    const struct mxq_guess_sample *sample = &guess->sample[direction];
    uint8_t *test = malloc(sample->nblocks * MXQ_UNIT_NBYTES);
    uint8_t *golden = malloc(sample->nblocks * MXQ_UNIT_NBYTES);
    const uint8_t *const units[MXQ_GUESS_NUM_SIDES] = {test, golden};
    bool good = true;

    view->codes[0] = calloc(sample->nblocks, MXQ_BLOCK_NELEMS);
    view->codes[1] = calloc(sample->nblocks, MXQ_BLOCK_NELEMS);
    if (test == NULL || golden == NULL || view->codes[0] == NULL || view->codes[1] == NULL)
        good = mxq_guess_no_memory(fault);
    good = good && mxq_guess_gather(guess, MXQ_GUESS_TEST, &fit->reading[0], sample, test, fault) &&
           mxq_guess_gather(guess, MXQ_GUESS_GOLDEN, &fit->reading[1], sample, golden, fault);
    for (size_t i = 0; i < sample->nblocks && good; i++)
        unpack_unit(fit, &sample->shape, sample->index[i] % sample->shape.nblocks, units, view, i);
    free(test);
    free(golden);
    return good;
}

static bool load_scales(struct mxq_guess *guess, enum mxq_direction direction, const struct mxq_guess_fit *fit,
                        struct mxq_guess_view *view, struct mxq_fault *fault)
{
    const struct mxq_guess_sample *sample = &guess->sample[direction];

    for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES; side++) {
        view->scale[side] = malloc(sample->nblocks);
        if (view->scale[side] == NULL)
            return mxq_guess_no_memory(fault);
        if (!mxq_guess_gather(guess, side, &fit->reading[side], sample, view->scale[side], fault))
            return false;
    }
    return true;
}

bool mxq_guess_load_views(struct mxq_guess *guess, const struct mxq_guess_account *account, struct mxq_fault *fault)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const struct mxq_guess_sample *sample = &guess->sample[d];
        if (sample->nblocks == 0)
            continue;
        if (sample->compared[MXQ_GUESS_DATA] &&
            !load_codes(guess, d, &account->fit[d][MXQ_GUESS_DATA], &guess->view[d], fault))
            return false;
        if (sample->compared[MXQ_GUESS_SCALE] &&
            !load_scales(guess, d, &account->fit[d][MXQ_GUESS_SCALE], &guess->view[d], fault))
            return false;
    }
    return true;
}
