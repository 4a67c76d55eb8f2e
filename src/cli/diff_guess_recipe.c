/* diff_guess_recipe.c - with the source at hand: which recipe makes TEST, and which makes GOLDEN */
#include "cli/diff_guess.h"

#include "kernels/layout.h"
#include "kernels/mxq_block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A recipe that is tried. What is simpler costs less: of two that fit alike, the cheaper one is told. */
struct candidate {
    struct mxq_recipe recipe;
    const struct mxq_profile *profile; /* or NULL */
    bool turned;                       /* blocks along the other axis of the source */
    unsigned cost;
    size_t misses;
};

/* What a transform may take in: the values of a row in whose middle a block is, from a multiple of this on. */
#define GROUP_NELEMS MXQ_HADAMARD_NELEMS

/* The values of the sampled blocks with their groups, as patterns of FP32. */
struct values {
    uint32_t (*along)[GROUP_NELEMS];
    uint32_t (*across)[GROUP_NELEMS]; /* along the other axis; NULL unless the matrix is square */
    struct mxq_amax *tile;            /* of the 32 x 32 around each, as GOLDEN's recipe transforms them; or NULL */
};

struct search {
    const struct mxq_guess *guess;
    struct values values[MXQ_NUM_DIRECTIONS];
    enum mxq_guess_side side;
    unsigned directions; /* looked at, in bits */
    size_t nblocks;      /* in the samples of these */
    int zero_byte;       /* what the side has for a block of zeros; -1: none was sampled */
    struct candidate best;
};

/* ---------------------------------------------------------------------------------------------- values */

static uint32_t widen(enum mxq_dtype dtype, const void *elements, unsigned i)
{
    switch (dtype) {
    case MXQ_BF16:
        return mxq_widen_bf16(((const uint16_t *)elements)[i]);
    case MXQ_F16:
        return mxq_widen_f16(((const uint16_t *)elements)[i]);
    default: /* MXQ_F32 */
        return ((const uint32_t *)elements)[i];
    }
}

/* The group of a block in nrows rows, each padded with zeros. down: rows of the logical matrix are columns of the source. */
static bool load_group(const struct mxq_guess *guess, const struct mxq_guess_shape *shape, bool down, uint64_t row0,
                       unsigned nrows, uint64_t block, uint32_t x[][GROUP_NELEMS], struct mxq_fault *fault)
{
    const uint64_t first = block * MXQ_BLOCK_NELEMS / GROUP_NELEMS * GROUP_NELEMS;
    const unsigned n = shape->nelems - first < GROUP_NELEMS ? (unsigned)(shape->nelems - first) : GROUP_NELEMS;
    const struct mxq_panel along = {row0, first, nrows, n};
    const struct mxq_panel across = {first, row0, n, nrows};
    uint32_t elements[MXQ_BLOCK_NELEMS * GROUP_NELEMS];

    if (!mxq_read_panel(guess->diff->source, guess->diff->golden->plan.cols, down ? &across : &along, elements, NULL,
                        fault))
        return false;
    memset(x, 0, nrows * sizeof(*x));
    for (unsigned row = 0; row < nrows; row++)
        for (unsigned i = 0; i < n; i++)
            x[row][i] = widen(guess->diff->source_tensor->dtype, elements, down ? i * nrows + row : row * n + i);
    return true;
}

/* The values of a block of a group, as a recipe transforms them. */
static void transform_block(const struct mxq_recipe *recipe, const uint32_t group[GROUP_NELEMS], uint64_t block,
                            uint32_t x[MXQ_BLOCK_NELEMS])
{
    uint32_t copy[GROUP_NELEMS];

    memcpy(copy, group, sizeof(copy));
    if (recipe->hadamard_nelems != 0)
        mxq_transform_values(recipe, 0, GROUP_NELEMS, copy);
    memcpy(x, copy + block * MXQ_BLOCK_NELEMS % GROUP_NELEMS, MXQ_BLOCK_NELEMS * sizeof(*x));
}

static bool load_tile(const struct mxq_guess *guess, const struct mxq_guess_shape *shape, bool down, uint64_t index,
                      struct mxq_amax *amax, struct mxq_fault *fault)
{
    const uint64_t block = index % shape->nblocks;
    const uint64_t row0 = index / shape->nblocks / MXQ_BLOCK_NELEMS * MXQ_BLOCK_NELEMS;
    const unsigned nrows = shape->rows - row0 < MXQ_BLOCK_NELEMS ? (unsigned)(shape->rows - row0) : MXQ_BLOCK_NELEMS;
    uint32_t groups[MXQ_BLOCK_NELEMS][GROUP_NELEMS];
    uint32_t x[MXQ_BLOCK_NELEMS];

