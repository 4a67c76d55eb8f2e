/* selftest_inputs.c - the values of the matrices that mxfp4q selftest quantizes */
#include "cli/selftest.h"

#include <string.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

#define FRACTION 0x7fffffu
#define SIGN 0x80000000u

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static uint32_t pick_edge(struct mxq_selftest_random *random, bool finite)
{
    /* Zero, subnormals, the smallest normals, where scales round, one, the largest; then what is not finite. */
    static const uint32_t edges[] = {0x00000000, 0x00000001, 0x00000003, 0x00010000, 0x007fffff, 0x00800000, 0x00800001,
                                     0x01000000, 0x01400000, 0x01400001, 0x017fffff, 0x3f800000, 0x40c00000, 0x7f5fffff,
                                     0x7f600000, 0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fc00000, 0x7fffffff};
    const unsigned nedges = NELEMS(edges);

    return edges[mxq_selftest_pick(random, finite ? nedges - 4 : nedges)] | (mxq_selftest_pick(random, 2) ? SIGN : 0);
}

/* Any fraction, either sign, and an exponent from first on. */
static uint32_t pick_normal(struct mxq_selftest_random *random, unsigned first, unsigned nexponents)
{
    const uint32_t any = (uint32_t)mxq_selftest_next(random);

    return (any & (SIGN | FRACTION)) | (first + mxq_selftest_pick(random, nexponents)) << 23;
}

static uint32_t pick_tie(struct mxq_selftest_random *random)
{
    static const float midpoints[] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, 6.0f, 4.0f};
    const uint32_t sign = mxq_selftest_pick(random, 2) ? SIGN : 0;

    return sign | (bits_of(midpoints[mxq_selftest_pick(random, NELEMS(midpoints))]) + mxq_selftest_pick(random, 3) - 1);
}

static uint32_t pick_turn(struct mxq_selftest_random *random)
{
    const uint32_t sign = mxq_selftest_pick(random, 2) ? SIGN : 0;
    const uint32_t turn = mxq_selftest_pick(random, 255) << 23 | (2 + mxq_selftest_pick(random, 2)) << 21;

    return sign | (turn + mxq_selftest_pick(random, 3) - 1);
}

static uint32_t pick_value(struct mxq_selftest_random *random, enum mxq_selftest_pattern pattern)
{
    switch (pattern) {
    case MXQ_SELFTEST_BITS:
        return (uint32_t)mxq_selftest_next(random);
    case MXQ_SELFTEST_TIES:
        return pick_tie(random);
    case MXQ_SELFTEST_EDGES:
    case MXQ_SELFTEST_FINITE:
        if (mxq_selftest_pick(random, 4) == 0)
            return pick_edge(random, pattern == MXQ_SELFTEST_FINITE);
        return pick_normal(random, 0, 255);
    case MXQ_SELFTEST_ZEROS:
        return (mxq_selftest_pick(random, 2) ? SIGN : 0) |
               (mxq_selftest_pick(random, 200) == 0 ? 1u << mxq_selftest_pick(random, 31) : 0);
    case MXQ_SELFTEST_AMAX:
        return pick_turn(random);
    case MXQ_SELFTEST_RARE:
        return mxq_selftest_pick(random, 1500) == 0 ? pick_edge(random, false) : pick_normal(random, 118, 10);
    case MXQ_SELFTEST_VANISHING:
        if (mxq_selftest_pick(random, 4) == 0)
            return (mxq_selftest_pick(random, 2) ? SIGN : 0) | 1u << mxq_selftest_pick(random, 23);
        return pick_normal(random, 127, 3);
    default: /* MXQ_SELFTEST_NORMAL */
        return pick_normal(random, 118, 10);
    }
}

/* Moves a normal value by binades, unless it would leave the range: so that a pattern is seen at many scales. */
static uint32_t shift_value(uint32_t value, int shift)
{
    const int exponent = (int)(value >> 23 & 255);

    if (exponent == 0 || exponent + shift < 1 || exponent + shift > 250)
        return value;
    return value + ((uint32_t)shift << 23);
}

/* About the same in FP16: what it has no exponent for is spread over subnormals, infinities and NaNs. */
static uint16_t narrow_to_f16(uint32_t value)
{
    const uint32_t exponent = value >> 23 & 255;
    const uint32_t rest = (value >> 16 & 0x8000) | (value >> 13 & 0x3ff);

    if (exponent < 113)
        return (uint16_t)rest;
    return (uint16_t)(rest | (exponent > 142 ? 0x7c00 : (exponent - 112) << 10));
}

static void store(void *elements, uint64_t i, enum mxq_dtype dtype, uint32_t value)
{
    if (dtype == MXQ_F32)
        ((uint32_t *)elements)[i] = value;
    else
        ((uint16_t *)elements)[i] = dtype == MXQ_F16 ? narrow_to_f16(value) : (uint16_t)(value >> 16);
}

/* Each pattern of 16 bits once in 65,536 elements; of FP32 these are the upper bits. */
static void fill_with_all(const struct mxq_selftest_case *c, void *elements, uint64_t nelems)
{
    for (uint64_t i = 0; i < nelems; i++) {
        const uint16_t bits = (uint16_t)(c->pattern == MXQ_SELFTEST_ASCENDING ? i : i * 40503);
        if (c->dtype == MXQ_F32)
            ((uint32_t *)elements)[i] = (uint32_t)bits << 16;
        else
            ((uint16_t *)elements)[i] = bits;
    }
}

static int pick_shift(struct mxq_selftest_random *random, enum mxq_selftest_pattern pattern)
{
    switch (pattern) {
    case MXQ_SELFTEST_TIES:
    case MXQ_SELFTEST_NORMAL:
        return (int)mxq_selftest_pick(random, 200) - 100;
    case MXQ_SELFTEST_VANISHING:
        return (int)mxq_selftest_pick(random, 22);
    default:
        return 0;
    }
}

void mxq_fill_selftest_input(const struct mxq_selftest_case *c, void *elements, uint64_t nelems)
{
    struct mxq_selftest_random random = c->random;
    enum mxq_selftest_pattern pattern = c->pattern;
    int shift = pick_shift(&random, pattern);

    if (pattern == MXQ_SELFTEST_ASCENDING || pattern == MXQ_SELFTEST_SCATTERED) {
        fill_with_all(c, elements, nelems);
        return;
    }
    for (uint64_t i = 0; i < nelems; i++) {
        if (c->pattern == MXQ_SELFTEST_MIXED && i % 61 == 0) {
            pattern = mxq_selftest_pick(&random, MXQ_SELFTEST_MIXED);
            shift = pick_shift(&random, pattern);
        }
        store(elements, i, c->dtype, shift_value(pick_value(&random, pattern), shift));
    }
}
