/* diff_guess_kinds.c - without a source: what the kinds of differences in a sample look like */
#include "cli/diff_guess.h"

#include "kernels/mxq_block.h"

#include <stdlib.h>
#include <string.h>

/* So many blocks with other scales are needed before a rule is named, and a code counts from such a share on. */
#define MIN_STEPS 16
#define MIN_PART 50

/* What differs in a block, in bits. */
enum kind {
    KIND_OTHER = 1,
    KIND_TIE = 2,
    KIND_SIGN = 4,
    KIND_ZERO = 8,
    KIND_STEP = 16,
    NUM_KINDS = 32
};

struct tally {
    size_t nblocks;
    size_t blocks[NUM_KINDS]; /* by the kinds of differences in them */
    size_t ties[2][2];        /* neighbouring codes: by the lower one's parity, and whether TEST's is the larger */
    size_t signs[2];          /* TEST's zero has the sign, or GOLDEN's */
    size_t steps[2];          /* scales one apart: TEST's is the smaller, or the larger */
    size_t largest[8];        /* largest code under the larger of two scales one apart */
    size_t largest_equal[8];  /* the same under equal scales */
    size_t nsame_codes;       /* scales differ, codes do not */
    size_t nother_scales;     /* scales differ, in blocks that are not all zeros */
    size_t noffset;           /* blocks, not all zeros, whose scales are as far apart as the first one's */
    size_t nnonzero;
    int offset;
    int zero_byte[MXQ_GUESS_NUM_SIDES]; /* of blocks of zeros: -1 none, -2 several */
};

/* ---------------------------------------------------------------------------------------------- counting */

static unsigned size_of(uint8_t code)
{
    return code & MXQ_CODE_LARGEST;
}

static unsigned find_largest(const uint8_t codes[MXQ_BLOCK_NELEMS])
{
    unsigned largest = 0;

    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
        largest = size_of(codes[i]) > largest ? size_of(codes[i]) : largest;
    return largest;
}

static void note_byte(int *noted, uint8_t byte)
{
    *noted = *noted == -1 || *noted == byte ? byte : -2;
}

static unsigned tally_code(struct tally *tally, uint8_t test, uint8_t golden)
{
    const unsigned t = size_of(test);
    const unsigned g = size_of(golden);
    const bool same_side = ((test ^ golden) & MXQ_CODE_SIGN) == 0 || t == 0 || g == 0;

    if (test == golden)
        return 0;
    if (t == 0 && g == 0) {
        tally->signs[test == MXQ_CODE_SIGN ? 0 : 1]++;
        return KIND_SIGN;
    }
    if ((t + 1 != g && g + 1 != t) || !same_side)
        return KIND_OTHER;
    tally->ties[(t < g ? t : g) % 2][t > g]++;
    return KIND_TIE;
}

static void tally_step(struct tally *tally, const uint8_t *test, const uint8_t *golden, int step, unsigned *kinds)
{
    tally->nother_scales++;
    tally->nsame_codes += memcmp(test, golden, MXQ_BLOCK_NELEMS) == 0;
    if (step != 1 && step != -1) {
        *kinds |= KIND_OTHER;
        return;
    }
    *kinds |= KIND_STEP;
    tally->steps[step == 1]++;
    tally->largest[find_largest(step == 1 ? test : golden)]++;
}

/* codes are all 0 when data is not compared. */
static void tally_block(struct tally *tally, const uint8_t *test, const uint8_t *golden, uint8_t test_byte,
                        uint8_t golden_byte, bool has_codes)
{
    const bool zeros = has_codes && find_largest(test) == 0 && find_largest(golden) == 0;
    const int step = (int)test_byte - (int)golden_byte;
    unsigned kinds = 0;

    if (!zeros) {
        if (tally->nnonzero++ == 0)
            tally->offset = step;
        tally->noffset += step == tally->offset;
    }
    if (zeros && step != 0) {
        note_byte(&tally->zero_byte[MXQ_GUESS_TEST], test_byte);
        note_byte(&tally->zero_byte[MXQ_GUESS_GOLDEN], golden_byte);
        kinds |= KIND_ZERO;
    } else if (step != 0) {
        tally_step(tally, test, golden, step, &kinds);
    }
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS && (zeros || step == 0); i++)
        kinds |= tally_code(tally, test[i], golden[i]);
    if (step == 0 && !zeros)
        tally->largest_equal[find_largest(golden)]++;
    tally->nblocks++;
    tally->blocks[kinds]++;
}

static void tally_direction(struct tally *tally, const struct mxq_guess_view *view, size_t nblocks)
{
    static const uint8_t none[MXQ_BLOCK_NELEMS];
    const bool has_codes = view->codes[0] != NULL;
    const bool has_scales = view->scale[0] != NULL;

    for (size_t i = 0; i < nblocks; i++)
        tally_block(tally, has_codes ? view->codes[MXQ_GUESS_TEST][i] : none,
                    has_codes ? view->codes[MXQ_GUESS_GOLDEN][i] : none,
                    has_scales ? view->scale[MXQ_GUESS_TEST][i] : 0, has_scales ? view->scale[MXQ_GUESS_GOLDEN][i] : 0,
                    has_codes);
}

