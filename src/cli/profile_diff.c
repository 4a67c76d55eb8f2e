/* profile_diff.c - on which inputs two profiles differ: trying them */
#include "cli/profile_diff.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Patterns of BF16 numbers. */
#define FOUR 0x4080u
#define HUGE_AMAX 0x7f60u /* 1.75 * 2^127 */
#define INFINITY_PATTERN 0x7f80u
#define TINY_END 0x180u /* 2^-124; scale bytes below are 0 and 1 with most rules */

/* And of FP32 ones. */
#define F32_INFINITY 0x7f800000u
#define F32_NAN 0x7fc00000u
#define F32_SIGN 0x80000000u
#define F32_FOUR 0x40800000u
#define F32_LARGE 0x7f000000u /* 2^127 */

/* Values down to amax / 64 have all ties among them, whatever the scale rule is. */
#define WINDOW (6u << 7)

/* The smallest subnormals of FP32 that are tried. */
#define NUM_SUBNORMALS 4096

struct search {
    struct mxq_profile_difference *difference;
    struct mxq_probe *probe;
    bool value_phase;
    uint8_t scale[2][INFINITY_PATTERN];
    struct mxq_fault *fault;
};

/* ---- counting */

static bool blocks_differ(const struct mxq_probed *block)
{
    return block->scale[0] != block->scale[1] || memcmp(block->codes[0], block->codes[1], block->nvalues) != 0;
}

static void note_amax(struct mxq_class_difference *c, uint32_t pattern)
{
    const uint32_t fraction = pattern & 0x7f;
    const uint32_t exponent = pattern >> 7;
    const bool first = c->ndifferent == 0;

    c->lowest = first || fraction < c->lowest ? fraction : c->lowest;
    c->highest = first || fraction > c->highest ? fraction : c->highest;
    c->lowest_exponent = first || exponent < c->lowest_exponent ? exponent : c->lowest_exponent;
    c->highest_exponent = first || exponent > c->highest_exponent ? exponent : c->highest_exponent;
}

/* The last value is the one in question. */
static void note_block(struct search *search, enum mxq_input_class class, const struct mxq_probed *block,
                       bool different)
{
    struct mxq_class_difference *c = &search->difference->classes[class];
    const uint32_t x = block->values[block->nvalues - 1];

    c->ntried++;
    if (!different)
        return;
    note_amax(c, block->values[0] >> 16);
    if (c->ndifferent++ == 0)
        c->example = *block;
    c->negative |= (x & F32_SIGN) != 0;
    c->positive |= (x & F32_SIGN) == 0;
}

/* ---- the scales of all amax */

static enum mxq_input_class classify_amax(uint32_t pattern)
{
    const uint32_t exponent = pattern >> 7;
    const uint32_t fraction = pattern & 0x7f;

    if (pattern == 0)
        return MXQ_AMAX_ZERO;
    if (exponent == 0)
        return MXQ_AMAX_SUBNORMAL;
    if (exponent <= 3)
        return MXQ_AMAX_TINY;
    if (pattern >= HUGE_AMAX)
        return MXQ_AMAX_HUGE;
    if (fraction == 0)
        return MXQ_AMAX_POWER;
    if (fraction <= 0x40)
        return fraction < 0x40 ? MXQ_AMAX_BELOW_3_2 : MXQ_AMAX_3_2;
    if (fraction <= 0x60)
        return fraction < 0x60 ? MXQ_AMAX_BELOW_7_4 : MXQ_AMAX_7_4;
    return MXQ_AMAX_ABOVE_7_4;
}

static bool amax_differs(const struct search *search, uint32_t pattern)
{
    return pattern < INFINITY_PATTERN && search->scale[0][pattern] != search->scale[1][pattern];
}

/* An amax that BF16 has not counts only where the ones beside it do not tell. */
static void see_f32_amax(struct search *search, const struct mxq_probed *block)
{
    const uint32_t below = block->values[0] >> 16;

    if ((below == 0 || !amax_differs(search, below)) && !amax_differs(search, below + 1))
        note_block(search, MXQ_AMAX_F32_ONLY, block, block->scale[0] != block->scale[1]);
}

