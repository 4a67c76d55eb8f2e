/* compare.c - the engine of mxfp4q diff: two panels in, classes and sums out */
#include "kernels/compare.h"

#include "kernels/layout.h"
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

#include <math.h>
#include <string.h>

const char *mxq_class_name(enum mxq_class class)
{
    static const char *const names[MXQ_NUM_CLASSES] = {"equal",      "signed-zero", "zero-block",  "tie", "scale-step",
                                                       "saturation", "padding",     "scale-worse", "real"};

    return (unsigned)class < MXQ_NUM_CLASSES ? names[class] : NULL;
}

/* ---------------------------------------------------------------------------------------------- rules */

static const struct mxq_rules rule_sets[] = {
    {.name = "exact", .bytes = true},
    {.name = "mxfp8",
     .scale_limit = 1,
     .scale_share = 1e-4,
     .adjust = true,
     .atol = 1e-5,
     .rtol = 1e-8,
     .accept_ties = true,
     .codes_per_scale = MXQ_BLOCK_NELEMS},
    {.name = "te-mxfp4",
     .scale_atol = 1,
     .scale_limit = 1,
     .scale_share = 1e-4,
     .adjust = true,
     .atol = 1e-5,
     .rtol = 1e-8,
     .code_share = 0.05},
};

const struct mxq_rules *mxq_get_rules(size_t index)
{
    return index < sizeof(rule_sets) / sizeof(rule_sets[0]) ? &rule_sets[index] : NULL;
}

/* The share rounded down; share is at most 1. */
static uint64_t share_of(uint64_t n, double share)
{
    return (uint64_t)floor((double)n * share);
}

uint64_t mxq_allowed_scales(const struct mxq_rules *rules, const struct mxq_comparison *sum)
{
    const uint64_t share = share_of(sum->nscales, rules->scale_share);

    return share < rules->scale_limit ? share : rules->scale_limit;
}

uint64_t mxq_allowed_codes(const struct mxq_rules *rules, const struct mxq_comparison *sum)
{
    return rules->codes_per_scale * sum->counted_scales + share_of(sum->ncodes, rules->code_share);
}

bool mxq_comparison_passes(const struct mxq_rules *rules, const struct mxq_comparison *sum)
{
    return sum->counted_scales <= mxq_allowed_scales(rules, sum) &&
           sum->counted_codes <= mxq_allowed_codes(rules, sum) && sum->padding_differs == 0;
}

void mxq_add_comparison(struct mxq_comparison *sum, const struct mxq_comparison *part)
{
    sum->nscales += part->nscales;
    sum->ncodes += part->ncodes;
    for (unsigned i = 0; i < MXQ_NUM_CLASSES; i++) {
        sum->scales[i] += part->scales[i];
        sum->codes[i] += part->codes[i];
    }
    sum->counted_scales += part->counted_scales;
    sum->counted_codes += part->counted_codes;
    sum->padding_nbytes += part->padding_nbytes;
    sum->padding_differs += part->padding_differs;
    mxq_add_distortion(&sum->distortion, &part->distortion);
}

/* ---------------------------------------------------------------------------------------------- codes */

static uint8_t magnitude_of(uint8_t code)
{
    return code & MXQ_CODE_LARGEST;
}

/* Neighbours on the number line; both zeros are neighbours of both halves. */
static bool are_neighbours(uint8_t a, uint8_t b)
{
    const int step = (int)magnitude_of(a) - (int)magnitude_of(b);
    const bool same_side = ((a ^ b) & MXQ_CODE_SIGN) == 0 || magnitude_of(a) == 0 || magnitude_of(b) == 0;

    return (step == 1 || step == -1) && same_side;
}

/* A block on both sides, taken apart. */
struct block_pair {
    unsigned nvalid;
    uint8_t test_byte;
    uint8_t golden_byte;
    uint8_t test[MXQ_BLOCK_NELEMS];     /* codes */
    uint8_t golden[MXQ_BLOCK_NELEMS];   /* codes */
    uint8_t expected[MXQ_BLOCK_NELEMS]; /* golden codes at the test's scale */
    bool clipped[MXQ_BLOCK_NELEMS];     /* the golden value is beyond 6 at the test's scale */
    bool midway[MXQ_BLOCK_NELEMS];      /* between test and expected; without a source: for all one knows */
    bool is_nan;                        /* one of the scales is NaN */
};