/* Blocks in which this kind is. */
static size_t count_kind(const struct tally *tally, enum kind kind)
{
    size_t n = 0;

    for (unsigned kinds = 0; kinds < NUM_KINDS; kinds++)
        n += (kinds & (unsigned)kind) != 0 ? tally->blocks[kinds] : 0;
    return n;
}

/* The share of blocks that are equal, or would be but for this kind. */
static double share_without(const struct tally *tally, enum kind kind)
{
    return (double)(tally->blocks[0] + tally->blocks[kind]) / (double)tally->nblocks;
}

/* ---------------------------------------------------------------------------------------------- telling */

static const char *source_hint(const struct mxq_guess *guess, const char *hint)
{
    return guess->diff->source == NULL ? hint : "";
}

/* Every scale as far from GOLDEN's as every other, over the same codes. */
static bool tell_offset(struct mxq_guess *guess, const struct tally *tally, const char *prefix, bool *told,
                        struct mxq_fault *fault)
{
    char text[MXQ_GUESS_TEXT_NBYTES] = "";

    *told = tally->offset != 0 && tally->nnonzero >= MIN_STEPS && tally->noffset == tally->nnonzero &&
            tally->nsame_codes == tally->nother_scales;
    if (!*told)
        return true;
    mxq_guess_append(text, "%severy sampled scale byte of TEST is GOLDEN's %c %d, over the same codes: another bias",
                     prefix, tally->offset > 0 ? '+' : '-', tally->offset > 0 ? tally->offset : -tally->offset);
    return mxq_guess_add(guess, text, 1, false, fault);
}

/* Whether this largest code is more than a freak among all. */
static bool is_frequent(const size_t largest[8], unsigned code)
{
    size_t n = 0;

    for (unsigned i = 0; i < 8; i++)
        n += largest[i];
    return largest[code] * MIN_PART > n;
}

/*
 * Two rules give scales one apart for an amax in some interval; the largest codes under the larger scale show which. With
 * amax = m * 2^k, 1 <= m < 2: even is one above floor from m = 1.75 on, rceil from 1.5 on, ceil from above 1 on, and
 * under the larger scale m becomes 2 * m.
 */
static bool name_rules(const struct tally *tally, const char **smaller, const char **larger)
{
    const unsigned seen =
        is_frequent(tally->largest, 4) + 2u * is_frequent(tally->largest, 5) + 4u * is_frequent(tally->largest, 6);
    const bool above_rceil = is_frequent(tally->largest_equal, 5);

    if (tally->steps[0] + tally->steps[1] < MIN_STEPS || (tally->steps[0] != 0 && tally->steps[1] != 0))
        return false;
    *smaller = "floor";
    switch (seen) {
    case 4:
        *larger = "even";
        return true;
    case 6:
        *larger = "rceil";
        return true;
    case 7:
        *larger = "ceil";
        return true;
    case 2:
        *smaller = "even";
        *larger = "rceil";
        return true;
    case 3:
        *smaller = above_rceil ? "rceil" : "even";
        *larger = "ceil";
        return true;
    default:
        return false;
    }
}

static bool tell_steps(struct mxq_guess *guess, const struct tally *tally, const char *prefix, struct mxq_fault *fault)
{
    const bool up = tally->steps[1] != 0;
    const bool same_codes = tally->nsame_codes == tally->nother_scales;
    const char *smaller = NULL, *larger = NULL;
    char text[MXQ_GUESS_TEXT_NBYTES] = "";
    bool named;

    if (tally->steps[0] + tally->steps[1] == 0 || tally->nother_scales != tally->steps[0] + tally->steps[1])
        return true;
    named = guess->view[0].codes[0] != NULL || guess->view[1].codes[0] != NULL;
    named = named && !same_codes && name_rules(tally, &smaller, &larger);
    mxq_guess_append(text, "%sall scales that differ are one apart, ", prefix);
    if (up && tally->steps[0] != 0)
        mxq_guess_append(text, "some of TEST's larger and some smaller: no scale rule does that");
    else
        mxq_guess_append(text, "TEST's the %s: ", up ? "larger" : "smaller");
    if (!(up && tally->steps[0] != 0)) {
        if (same_codes && (guess->view[0].codes[0] != NULL || guess->view[1].codes[0] != NULL))
            mxq_guess_append(text, "over the same codes, so these values are %s", up ? "doubled" : "halved");
        else if (named)
            mxq_guess_append(text, "a scale rule (TEST %s, GOLDEN %s)%s", up ? larger : smaller, up ? smaller : larger,
                             source_hint(guess, "; --source FILE tells for sure"));
        else
            mxq_guess_append(text, "a scale rule%s", source_hint(guess, "; --source FILE tells which"));
    }
    return mxq_guess_add(guess, text, share_without(tally, KIND_STEP), false, fault);
}