    if (!load_group(guess, shape, down, row0, nrows, block, groups, fault))
        return false;
    *amax = (struct mxq_amax){0, false};
    for (unsigned row = 0; row < nrows; row++) {
        transform_block(guess->diff->recipe, groups[row], block, x);
        *amax = mxq_join_amax(*amax, mxq_find_amax(x));
    }
    return true;
}

static bool load_values(const struct mxq_guess *guess, enum mxq_direction direction, struct values *values,
                        struct mxq_fault *fault)
{
    const struct mxq_guess_sample *sample = &guess->sample[direction];
    const bool square = sample->shape.rows == sample->shape.nelems;
    const bool tiles = guess->diff->recipe->block == MXQ_BLOCK_32X32;
    const bool down = direction == MXQ_COLUMNWISE;

    values->along = malloc(sample->nblocks * sizeof(*values->along));
    values->across = square ? malloc(sample->nblocks * sizeof(*values->across)) : NULL;
    values->tile = tiles ? malloc(sample->nblocks * sizeof(*values->tile)) : NULL;
    if (values->along == NULL || (square && values->across == NULL) || (tiles && values->tile == NULL))
        return mxq_guess_no_memory(fault);
    for (size_t i = 0; i < sample->nblocks; i++) {
        const uint64_t row = sample->index[i] / sample->shape.nblocks;
        const uint64_t block = sample->index[i] % sample->shape.nblocks;
        if (!load_group(guess, &sample->shape, down, row, 1, block, values->along + i, fault))
            return false;
        if (square && !load_group(guess, &sample->shape, !down, row, 1, block, values->across + i, fault))
            return false;
        if (tiles && !load_tile(guess, &sample->shape, down, sample->index[i], &values->tile[i], fault))
            return false;
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------- trying */

/* The unit of a sampled block under a recipe, and its scale byte. */
static uint8_t quantize_block(const struct search *search, enum mxq_direction direction, size_t i,
                              const struct candidate *candidate, uint8_t unit[MXQ_UNIT_NBYTES])
{
    const struct mxq_guess_sample *sample = &search->guess->sample[direction];
    const struct values *values = &search->values[direction];
    const struct mxq_recipe *recipe = &candidate->recipe;
    const uint64_t row = sample->index[i] / sample->shape.nblocks;
    const uint64_t block = sample->index[i] % sample->shape.nblocks;
    const uint64_t first = block * MXQ_BLOCK_NELEMS;
    const uint64_t cols = search->guess->diff->golden->plan.cols;
    const bool rowwise = direction == MXQ_ROWWISE;
    struct mxq_scale scale;
    uint32_t x[MXQ_BLOCK_NELEMS];

    transform_block(recipe, candidate->turned ? values->across[i] : values->along[i], block, x);
    scale = mxq_find_scale(recipe, recipe->block == MXQ_BLOCK_32X32 ? values->tile[i] : mxq_find_amax(x));
    mxq_encode_block(recipe, scale, x,
                     recipe->hadamard_nelems != 0 ? MXQ_BLOCK_NELEMS : mxq_guess_nvalid(&sample->shape, block),
                     rowwise ? row * cols + first : first * cols + row, rowwise ? 1 : cols, unit);
    return scale.byte;
}

static bool block_fits(const struct search *search, enum mxq_direction direction, size_t i,
                       const struct candidate *candidate)
{
    const struct mxq_guess_shape *shape = &search->guess->sample[direction].shape;
    const struct mxq_guess_view *view = &search->guess->view[direction];
    const unsigned nvalid = mxq_guess_nvalid(shape, search->guess->sample[direction].index[i] % shape->nblocks);
    uint8_t unit[MXQ_UNIT_NBYTES];
    const uint8_t scale = quantize_block(search, direction, i, candidate, unit);

    if (view->scale[search->side] != NULL && view->scale[search->side][i] != scale)
        return false;
    for (unsigned j = 0; j < nvalid && view->codes[search->side] != NULL; j++)
        if (view->codes[search->side][i][j] != (unit[j / 2] >> j % 2 * 4 & 15))
            return false;
    return true;
}

static bool looks_at(const struct search *search, unsigned direction)
{
    return (search->directions >> direction & 1) != 0;
}

/* Of tiles only those are known that lie as GOLDEN's do and are transformed like them. */
static bool can_try(const struct search *search, unsigned direction, const struct candidate *candidate)
{
    const struct mxq_recipe *recipe = &candidate->recipe;
    const uint64_t nelems = search->guess->sample[direction].shape.nelems;

    if (candidate->turned && (search->values[direction].across == NULL || recipe->block == MXQ_BLOCK_32X32))
        return false;
    if (recipe->block == MXQ_BLOCK_32X32 && recipe->hadamard_nelems != search->guess->diff->recipe->hadamard_nelems)
        return false;
    return recipe->hadamard_nelems <= MXQ_BLOCK_NELEMS || nelems % recipe->hadamard_nelems == 0;
}

/* Counts the blocks that do not fit, but gives up when there are more than limit. */
static size_t count_misses(const struct search *search, const struct candidate *candidate, size_t limit)
{
    size_t misses = 0;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        if (!looks_at(search, d))
            continue;
        if (!can_try(search, d, candidate))
            return search->nblocks;
        for (size_t i = 0; i < search->guess->sample[d].nblocks && misses <= limit; i++)
            misses += !block_fits(search, d, i, candidate);
    }
    return misses;
}

static void try_candidate(struct search *search, struct candidate *candidate)
{
    candidate->misses = count_misses(search, candidate, search->best.misses);
    if (candidate->misses < search->best.misses ||
        (candidate->misses == search->best.misses && candidate->cost < search->best.cost))
        search->best = *candidate;
}

/* Switches in which two recipes differ that people know by name. */
static unsigned count_switches(const struct mxq_recipe *a, const struct mxq_recipe *b)
{
    return (unsigned)(a->scale != b->scale) + (a->ties != b->ties) + (a->sign != b->sign) +
           (a->zero_byte != b->zero_byte) + (a->hadamard_nelems != b->hadamard_nelems) + (a->block != b->block);
}

/* A profile is dearer than one switch, and cheaper than two. */
static void try_profiles(struct search *search)
{
    const struct mxq_recipe *base = search->guess->diff->recipe;
    const struct mxq_profile *profile;

    for (size_t i = 0; (profile = mxq_get_profile(i)) != NULL; i++) {
        struct candidate candidate = {.recipe = profile->recipe, .profile = profile};
        candidate.recipe.hadamard_nelems = base->hadamard_nelems;
        memcpy(candidate.recipe.hadamard_signs, base->hadamard_signs, sizeof(base->hadamard_signs));
        candidate.recipe.block = base->block;
        candidate.cost = 12 + count_switches(&candidate.recipe, base);
        try_candidate(search, &candidate);
    }
}

static void try_switches(struct search *search, unsigned hadamard_nelems, enum mxq_block block, uint8_t zero_byte)
{
    const struct mxq_recipe *base = search->guess->diff->recipe;

    for (unsigned scale = 0; scale < MXQ_NUM_SCALE_RULES; scale++) {
        for (unsigned ties = 0; ties < MXQ_NUM_TIES; ties++) {
            if (ties == MXQ_TIES_STOCHASTIC && base->ties != MXQ_TIES_STOCHASTIC)
                continue; /* nobody knows the seed */
            for (unsigned sign = 0; sign < MXQ_NUM_SIGNS; sign++) {
                struct candidate candidate = {.recipe = *base};
                candidate.recipe.scale = scale;
                candidate.recipe.ties = ties;
                candidate.recipe.sign = sign;
                candidate.recipe.zero_byte = zero_byte;
                candidate.recipe.hadamard_nelems = hadamard_nelems;
                candidate.recipe.block = block;
                candidate.cost = 10 * count_switches(&candidate.recipe, base);
                try_candidate(search, &candidate);
            }
        }
    }
}

static void try_all(struct search *search)
{
    const struct mxq_recipe *base = search->guess->diff->recipe;
    struct candidate turned = {.recipe = *base, .turned = true, .cost = 10};

    search->best = (struct candidate){.recipe = *base, .misses = search->nblocks + 1};
    try_candidate(search, &search->best);
    if (search->best.misses == 0)
        return;
    for (unsigned nelems = 0; nelems <= MXQ_HADAMARD_NELEMS; nelems = nelems == 0 ? 16 : 2 * nelems) {
        for (unsigned block = 0; block <= (unsigned)base->block; block++) {
            try_switches(search, nelems, block, base->zero_byte);
            if (search->zero_byte >= 0 && search->zero_byte != base->zero_byte)
                try_switches(search, nelems, block, (uint8_t)search->zero_byte);
        }
    }
    try_candidate(search, &turned);
    try_profiles(search);
}

static bool is_zero_block(const struct search *search, unsigned direction, size_t i)
{
    const struct mxq_guess_sample *sample = &search->guess->sample[direction];
    const uint64_t block = sample->index[i] % sample->shape.nblocks;

    return mxq_find_amax(search->values[direction].along[i] + block * MXQ_BLOCK_NELEMS % GROUP_NELEMS).bits == 0;
}

/* The scale byte of the first sampled block of zeros. */
static int find_zero_byte(const struct search *search)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const uint8_t *scale = search->guess->view[d].scale[search->side];
        for (size_t i = 0; i < search->guess->sample[d].nblocks && scale != NULL && looks_at(search, d); i++)
            if (is_zero_block(search, d, i))
                return scale[i];
    }
    return -1;
}