static void unpack(const uint8_t *unit, uint8_t codes[MXQ_BLOCK_NELEMS])
{
    for (unsigned j = 0; j < MXQ_UNIT_NBYTES; j++) {
        codes[2 * j] = unit[j] & 15;
        codes[2 * j + 1] = unit[j] >> 4;
    }
}

/* The code of a golden code's value times 2^-step: nearest, ties to even. */
static uint8_t rescale_code(uint8_t code, int step, bool *clipped)
{
    static const double midpoint[MXQ_NUM_MIDPOINTS] = {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5};
    const double v = ldexp(fabs((double)mxq_decode_code(code)), -step);
    uint8_t magnitude = 0;

    for (unsigned i = 0; i < MXQ_NUM_MIDPOINTS; i++)
        magnitude = (uint8_t)(magnitude + (v > midpoint[i] || (v >= midpoint[i] && i % 2 == 1)));
    *clipped = v > 6;
    return (uint8_t)(magnitude | (code & MXQ_CODE_SIGN));
}

/* Without the source: what the golden codes say. */
static void expect_from_golden(struct block_pair *block)
{
    const int step = (int)block->test_byte - (int)block->golden_byte;

    for (unsigned i = 0; i < block->nvalid; i++) {
        block->expected[i] =
            step == 0 || block->is_nan ? block->golden[i] : rescale_code(block->golden[i], step, &block->clipped[i]);
        block->midway[i] = true;
    }
}

/* With it: quantized again at the test's scale, by the golden's recipe. */
static void expect_from_source(const struct mxq_panel_pair *pair, uint64_t row, uint64_t index,
                               struct block_pair *block)
{
    const struct mxq_scale scale = {block->test_byte, block->test_byte, false};
    const struct mxq_thresholds thresholds = mxq_find_thresholds(pair->recipe->ties, block->test_byte);
    const struct mxq_thresholds midpoints = mxq_find_thresholds(MXQ_TIES_AWAY, block->test_byte);
    const bool rowwise = pair->direction == MXQ_ROWWISE;
    const uint64_t first = index * MXQ_BLOCK_NELEMS;
    const uint64_t stride = pair->places.row_stride;
    const uint64_t place = pair->places.first + (rowwise ? row * stride + first : first * stride + row);
    uint32_t x[MXQ_BLOCK_NELEMS];

    mxq_load_block(pair->source, pair->recipe, pair->direction, row, index, x);
    for (unsigned i = 0; i < block->nvalid; i++) {
        const uint32_t magnitude = x[i] & ~MXQ_F32_SIGN;
        bool clipped = false;
        block->expected[i] =
            block->test_byte == block->golden_byte
                ? block->golden[i]
                : mxq_encode_element(pair->recipe, x[i], scale, &thresholds, place + i * (rowwise ? 1 : stride));
        (void)rescale_code(block->golden[i], (int)block->test_byte - (int)block->golden_byte, &clipped);
        block->clipped[i] = clipped;
        for (unsigned m = 0; m < MXQ_NUM_MIDPOINTS; m++)
            block->midway[i] |= magnitude == midpoints.threshold[m];
    }
}

static enum mxq_class classify_code(const struct block_pair *block, unsigned i)
{
    const uint8_t test = block->test[i];
    const uint8_t expected = block->expected[i];
    const bool same_scale = block->test_byte == block->golden_byte;

    if (same_scale && test == block->golden[i])
        return MXQ_CLASS_EQUAL;
    if (block->is_nan)
        return same_scale ? MXQ_CLASS_EQUAL : MXQ_CLASS_REAL;
    if (magnitude_of(test) == 0 && magnitude_of(block->golden[i]) == 0)
        return test == block->golden[i] ? MXQ_CLASS_EQUAL : MXQ_CLASS_SIGNED_ZERO;
    if (!same_scale && block->clipped[i] && test == expected)
        return MXQ_CLASS_SATURATION;
    if (test == expected || (magnitude_of(test) == 0 && magnitude_of(expected) == 0))
        return MXQ_CLASS_SCALE_STEP;
    if (are_neighbours(test, expected) && block->midway[i])
        return MXQ_CLASS_TIE;
    return MXQ_CLASS_REAL;
}