static void see_amax(struct search *search, const struct mxq_probed *block)
{
    const uint32_t pattern = block->values[0] >> 16;

    if (block->values[0] & 0xffff) {
        see_f32_amax(search, block);
        return;
    }
    for (unsigned side = 0; side < 2; side++)
        search->scale[side][pattern] = block->scale[side];
    note_block(search, classify_amax(pattern), block, block->scale[0] != block->scale[1]);
}

static bool try_amax(struct search *search, uint32_t bits)
{
    return mxq_add_probe(search->probe, 1, &bits, search->fault);
}

/* From 4 on, so that examples are numbers that a person can read. */
static bool try_all_amax(struct search *search)
{
    bool good = true;

    for (uint32_t i = 0; i < INFINITY_PATTERN && good; i++)
        good = try_amax(search, (i + FOUR) % INFINITY_PATTERN << 16);
    return good && mxq_flush_probe(search->probe, search->fault);
}

/* Those next to the ones of BF16, those in the middle, and the smallest ones. */
static bool try_f32_amax(struct search *search)
{
    static const uint32_t offsets[] = {1, 2, 3, 0x8000, 0xfffd, 0xfffe, 0xffff};
    bool good = true;

    for (uint32_t i = 0; i < INFINITY_PATTERN; i++)
        for (unsigned j = 0; j < sizeof(offsets) / sizeof(offsets[0]) && good; j++)
            good = try_amax(search, (i + FOUR) % INFINITY_PATTERN << 16 | offsets[j]);
    for (uint32_t bits = 4; bits < NUM_SUBNORMALS && good; bits++)
        good = try_amax(search, bits);
    return good && mxq_flush_probe(search->probe, search->fault);
}

/* ---- the codes under scales that both profiles have */

static enum mxq_input_class classify_value(uint32_t bits, uint8_t scale)
{
    static const double ties[7] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0};
    const uint32_t magnitude = bits & ~F32_SIGN;
    float value;
    double v;

    memcpy(&value, &magnitude, sizeof(value));
    v = ldexp((double)value, 127 - scale);
    if (scale == 255)
        return MXQ_VALUE_UNSCALED;
    if (magnitude == 0)
        return bits == 0 ? MXQ_VALUE_PLUS_ZERO : MXQ_VALUE_MINUS_ZERO;
    for (unsigned i = 0; i < 7; i++)
        if (v == ties[i])
            return (enum mxq_input_class)(MXQ_VALUE_TIE + i);
    if (v <= ldexp(1.0, -150))
        return MXQ_VALUE_VANISHING;
    return v < ties[0] ? MXQ_VALUE_SMALL : MXQ_VALUE_OTHER;
}

/* Under the scale bytes 0 and 1, some profiles compute codes with another scale: all differ that are not zeros. */
static enum mxq_input_class find_value_class(const struct search *search, const struct mxq_probed *block)
{
    const enum mxq_input_class class = classify_value(block->values[1], block->scale[0]);
    const bool is_zero = class == MXQ_VALUE_MINUS_ZERO || class == MXQ_VALUE_PLUS_ZERO;

    if (block->scale[0] <= 1 && !is_zero && search->difference->classes[class].ndifferent == 0)
        return MXQ_VALUE_TINY_SCALE;
    return class;
}

static void see_value(struct search *search, const struct mxq_probed *block)
{
    if (block->scale[0] == block->scale[1])
        note_block(search, find_value_class(search, block), block, block->codes[0][1] != block->codes[1][1]);
}

static bool try_value(struct search *search, uint32_t amax, uint32_t bits)
{
    const uint32_t positive[2] = {amax, bits};
    const uint32_t negative[2] = {amax, bits | F32_SIGN};

    return mxq_add_probe(search->probe, 2, positive, search->fault) &&
           mxq_add_probe(search->probe, 2, negative, search->fault);
}

/* From the largest down to lowest, and zeros. */
static bool try_values(struct search *search, uint32_t amax, uint32_t lowest)
{
    bool good = try_value(search, amax << 16, 0);

    for (uint32_t pattern = amax; pattern > lowest && good; pattern--)
        good = try_value(search, amax << 16, pattern << 16);
    return good;
}