/* The two rules between which neighbours differ like this: TEST's and GOLDEN's. False: between none. */
static bool name_ties(const struct tally *tally, const char **test, const char **golden)
{
    const bool even_lower = tally->ties[0][0] + tally->ties[0][1] != 0; /* pairs 0 1, 2 3, ...: even goes down */
    const bool odd_lower = tally->ties[1][0] + tally->ties[1][1] != 0;
    const bool up = tally->ties[0][1] + tally->ties[1][1] != 0;
    const bool down = tally->ties[0][0] + tally->ties[1][0] != 0;
    const char *lower = even_lower && !odd_lower ? "to even" : "toward zero";
    const char *upper = odd_lower && !even_lower ? "to even" : "away from zero";

    *test = up ? upper : lower;
    *golden = up ? lower : upper;
    return up != down;
}

static bool tell_ties(struct mxq_guess *guess, const struct tally *tally, const char *prefix, struct mxq_fault *fault)
{
    char text[MXQ_GUESS_TEXT_NBYTES] = "";
    const char *test, *golden;

    if (count_kind(tally, KIND_TIE) == 0)
        return true;
    mxq_guess_append(text, "%s%sall codes that differ are neighbours", prefix,
                     tally->nother_scales != 0 ? "under equal scales, " : "");
    if (name_ties(tally, &test, &golden))
        mxq_guess_append(text, ": a tie rule (TEST %s, GOLDEN %s)%s", test, golden,
                         source_hint(guess, "; --source FILE tells for sure"));
    else if (tally->ties[0][0] != 0 && tally->ties[0][1] != 0 && tally->ties[1][0] != 0 && tally->ties[1][1] != 0)
        mxq_guess_append(text, ", some of TEST's larger and some smaller: no tie rule does that, but slightly "
                               "different values do");
    else
        return true;
    return mxq_guess_add(guess, text, share_without(tally, KIND_TIE), false, fault);
}

static bool tell_signs(struct mxq_guess *guess, const struct tally *tally, const char *prefix, struct mxq_fault *fault)
{
    char text[MXQ_GUESS_TEXT_NBYTES] = "";

    if (count_kind(tally, KIND_SIGN) == 0)
        return true;
    mxq_guess_append(text, "%szeros differ in sign: a sign rule (", prefix);
    if (tally->signs[0] != 0 && tally->signs[1] != 0)
        mxq_guess_append(text, "each side has codes 8 where the other has 0)");
    else
        mxq_guess_append(text, "%s has code 8 where %s has 0)", tally->signs[0] != 0 ? "TEST" : "GOLDEN",
                         tally->signs[0] != 0 ? "GOLDEN" : "TEST");
    return mxq_guess_add(guess, text, share_without(tally, KIND_SIGN), false, fault);
}

static bool tell_zeros(struct mxq_guess *guess, const struct tally *tally, const char *prefix, struct mxq_fault *fault)
{
    const int *byte = tally->zero_byte;
    char text[MXQ_GUESS_TEXT_NBYTES] = "";

    if (count_kind(tally, KIND_ZERO) == 0 || byte[0] < 0 || byte[1] < 0)
        return true;
    mxq_guess_append(text, "%sthe scale byte of a block of zeros is %d in TEST and %d in GOLDEN", prefix, byte[0],
                     byte[1]);
    return mxq_guess_add(guess, text, share_without(tally, KIND_ZERO), false, fault);
}

/* ---------------------------------------------------------------------------------------------- all */

/* Codes or scales of the whole that no kind here explains; the sample may have missed them. */
static uint64_t count_unexplained(const struct mxq_diff *diff)
{
    uint64_t n = 0;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        n += diff->sum[d].codes[MXQ_CLASS_REAL] + diff->sum[d].scales[MXQ_CLASS_SCALE_WORSE];
    return n;
}

bool mxq_guess_kinds(struct mxq_guess *guess, const char *prefix, bool moved, struct mxq_fault *fault)
{
    struct tally tally;
    bool told;

    memset(&tally, 0, sizeof(tally));
    tally.zero_byte[0] = tally.zero_byte[1] = -1;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        tally_direction(&tally, &guess->view[d], guess->sample[d].nblocks);
    if (tally.nblocks == 0)
        return true;
    if (!tell_offset(guess, &tally, prefix, &told, fault))
        return false;
    if (told)
        return true;
    if (count_kind(&tally, KIND_OTHER) != 0 || (!moved && count_unexplained(guess->diff) != 0))
        return true;
    return tell_steps(guess, &tally, prefix, fault) && tell_ties(guess, &tally, prefix, fault) &&
           tell_signs(guess, &tally, prefix, fault) && tell_zeros(guess, &tally, prefix, fault);
}