/* ---------------------------------------------------------------------------------------------- telling */

static const char *ties_words(enum mxq_ties ties)
{
    static const char *const words[MXQ_NUM_TIES] = {"ties to even", "ties away from zero", "ties toward zero",
                                                    "stochastic rounding"};

    return words[ties];
}

static void append_word(char text[MXQ_GUESS_TEXT_NBYTES], unsigned *nwords, unsigned total, const char *word)
{
    if (*nwords > 0)
        mxq_guess_append(text, *nwords + 1 == total ? " and " : ", ");
    mxq_guess_append(text, "%s", word);
    ++*nwords;
}

/* "ties away from zero and zero byte 0 give" */
static void append_switches(char text[MXQ_GUESS_TEXT_NBYTES], const struct candidate *best,
                            const struct mxq_recipe *base)
{
    const struct mxq_recipe *recipe = &best->recipe;
    const unsigned total = count_switches(recipe, base) + best->turned;
    unsigned n = 0;
    char word[48];

    if (best->turned)
        append_word(text, &n, total, "the transposed source");
    if (recipe->scale != base->scale) {
        snprintf(word, sizeof(word), "scale rule %s", mxq_scale_rule_name(recipe->scale));
        append_word(text, &n, total, word);
    }
    if (recipe->ties != base->ties)
        append_word(text, &n, total, ties_words(recipe->ties));
    if (recipe->sign != base->sign) {
        snprintf(word, sizeof(word), "sign rule %s", mxq_sign_name(recipe->sign));
        append_word(text, &n, total, word);
    }
    if (recipe->zero_byte != base->zero_byte) {
        snprintf(word, sizeof(word), "zero byte %u", recipe->zero_byte);
        append_word(text, &n, total, word);
    }
    if (recipe->block != base->block)
        append_word(text, &n, total, "a scale for each block of 32");
    if (recipe->hadamard_nelems != base->hadamard_nelems) {
        snprintf(word, sizeof(word), "a Hadamard transform of %u points", recipe->hadamard_nelems);
        append_word(text, &n, total,
                    recipe->hadamard_nelems == 0    ? "no Hadamard transform"
                    : recipe->hadamard_nelems == 16 ? "a Hadamard transform"
                                                    : word);
    }
    mxq_guess_append(text, total == 1 ? " gives" : " give");
}