/* Of each amax that gets the same scale from both, those near it; of the first one, all. */
static bool try_values_under(struct search *search, uint32_t first_amax, uint32_t end)
{
    bool good = true;
    bool all = true;

    for (uint32_t amax = first_amax; amax < end && good; amax++) {
        if (amax_differs(search, amax))
            continue;
        good = try_values(search, amax, all || amax < WINDOW ? 0 : amax - WINDOW);
        all = false;
    }
    return good;
}

/* The neighbours of ties in FP32, under the amax 4 to 8. */
static bool try_f32_values(struct search *search)
{
    static const float ties[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
    bool good = true;

    for (uint32_t amax = FOUR; amax < FOUR + 128; amax++) {
        const uint8_t scale = search->scale[0][amax];
        if (amax_differs(search, amax) || scale == 255)
            continue;
        for (unsigned i = 0; i < 7 && good; i++) {
            const float value = ldexpf(ties[i], scale - 127);
            uint32_t bits;
            memcpy(&bits, &value, sizeof(bits));
            if (bits < amax << 16)
                good = try_value(search, amax << 16, bits - 1) && try_value(search, amax << 16, bits + 1);
        }
    }
    return good;
}

static bool try_all_values(struct search *search)
{
    return try_values_under(search, FOUR, FOUR + 128) && try_f32_values(search) &&
           try_values_under(search, 1, TINY_END) &&
           try_values_under(search, INFINITY_PATTERN - 128, INFINITY_PATTERN) &&
           mxq_flush_probe(search->probe, search->fault);
}

static void see_block(void *context, const struct mxq_probed *block)
{
    struct search *search = context;

    if (search->value_phase)
        see_value(search, block);
    else
        see_amax(search, block);
}

/* ---- infinities and NaNs */

struct special {
    struct search *search;
    enum mxq_input_class class;
};

static void see_special(void *context, const struct mxq_probed *block)
{
    const struct special *special = context;

    note_block(special->search, special->class, block, blocks_differ(block));
}

/* Finite values beside them are none that profiles disagree about by themselves. */
static bool try_specials(struct search *search)
{
    static const struct {
        enum mxq_input_class class;
        uint32_t values[MXQ_PROBE_NVALUES];
    } blocks[] = {
        {MXQ_AMAX_INFINITE, {F32_INFINITY, F32_INFINITY | F32_SIGN, F32_LARGE, F32_LARGE | F32_SIGN}},
        {MXQ_WITH_NAN, {F32_FOUR, F32_FOUR | F32_SIGN, F32_NAN}},
        {MXQ_WITH_NEGATIVE_NAN, {F32_FOUR, F32_FOUR | F32_SIGN, F32_NAN | F32_SIGN}},
        {MXQ_WITH_NANS_ONLY, {F32_NAN, F32_NAN, F32_NAN}},
        {MXQ_WITH_NAN_AND_INFINITY, {F32_INFINITY, F32_INFINITY | F32_SIGN, F32_NAN}},
    };
    bool good = true;

    for (unsigned i = 0; i < sizeof(blocks) / sizeof(blocks[0]) && good; i++) {
        struct special special = {search, blocks[i].class};
        struct mxq_probe *probe =
            mxq_create_probe(search->difference->profile[0], search->difference->profile[1], see_special, &special);
        if (probe == NULL) {
            mxq_set_fault(search->fault, NULL, ENOMEM, "cannot compare profiles");
            return false;
        }
        good = mxq_add_probe(probe, blocks[i].values[3] != 0 ? 4 : 3, blocks[i].values, search->fault) &&
               mxq_flush_probe(probe, search->fault);
        mxq_free_probe(probe);
    }
    return good;
}

/* ---- what is no value: the rest of a unit, and padding */

#define SHUFFLED_DATA_NBYTES (16 * 16)
#define SHUFFLED_SCALE_NBYTES (256 * 8)

static enum mxq_status quantize_shuffled(const struct mxq_profile *profile, uint8_t unit[MXQ_UNIT_NBYTES],
                                         uint8_t scale[SHUFFLED_SCALE_NBYTES])
{
    static const uint32_t values[3] = {F32_FOUR, F32_FOUR, F32_FOUR};
    const struct mxq_matrix matrix = {values, MXQ_F32, 1, 3, 3};
    const struct mxq_panel panel = {0, 0, 1, 3};
    uint8_t data[SHUFFLED_DATA_NBYTES];
    uint8_t *const out[MXQ_NUM_BUFFERS] = {[MXQ_ROWWISE_DATA] = data, [MXQ_ROWWISE_SCALE] = scale};
    const struct mxq_origin in = {data, sizeof(data)};
    struct mxq_options options;
    struct mxq_plan plan;
    enum mxq_status status;

    mxq_init_options(&options, profile);
    options.wanted[MXQ_COLUMNWISE] = false;
    status = mxq_make_plan(&plan, &options, matrix.rows, matrix.cols);
    if (status == MXQ_OK)
        status = mxq_quantize(&plan, NULL, &matrix, out, NULL);
    return status == MXQ_OK ? mxq_load_units(&plan, &panel, MXQ_ROWWISE_DATA, &in, unit) : status;
}

static bool ends_differ(const uint8_t a[MXQ_UNIT_NBYTES], const uint8_t b[MXQ_UNIT_NBYTES])
{
    return a[1] >> 4 != b[1] >> 4 || memcmp(a + 2, b + 2, MXQ_UNIT_NBYTES - 2) != 0;
}

/* Of a row of three values: the fourth code, and the scale byte beside the only one. */
static bool try_padding(struct search *search)
{
    uint8_t unit[2][MXQ_UNIT_NBYTES];
    uint8_t scale[2][SHUFFLED_SCALE_NBYTES];
    struct mxq_probed past = {.nvalues = 3, .values = {F32_FOUR, F32_FOUR, F32_FOUR}};
    struct mxq_probed padding = {.nvalues = 1};

    for (unsigned side = 0; side < 2; side++) {
        const enum mxq_status status = quantize_shuffled(search->difference->profile[side], unit[side], scale[side]);
        if (status != MXQ_OK) {
            mxq_set_fault(search->fault, NULL, 0, "cannot quantize: %s", mxq_describe_status(status));
            return false;
        }
        past.scale[side] = scale[side][0];
        for (unsigned i = 0; i < MXQ_PROBE_NVALUES; i++)
            past.codes[side][i] = i % 2 == 0 ? unit[side][i / 2] & 15 : unit[side][i / 2] >> 4;
        padding.scale[side] = scale[side][1];
    }
    note_block(search, MXQ_PAST_THE_END, &past, ends_differ(unit[0], unit[1]));
    note_block(search, MXQ_PADDING, &padding, memcmp(scale[0] + 1, scale[1] + 1, SHUFFLED_SCALE_NBYTES - 1) != 0);
    return true;
}

/* ---- all of it */

bool mxq_compare_profiles(const struct mxq_profile *a, const struct mxq_profile *b,
                          struct mxq_profile_difference *difference, struct mxq_fault *fault)
{
    struct search *search = calloc(1, sizeof(*search));
    bool good = false;

    memset(difference, 0, sizeof(*difference));
    difference->profile[0] = a;
    difference->profile[1] = b;
    if (search != NULL) {
        search->difference = difference;
        search->fault = fault;
        search->probe = mxq_create_probe(a, b, see_block, search);
    }
    if (search != NULL && search->probe != NULL) {
        good = try_all_amax(search) && try_f32_amax(search);
        search->value_phase = true;
        good = good && try_all_values(search) && try_specials(search) && try_padding(search);
    } else {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot compare profiles");
    }
    if (search != NULL)
        mxq_free_probe(search->probe);
    free(search);
    return good;
}

bool mxq_profiles_agree(const struct mxq_profile_difference *difference)
{
    for (unsigned c = 0; c < MXQ_NUM_INPUT_CLASSES; c++)
        if (difference->classes[c].ndifferent != 0)
            return false;
    return true;
}
