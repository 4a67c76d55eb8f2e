/* diff_guess.c - what people get wrong, tried in turn when much differs */
#include "cli/diff_guess.h"

#include "kernels/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GUESSES 5

/* Differences that diff found are put into the sample, so that rare kinds are in it too; not so many as to bend it. */
#define MAX_FOUND 64

bool mxq_guess_no_memory(struct mxq_fault *fault)
{
    mxq_set_fault(fault, NULL, ENOMEM, "cannot look for what went wrong");
    return false;
}

bool mxq_guess_add(struct mxq_guess *guess, const char *text, double fits, bool exact, struct mxq_fault *fault)
{
    json_t *object = json_pack("{s:s, s:f, s:b}", "text", text, "fits", fits, "exact", (int)exact);
    size_t at = json_array_size(guess->guesses);

    while (at > guess->group && json_real_value(json_object_get(json_array_get(guess->guesses, at - 1), "fits")) < fits)
        at--;
    if (json_array_insert_new(guess->guesses, at, object) != 0)
        return mxq_guess_no_memory(fault);
    if (json_array_size(guess->guesses) > MAX_GUESSES)
        json_array_remove(guess->guesses, MAX_GUESSES);
    return true;
}

/* ---------------------------------------------------------------------------------------------- the sample */

/* A generator with a fixed seed (splitmix64), so that the same files give the same guesses. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* One block out of each of n stretches of equal length; the last one takes what is left. */
static void draw_sample(struct mxq_guess_sample *sample, uint64_t nblocks, enum mxq_direction direction)
{
    const uint64_t width = nblocks / sample->nblocks;
    uint64_t state = 0x4d584650u + direction;

    for (size_t i = 0; i < sample->nblocks; i++) {
        const uint64_t left = nblocks - i * width;
        sample->index[i] = i * width + draw(&state) % (i + 1 == sample->nblocks ? left : width);
    }
}

static void add_found(struct mxq_guess_sample *sample, const struct mxq_diff *diff, uint64_t nblocks,
                      enum mxq_direction direction)
{
    const uint64_t width = nblocks / sample->nblocks;

    for (size_t i = 0; i < diff->nfound && i < MAX_FOUND; i++) {
        const struct mxq_mismatch *mismatch = &diff->found[i].mismatch;
        const uint64_t block = mismatch->element / MXQ_BLOCK_NELEMS;
        const uint64_t index = mismatch->row * sample->shape.nblocks + block;
        const uint64_t stretch = index / width;
        if (diff->found[i].direction == direction && mismatch->row < sample->shape.rows &&
            block < sample->shape.nblocks)
            sample->index[stretch < sample->nblocks ? stretch : sample->nblocks - 1] = index;
    }
}

static bool make_sample(struct mxq_guess *guess, enum mxq_direction direction, struct mxq_fault *fault)
{
    const struct mxq_diff *diff = guess->diff;
    const struct mxq_plan *plan = &diff->golden->plan;
    const struct mxq_comparison *sum = &diff->sum[direction];
    struct mxq_guess_sample *sample = &guess->sample[direction];
    uint64_t nblocks;

    sample->compared[MXQ_GUESS_DATA] = diff->compared_data[direction];
    sample->compared[MXQ_GUESS_SCALE] = diff->compared_scale[direction];
    sample->equal[MXQ_GUESS_DATA] = sum->ncodes != 0 && sum->codes[MXQ_CLASS_EQUAL] == sum->ncodes;
    sample->equal[MXQ_GUESS_SCALE] = sum->nscales != 0 && sum->scales[MXQ_CLASS_EQUAL] == sum->nscales;
    sample->shape.rows = direction == MXQ_ROWWISE ? plan->rows : plan->cols;
    sample->shape.nelems = direction == MXQ_ROWWISE ? plan->cols : plan->rows;
    sample->shape.nblocks = mxq_count_blocks(sample->shape.nelems);
    nblocks = sample->shape.rows * sample->shape.nblocks;
    if ((!sample->compared[0] && !sample->compared[1]) || nblocks == 0)
        return true;
    sample->nblocks = nblocks < MXQ_GUESS_BLOCKS ? (size_t)nblocks : MXQ_GUESS_BLOCKS;
    sample->whole = sample->nblocks == nblocks;
    sample->index = malloc(sample->nblocks * sizeof(*sample->index));
    if (sample->index == NULL)
        return mxq_guess_no_memory(fault);
    draw_sample(sample, nblocks, direction);
    add_found(sample, diff, nblocks, direction);
    return true;
}

/* ---------------------------------------------------------------------------------------------- readings */