static bool is_whole(const struct search *search)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (looks_at(search, d) && !search->guess->sample[d].whole)
            return false;
    return true;
}

/* "TEST", or "TEST's rowwise" when it is not all that is compared. */
static void name_side(const struct search *search, char *text, size_t nbytes)
{
    const char *side = search->side == MXQ_GUESS_TEST ? "TEST" : "GOLDEN";
    const unsigned others =
        (unsigned)(search->guess->sample[0].nblocks != 0) | (unsigned)(search->guess->sample[1].nblocks != 0) << 1;

    if (search->directions == others)
        snprintf(text, nbytes, "%s", side);
    else
        snprintf(text, nbytes, "%s's %s", side, mxq_direction_name(search->directions >> 1));
}

static bool tell(struct search *search, struct mxq_guess *guess, const char *prefix, struct mxq_fault *fault)
{
    const struct candidate *best = &search->best;
    const char *sample = is_whole(search) ? "" : "a sample of ";
    char text[MXQ_GUESS_TEXT_NBYTES] = "";
    char side[32];

    name_side(search, side, sizeof(side));
    mxq_guess_append(text, "%s", prefix);
    if (best->misses != 0) {
        mxq_guess_append_share(text, search->nblocks - best->misses, search->nblocks);
        mxq_guess_append(text, " of %s%zu blocks of ", sample, search->nblocks);
    }
    if (best->profile != NULL) {
        mxq_guess_append(text, best->misses == 0 ? "%s fits profile %s" : "%s fit profile %s", side,
                         best->profile->name);
    } else {
        mxq_guess_append(text, best->misses == 0 ? "%s is what " : "%s are what ", side);
        if (best->cost == 0)
            mxq_guess_append(text, "GOLDEN's recipe gives");
        else
            append_switches(text, best, guess->diff->recipe);
    }
    if (best->misses == 0 && !is_whole(search))
        mxq_guess_append(text, ", in all of a sample of %zu blocks", search->nblocks);
    return mxq_guess_add(guess, text, 1 - (double)best->misses / (double)search->nblocks, is_whole(search), fault);
}