/* Whether the rules count this code, by its decoded values at the test's scale. */
static bool code_counts(const struct mxq_rules *rules, const struct block_pair *block, unsigned i, enum mxq_class class)
{
    const uint8_t reference = rules->adjust ? block->expected[i] : block->golden[i];
    const double scale = (double)mxq_decode_scale(block->test_byte);
    const double golden_scale = rules->adjust ? scale : (double)mxq_decode_scale(block->golden_byte);
    const double t = scale * (double)mxq_decode_code(block->test[i]);
    const double r = golden_scale * (double)mxq_decode_code(reference);
    const double difference = fabs(t - r);

    if (rules->bytes)
        return block->test[i] != block->golden[i];
    if (class == MXQ_CLASS_EQUAL || (class == MXQ_CLASS_TIE && rules->accept_ties))
        return false;
    if (block->is_nan)
        return true;
    return difference > rules->atol && (r == 0 || difference / fabs(r) > rules->rtol);
}

/* ---------------------------------------------------------------------------------------------- scales */

static bool is_zero_block(const struct block_pair *block)
{
    for (unsigned i = 0; i < block->nvalid; i++)
        if (magnitude_of(block->test[i]) != 0 || magnitude_of(block->golden[i]) != 0)
            return false;
    return true;
}

/* codes_follow: no code of the block is of class real. Without codes, a step of one is believed. */
static enum mxq_class classify_scale(const struct block_pair *block, bool has_codes, bool codes_follow)
{
    const int step = (int)block->test_byte - (int)block->golden_byte;

    if (step == 0)
        return MXQ_CLASS_EQUAL;
    if (has_codes && is_zero_block(block))
        return MXQ_CLASS_ZERO_BLOCK;
    if ((step == 1 || step == -1) && !block->is_nan && codes_follow)
        return MXQ_CLASS_SCALE_STEP;
    return MXQ_CLASS_SCALE_WORSE;
}

/* ---------------------------------------------------------------------------------------------- one block */

/* Where the differences of a panel go. */
struct sink {
    const struct mxq_rules *rules;
    struct mxq_comparison *sum;
    struct mxq_mismatch *mismatches;
    size_t max_mismatches;
    size_t nmismatches;
};

static void note_mismatch(struct sink *sink, const struct mxq_mismatch *mismatch)
{
    if (sink->nmismatches < sink->max_mismatches)
        sink->mismatches[sink->nmismatches++] = *mismatch;
}

static void add_values(struct mxq_distortion *sums, const struct block_pair *block, unsigned i)
{
    const double x = (double)mxq_decode_scale(block->golden_byte) * (double)mxq_decode_code(block->golden[i]);
    const double y = (double)mxq_decode_scale(block->test_byte) * (double)mxq_decode_code(block->test[i]);

    mxq_add_value(sums, x, y, magnitude_of(block->test[i]) == MXQ_CODE_LARGEST);
}

static enum mxq_class judge_codes(struct sink *sink, const struct block_pair *block, uint64_t row, uint64_t first)
{
    enum mxq_class worst = MXQ_CLASS_EQUAL;

    for (unsigned i = 0; i < block->nvalid; i++) {
        const enum mxq_class class = classify_code(block, i);
        const struct mxq_mismatch mismatch = {.class = class,
                                              .row = row,
                                              .element = first + i,
                                              .test_byte = block->test_byte,
                                              .golden_byte = block->golden_byte,
                                              .test_code = block->test[i],
                                              .golden_code = block->golden[i],
                                              .expected_code = block->expected[i]};
        sink->sum->codes[class]++;
        sink->sum->counted_codes += code_counts(sink->rules, block, i, class);
        if (class != MXQ_CLASS_EQUAL)
            note_mismatch(sink, &mismatch);
        if (class > worst)
            worst = class;
        add_values(&sink->sum->distortion, block, i);
    }
    sink->sum->ncodes += block->nvalid;
    return worst;
}