static bool add_account(struct mxq_guess *guess, struct mxq_guess_account *account, struct mxq_fault *fault)
{
    char text[MXQ_GUESS_TEXT_NBYTES];

    if (!mxq_guess_confirm(guess, account, fault))
        return false;
    mxq_guess_describe(guess, account, text);
    return mxq_guess_add(guess, text, (double)account->sample_same / (double)account->sample_total, account->whole,
                         fault);
}

/*
 * Whether it was another order, on TEST's side alone. Then the same may be true of GOLDEN the other way round, and nobody
 * can tell who is wrong; what is its own inverse, as swapping nibbles, needs no such second word.
 */
static bool moves_test(const struct mxq_guess_account *account)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++) {
            const struct mxq_guess_fit *fit = &account->fit[d][part];
            if (fit->changed && (fit->side != MXQ_GUESS_TEST || !fit->reading[MXQ_GUESS_TEST].moved ||
                                 fit->reading[MXQ_GUESS_TEST].nchanges > 1))
                return false;
        }
    }
    return account->changed;
}

/* Whether parts were changed on this side. */
static bool changes_side(const struct mxq_guess_account *account, enum mxq_guess_side side)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++)
            if (account->fit[d][part].changed && account->fit[d][part].side == side)
                return true;
    return false;
}

/* The best account that changes this side alone; *found: it is as good as another one. */
static bool find_one_sided(struct mxq_guess *guess, enum mxq_guess_side side, const struct mxq_guess_account *other,
                           struct mxq_guess_account *account, bool *found, struct mxq_fault *fault)
{
    const bool allowed[MXQ_GUESS_NUM_SIDES] = {side == MXQ_GUESS_TEST, side == MXQ_GUESS_GOLDEN};

    if (!mxq_guess_find_account(guess, allowed, account, fault))
        return false;
    *found = account->changed && account->partial == other->partial && account->sample_total == other->sample_total &&
             account->sample_same >= other->sample_same;
    return true;
}

/* Chooses readings: where both sides would be to blame, rather one alone that explains as much. */
static bool choose_readings(struct mxq_guess *guess, struct mxq_guess_account *account, struct mxq_fault *fault)
{
    const bool both[MXQ_GUESS_NUM_SIDES] = {true, true};
    struct mxq_guess_account other;
    bool found = false;

    if (!mxq_guess_find_account(guess, both, account, fault))
        return false;
    if (!changes_side(account, MXQ_GUESS_TEST) || !changes_side(account, MXQ_GUESS_GOLDEN))
        return true;
    for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES && !found; side++)
        if (!find_one_sided(guess, side, account, &other, &found, fault))
            return false;
    if (found)
        *account = other;
    return true;
}

static bool guess_readings(struct mxq_guess *guess, struct mxq_guess_account *account, struct mxq_fault *fault)
{
    struct mxq_guess_account other;
    bool found;

    if (!choose_readings(guess, account, fault))
        return false;
    if (!account->changed)
        return true;
    if (!add_account(guess, account, fault))
        return false;
    if (!moves_test(account))
        return true;
    if (!find_one_sided(guess, MXQ_GUESS_GOLDEN, account, &other, &found, fault))
        return false;
    return !found || add_account(guess, &other, fault);
}

/* ---------------------------------------------------------------------------------------------- all */

static bool guess_all(struct mxq_guess *guess, struct mxq_fault *fault)
{
    struct mxq_guess_account account;
    const char *prefix;
    bool explained = false;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (!make_sample(guess, d, fault))
            return false;
    if (!guess_readings(guess, &account, fault))
        return false;
    if (account.changed && !account.partial && account.same == account.total)
        return true;
    if (!mxq_guess_load_views(guess, &account, fault))
        return false;
    prefix = account.changed ? "after that, " : "";
    guess->group = json_array_size(guess->guesses);
    if (guess->diff->source != NULL && guess->diff->recipe != NULL &&
        !mxq_guess_recipes(guess, prefix, &explained, fault))
        return false;
    return explained || mxq_guess_kinds(guess, prefix, account.changed, fault);
}

static void free_guess(struct mxq_guess *guess)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        free(guess->sample[d].index);
    for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES; side++) {
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
            free(guess->view[d].codes[side]);
            free(guess->view[d].scale[side]);
        }
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            free(guess->whole[side][b]);
    }
}

json_t *mxq_guess_diff(const struct mxq_diff *diff, struct mxq_fault *fault)
{
    struct mxq_guess guess;
    bool good;

    memset(&guess, 0, sizeof(guess));
    guess.diff = diff;
    guess.guesses = json_array();
    good = guess.guesses != NULL ? guess_all(&guess, fault) : mxq_guess_no_memory(fault);
    free_guess(&guess);
    if (good)
        return guess.guesses;
    json_decref(guess.guesses);
    return NULL;
}