/* Finds the recipe of one side, and whether it is worth telling: *base_misses: with the golden's recipe. */
static bool search_side(struct search *search, enum mxq_guess_side side, size_t *base_misses)
{
    const struct candidate base = {.recipe = *search->guess->diff->recipe};

    search->side = side;
    search->zero_byte = find_zero_byte(search);
    *base_misses = count_misses(search, &base, search->nblocks);
    try_all(search);
    return search->best.cost != 0 &&
           (search->best.misses == 0 || mxq_guess_is_better(search->nblocks, search->nblocks - *base_misses,
                                                            search->nblocks - search->best.misses, false));
}

static bool search_sides(struct search *search, struct mxq_guess *guess, const char *prefix, bool *explained,
                         struct mxq_fault *fault)
{
    size_t misses[MXQ_GUESS_NUM_SIDES];
    const bool golden_differs = search_side(search, MXQ_GUESS_GOLDEN, &misses[MXQ_GUESS_GOLDEN]);
    struct search golden = *search;
    const bool test_differs = search_side(search, MXQ_GUESS_TEST, &misses[MXQ_GUESS_TEST]);

    *explained = search->best.misses == 0;
    /* That TEST follows the recipe is news only when GOLDEN does not. */
    if ((test_differs || (misses[MXQ_GUESS_TEST] == 0 && misses[MXQ_GUESS_GOLDEN] != 0)) &&
        !tell(search, guess, prefix, fault))
        return false;
    return !golden_differs || tell(&golden, guess, prefix, fault);
}

/* The directions in these bits, of those that there are. */
static void look_at(struct search *search, unsigned directions)
{
    search->directions = 0;
    search->nblocks = 0;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        if (search->guess->sample[d].nblocks == 0 || (directions >> d & 1) == 0)
            continue;
        search->directions |= 1u << d;
        search->nblocks += search->guess->sample[d].nblocks;
    }
}

/* All directions together; if nothing was told of them, each for itself. */
static bool search_directions(struct search *search, struct mxq_guess *guess, const char *prefix, bool *explained,
                              struct mxq_fault *fault)
{
    const size_t nguesses = json_array_size(guess->guesses);
    bool part[MXQ_NUM_DIRECTIONS] = {false, false};

    look_at(search, 3);
    if (search->nblocks == 0)
        return true;
    if (!search_sides(search, guess, prefix, explained, fault))
        return false;
    if (search->directions != 3 || *explained || json_array_size(guess->guesses) != nguesses)
        return true;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        look_at(search, 1u << d);
        if (!search_sides(search, guess, prefix, &part[d], fault))
            return false;
    }
    *explained = part[0] && part[1];
    return true;
}

bool mxq_guess_recipes(struct mxq_guess *guess, const char *prefix, bool *explained, struct mxq_fault *fault)
{
    const size_t nguesses = json_array_size(guess->guesses);
    struct search search;
    bool good = true;

    memset(&search, 0, sizeof(search));
    search.guess = guess;
    *explained = false;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && good; d++) {
        if (guess->sample[d].nblocks != 0)
            good = load_values(guess, d, &search.values[d], fault);
    }
    if (good)
        good = search_directions(&search, guess, prefix, explained, fault);
    *explained = *explained && json_array_size(guess->guesses) != nguesses;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        free(search.values[d].along);
        free(search.values[d].across);
        free(search.values[d].tile);
    }
    return good;
}