static enum mxq_class judge_scale(struct sink *sink, const struct block_pair *block, uint64_t row, uint64_t first,
                                  bool has_codes, bool codes_follow)
{
    const enum mxq_class class = classify_scale(block, has_codes, codes_follow);
    const int step = (int)block->test_byte - (int)block->golden_byte;
    const unsigned distance = (unsigned)(step < 0 ? -step : step);
    const struct mxq_mismatch mismatch = {.is_scale = true,
                                          .class = class,
                                          .row = row,
                                          .element = first,
                                          .test_byte = block->test_byte,
                                          .golden_byte = block->golden_byte};

    sink->sum->nscales++;
    sink->sum->scales[class]++;
    sink->sum->counted_scales += distance > (sink->rules->bytes ? 0 : sink->rules->scale_atol);
    if (class != MXQ_CLASS_EQUAL)
        note_mismatch(sink, &mismatch);
    return class;
}

static void load_pair(const struct mxq_panel_pair *pair, uint64_t row, uint64_t index, struct block_pair *block)
{
    const uint64_t nblocks = mxq_count_blocks(pair->nelems);
    const uint64_t at = row * nblocks + index;
    const uint64_t left = pair->nelems - index * MXQ_BLOCK_NELEMS;

    memset(block, 0, sizeof(*block));
    block->nvalid = left < MXQ_BLOCK_NELEMS ? (unsigned)left : MXQ_BLOCK_NELEMS;
    block->test_byte = pair->test.scale != NULL ? pair->test.scale[at] : 127;
    block->golden_byte = pair->golden.scale != NULL ? pair->golden.scale[at] : 127;
    block->is_nan = block->test_byte == MXQ_SCALE_NAN || block->golden_byte == MXQ_SCALE_NAN;
    if (pair->test.data == NULL)
        return;
    unpack(pair->test.data + at * MXQ_UNIT_NBYTES, block->test);
    unpack(pair->golden.data + at * MXQ_UNIT_NBYTES, block->golden);
    if (pair->source != NULL && !block->is_nan)
        expect_from_source(pair, row, index, block);
    else
        expect_from_golden(block);
}

/* ---------------------------------------------------------------------------------------------- equal blocks */

/* Four times the sum of squares of the two codes in a byte. */
static unsigned energy_of_byte(uint8_t byte)
{
    static const uint8_t twice[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    const unsigned low = twice[byte & 7];
    const unsigned high = twice[byte >> 4 & 7];

    return low * low + high * high;
}

static bool block_is_same(const struct mxq_panel_pair *pair, uint64_t row, uint64_t index)
{
    const uint64_t at = row * mxq_count_blocks(pair->nelems) + index;

    if (pair->test.scale != NULL && pair->test.scale[at] != pair->golden.scale[at])
        return false;
    return pair->test.data == NULL || memcmp(pair->test.data + at * MXQ_UNIT_NBYTES,
                                             pair->golden.data + at * MXQ_UNIT_NBYTES, MXQ_UNIT_NBYTES) == 0;
}

/* Codes behind the end of a row count in the energy of a transformed block; there is no telling them from values. */
static void add_equal_block(const struct mxq_panel_pair *pair, uint64_t row, uint64_t index, struct mxq_comparison *sum)
{
    const uint64_t at = row * mxq_count_blocks(pair->nelems) + index;
    const uint64_t left = pair->nelems - index * MXQ_BLOCK_NELEMS;
    const uint64_t nvalid = left < MXQ_BLOCK_NELEMS ? left : MXQ_BLOCK_NELEMS;
    const double scale = pair->golden.scale != NULL ? (double)mxq_decode_scale(pair->golden.scale[at]) : 1;
    unsigned energy = 0;

    sum->nscales += pair->test.scale != NULL;
    sum->scales[MXQ_CLASS_EQUAL] += pair->test.scale != NULL;
    if (pair->test.data == NULL)
        return;
    sum->ncodes += nvalid;
    sum->codes[MXQ_CLASS_EQUAL] += nvalid;
    for (unsigned j = 0; j < MXQ_UNIT_NBYTES; j++)
        energy += energy_of_byte(pair->golden.data[at * MXQ_UNIT_NBYTES + j]);
    sum->distortion.nelems += nvalid;
    sum->distortion.signal += scale * scale * 0.25 * energy;
    sum->distortion.decoded += scale * scale * 0.25 * energy;
    sum->distortion.product += scale * scale * 0.25 * energy;
}

void mxq_add_equal_panel(const struct mxq_panel_pair *pair, struct mxq_comparison *sum)
{
    for (uint64_t row = 0; row < pair->rows; row++)
        for (uint64_t index = 0; index < mxq_count_blocks(pair->nelems); index++)
            add_equal_block(pair, row, index, sum);
}

static enum mxq_class compare_block(struct sink *sink, const struct mxq_panel_pair *pair, uint64_t row, uint64_t index)
{
    const uint64_t first = index * MXQ_BLOCK_NELEMS;
    const bool has_codes = pair->test.data != NULL;
    enum mxq_class of_codes = MXQ_CLASS_EQUAL;
    enum mxq_class of_scale = MXQ_CLASS_EQUAL;
    struct block_pair block;

    if (block_is_same(pair, row, index)) {
        add_equal_block(pair, row, index, sink->sum);
        return MXQ_CLASS_EQUAL;
    }
    load_pair(pair, row, index, &block);
    if (has_codes)
        of_codes = judge_codes(sink, &block, row, first);
    if (pair->test.scale != NULL)
        of_scale = judge_scale(sink, &block, row, first, has_codes, of_codes < MXQ_CLASS_REAL);
    return of_codes > of_scale ? of_codes : of_scale;
}

/* ---------------------------------------------------------------------------------------------- panels */

void mxq_compare_panel(const struct mxq_rules *rules, const struct mxq_panel_pair *pair, struct mxq_comparison *sum,
                       struct mxq_mismatch *mismatches, size_t max_mismatches, size_t *nmismatches, uint8_t *blocks)
{
    const uint64_t nblocks = mxq_count_blocks(pair->nelems);
    struct sink sink = {rules, sum, mismatches, max_mismatches, 0};

    for (uint64_t row = 0; row < pair->rows; row++) {
        for (uint64_t index = 0; index < nblocks; index++) {
            const enum mxq_class class = compare_block(&sink, pair, row, index);
            if (blocks != NULL)
                blocks[row * nblocks + index] = (uint8_t) class;
        }
    }
    if (nmismatches != NULL)
        *nmismatches = sink.nmismatches;
}

/* How many bits of byte `at` of unit or scale (row, block) hold values, as a mask. */
static uint8_t value_mask(bool scale, uint64_t nelems, uint64_t block, unsigned at)
{
    const uint64_t first = block * MXQ_BLOCK_NELEMS + 2 * (uint64_t)at;

    if (scale || first + 1 < nelems)
        return 0xff;
    return first < nelems ? 0x0f : 0;
}

/* Takes the bytes with values out of a comparison that counted all. */
static void take_out_values(bool scale, enum mxq_layout layout, uint64_t rows, uint64_t nelems, uint64_t run_nbytes,
                            const uint8_t *test, const uint8_t *golden, struct mxq_comparison *sum)
{
    for (uint64_t row = 0; row < rows; row++) {
        for (uint64_t block = 0; block < mxq_count_blocks(nelems); block++) {
            const uint64_t offset = scale ? mxq_scale_offset(layout, run_nbytes, row, block)
                                          : mxq_data_offset(layout, run_nbytes, row, block);
            const unsigned nbytes = scale ? 1 : mxq_unit_nbytes(layout, nelems, block);
            for (unsigned i = 0; i < nbytes; i++) {
                const uint8_t mask = value_mask(scale, nelems, block, i);
                const uint8_t differs = test[offset + i] ^ golden[offset + i];
                sum->padding_nbytes -= mask == 0xff;
                sum->padding_differs -= differs != 0 && (differs & ~mask) == 0;
            }
        }
    }
}

void mxq_compare_padding(bool scale, enum mxq_layout layout, uint64_t rows, uint64_t nelems,
                         const struct mxq_share *share, const uint8_t *test, const uint8_t *golden,
                         struct mxq_comparison *sum)
{
    const uint64_t nbytes = share->nruns * share->run_nbytes;

    sum->padding_nbytes += nbytes;
    for (uint64_t i = 0; i < nbytes; i++)
        sum->padding_differs += test[i] != golden[i];
    take_out_values(scale, layout, rows, nelems, share->run_nbytes, test, golden, sum);
}
