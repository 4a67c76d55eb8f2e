/*
 * mxq_block.h - the arithmetic of ONE block: 32 values in, a scale byte and 16 bytes of codes out
 *
 * This is the definition of every byte the library computes; mxfp4q(5), RECIPES, says the same in words. It compiles for
 * the host and, with MXQ_FUNC defined to what the device compiler wants, for a GPU. Values travel as the bit patterns of
 * FP32 numbers: magnitudes of floats compare like their patterns as integers, and because scales are powers of two every
 * rounding threshold is itself a float, so that a code is found without multiplying, dividing or rounding anything.
 */
#ifndef MXQ_BLOCK_H
#define MXQ_BLOCK_H

#include "kernels/mxq.h"
#include "kernels/philox.h"

#ifndef MXQ_FUNC
#define MXQ_FUNC static inline
#endif

/* Before loops over arrays that a GPU must keep in registers. */
#ifndef MXQ_UNROLL
#define MXQ_UNROLL
#endif

#define MXQ_F32_SIGN 0x80000000u
#define MXQ_F32_INFINITY 0x7f800000u
#define MXQ_F32_QUIET_NAN 0x7fc00000u
#define MXQ_F32_HIDDEN 0x00800000u
#define MXQ_F32_FRACTION 0x007fffffu
#define MXQ_SCALE_NAN 255
#define MXQ_CODE_SIGN 8
#define MXQ_CODE_LARGEST 7

union mxq_f32 {
    uint32_t bits;
    float value;
};

MXQ_FUNC float mxq_f32_value(uint32_t bits)
{
    union mxq_f32 u;

    u.bits = bits;
    return u.value;
}

MXQ_FUNC uint32_t mxq_f32_bits(float value)
{
    union mxq_f32 u;

    u.value = value;
    return u.bits;
}

/* ---- widening to FP32, which is exact */

MXQ_FUNC uint32_t mxq_widen_bf16(uint16_t bits)
{
    return (uint32_t)bits << 16;
}

MXQ_FUNC uint32_t mxq_widen_f16(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    const uint32_t exponent = (bits >> 10) & 31u;
    uint32_t fraction = bits & 0x3ffu;
    uint32_t shift = 0;

    if (exponent == 31)
        return sign | MXQ_F32_INFINITY | fraction << 13;
    if (exponent != 0)
        return sign | (exponent + 112) << 23 | fraction << 13;
    if (fraction == 0)
        return sign;
    /* A subnormal: shift the leading bit to where FP32's hidden one is. */
    while (!(fraction & 0x400u)) {
        fraction <<= 1;
        shift++;
    }
    return sign | (113 - shift) << 23 | (fraction & 0x3ffu) << 13;
}

/* ---- the Hadamard transform */

/* What keeps norms: 1 / sqrt(nelems), rounded to FP32. */
MXQ_FUNC float mxq_hadamard_norm(unsigned nelems)
{
    switch (nelems) {
    case 32:
        return 0x1.6a09e6p-3f;
    case 64:
        return 0.125f;
    case 128:
        return 0x1.6a09e6p-4f;
    default: /* 16 */
        return 0.25f;
    }
}

/*
 * The transform of nelems points in natural order. The strides come in this order because TransformerEngine adds in this
 * order, and FP32 addition is not associative. An invalid operation gives different NaNs on different machines; here it is
 * always the positive quiet one.
 */
MXQ_FUNC void mxq_transform_points(uint32_t *x, unsigned nelems)
{
    for (unsigned stride = 1; stride < nelems; stride *= 2) {
        for (unsigned i = 0; i < nelems; i++) {
            if (i & stride)
                continue;
            const float a = mxq_f32_value(x[i]);
            const float b = mxq_f32_value(x[i + stride]);
            x[i] = mxq_f32_bits(a + b);
            x[i + stride] = mxq_f32_bits(a - b);
        }
    }
    for (unsigned i = 0; i < nelems; i++) {
        x[i] = mxq_f32_bits(mxq_f32_value(x[i]) * mxq_hadamard_norm(nelems));
        if ((x[i] & ~MXQ_F32_SIGN) > MXQ_F32_INFINITY)
            x[i] = MXQ_F32_QUIET_NAN;
    }
}

/* The sign bit that flips element i of a row before it is transformed. */
MXQ_FUNC uint32_t mxq_hadamard_flip(const struct mxq_recipe *recipe, uint64_t i)
{
    return (recipe->hadamard_signs[i / 32 % MXQ_HADAMARD_NWORDS] >> i % 32 & 1u) << 31;
}

/* Elements first to first + nelems - 1 of a row, whole transforms. */
MXQ_FUNC void mxq_transform_values(const struct mxq_recipe *recipe, uint64_t first, unsigned nelems, uint32_t *x)
{
    for (unsigned i = 0; i < nelems; i++)
        x[i] ^= mxq_hadamard_flip(recipe, first + i);
    for (unsigned i = 0; i < nelems; i += recipe->hadamard_nelems)
        mxq_transform_points(x + i, recipe->hadamard_nelems);
}

/* ---- the scale byte */

struct mxq_amax {
    uint32_t bits; /* the largest magnitude, NaNs left out; infinity counts */
    bool has_nan;
};

MXQ_FUNC struct mxq_amax mxq_find_amax(const uint32_t x[MXQ_BLOCK_NELEMS])
{
    struct mxq_amax amax = {0, false};

    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        const uint32_t magnitude = x[i] & ~MXQ_F32_SIGN;
        if (magnitude > MXQ_F32_INFINITY)
            amax.has_nan = true;
        else if (magnitude > amax.bits)
            amax.bits = magnitude;
    }
    return amax;
}

/* The larger of two. */
MXQ_FUNC struct mxq_amax mxq_join_amax(struct mxq_amax a, struct mxq_amax b)
{
    struct mxq_amax amax;

    amax.bits = a.bits > b.bits ? a.bits : b.bits;
    amax.has_nan = a.has_nan || b.has_nan;
    return amax;
}

/* The power of two at or above a sixth of amax. */
MXQ_FUNC uint8_t mxq_scale_rceil(const struct mxq_recipe *recipe, uint32_t amax)
{
    const float value = mxq_f32_value(amax);
    const float sixth = recipe->sixth == MXQ_SIXTH_PRODUCT ? value * 0x1.555556p-3f : value / 6.0f;
    const uint32_t bits = mxq_f32_bits(sixth);
    const uint32_t exponent = bits >> 23;
    const uint32_t fraction = bits & MXQ_F32_FRACTION;
    /* A subnormal fraction of 0x400000 is 2^-127, which is what byte 0 means. */
    const bool is_exact = recipe->underflow == MXQ_UNDERFLOW_EXACT || recipe->underflow == MXQ_UNDERFLOW_UNSCALED;
    const uint32_t exact = exponent == 0 && is_exact ? 0x400000u : 0u;

    return (uint8_t)(exponent + (fraction > exact));
}

/* floor(log2(amax)) + 125, modulo 256 where that is negative. */
MXQ_FUNC uint8_t mxq_scale_floor_wrapped(uint32_t amax)
{
    int32_t exponent = (int32_t)(amax >> 23);

    if (exponent == 0) {
        exponent = 1;
        for (uint32_t leading = MXQ_F32_HIDDEN; !(amax & leading); leading >>= 1)
            exponent--;
    }
    return (uint8_t)(exponent - 2);
}

MXQ_FUNC uint8_t mxq_scale_at_least_0(uint32_t exponent)
{
    return (uint8_t)(exponent < 2 ? 0 : exponent - 2);
}

/* amax is finite and not 0. */
MXQ_FUNC uint8_t mxq_scale_finite(const struct mxq_recipe *recipe, uint32_t amax)
{
    const uint32_t exponent = amax >> 23;
    uint32_t rounded;

    switch (recipe->scale) {
    case MXQ_SCALE_FLOOR:
        return recipe->underflow == MXQ_UNDERFLOW_WRAP ? mxq_scale_floor_wrapped(amax) : mxq_scale_at_least_0(exponent);
    case MXQ_SCALE_CEIL:
        return mxq_scale_at_least_0(exponent + ((amax & MXQ_F32_FRACTION) != 0));
    case MXQ_SCALE_RCEIL:
        return mxq_scale_rceil(recipe, amax);
    case MXQ_SCALE_NEARLOG: /* 0x783c49 carries from the square root of 9/8 on, which is 6 * sqrt(1/2) / 4 */
        rounded = (amax + 0x783c49u) >> 23;
        return (uint8_t)(rounded < 3 ? 0 : rounded - 3);
    default: /* 0x200000 carries into the exponent from 1.75 on, one less above 1.75 */
        rounded = (amax + (recipe->scale == MXQ_SCALE_EVEN ? 0x200000u : 0x1fffffu)) >> 23;
        return rounded == 255 ? recipe->huge_byte : mxq_scale_at_least_0(rounded);
    }
}

struct mxq_scale {
    uint8_t byte;
    uint8_t divisor; /* the byte under which codes are computed: byte, but where an underflow says otherwise */
    bool is_nan; /* an edge made it NaN; a byte 255 that a wrapped rule or a zero byte gives is one like any other */
};

/* Of a rule that gave byte 0. */
MXQ_FUNC void mxq_scale_underflow(const struct mxq_recipe *recipe, struct mxq_scale *scale)
{
    if (recipe->underflow == MXQ_UNDERFLOW_NORMAL)
        scale->divisor = 1;
    else if (recipe->underflow == MXQ_UNDERFLOW_UNSCALED)
        scale->divisor = 127;
    else if (recipe->underflow == MXQ_UNDERFLOW_RAISED)
        scale->byte = 1;
}

MXQ_FUNC struct mxq_scale mxq_find_scale(const struct mxq_recipe *recipe, struct mxq_amax amax)
{
    struct mxq_scale scale;
    bool edge = true;
    bool is_rule = false;

    if (amax.bits < recipe->amax_floor)
        amax.bits = recipe->amax_floor;
    if (amax.has_nan && recipe->nan_poisons) {
        scale.byte = MXQ_SCALE_NAN;
    } else if (amax.bits == MXQ_F32_INFINITY) {
        scale.byte = recipe->infinity_byte;
    } else if (amax.bits == 0) {
        scale.byte = recipe->zero_byte;
        edge = false;
    } else {
        scale.byte = mxq_scale_finite(recipe, amax.bits);
        edge = recipe->scale == MXQ_SCALE_EVEN || recipe->scale == MXQ_SCALE_EVEN_ABOVE;
        is_rule = true;
    }
    scale.is_nan = edge && scale.byte == MXQ_SCALE_NAN;
    scale.divisor = scale.byte;
    if (is_rule && scale.byte == 0)
        mxq_scale_underflow(recipe, &scale);
    return scale;
}

/* ---- codes */

#define MXQ_NUM_MIDPOINTS 7

/* What separates the codes of one block: a magnitude of threshold[i] or more gets a code above i. */
struct mxq_thresholds {
    uint32_t threshold[MXQ_NUM_MIDPOINTS];
    uint32_t vanishing; /* the largest magnitude that scaling rounds to zero in FP32 */
};

/* The bit pattern of 1.fraction * 2^exponent, fraction having at most its two upper bits; infinity when too large. */
MXQ_FUNC uint32_t mxq_pattern(int exponent, uint32_t fraction)
{
    const int biased = exponent + 127;

    if (biased >= 255)
        return MXQ_F32_INFINITY;
    if (biased >= 1)
        return (uint32_t)biased << 23 | fraction;
    return (MXQ_F32_HIDDEN | fraction) >> (1 - biased);
}

MXQ_FUNC struct mxq_thresholds mxq_find_thresholds(enum mxq_ties ties, uint8_t scale_byte)
{
    /* The midpoints between the codes: 0.25 0.75 1.25 1.75 2.5 3.5 5. */
    const int exponent[MXQ_NUM_MIDPOINTS] = {-2, -1, 0, 0, 1, 1, 2};
    const uint32_t fraction[MXQ_NUM_MIDPOINTS] = {0, 0x400000, 0x200000, 0x600000, 0x200000, 0x600000, 0x200000};
    const int shift = (int)scale_byte - 127;
    struct mxq_thresholds t;

    MXQ_UNROLL
    for (unsigned i = 0; i < MXQ_NUM_MIDPOINTS; i++) {
        /* The midpoint itself goes up to code i + 1, or only what is above it does. */
        const bool up = ties == MXQ_TIES_AWAY || (ties == MXQ_TIES_EVEN && i % 2 == 1);
        t.threshold[i] = mxq_pattern(shift + exponent[i], fraction[i]) + (up ? 0 : 1);
    }
    /* |x| * 2^-shift rounds to zero up to 2^-150, the midpoint below the smallest subnormal. */
    t.vanishing = shift - 150 < -149 ? 0 : mxq_pattern(shift - 150, 0);
    return t;
}

MXQ_FUNC uint8_t mxq_sign_of_code(const struct mxq_recipe *recipe, uint32_t x, uint8_t magnitude_code,
                                  uint32_t vanishing)
{
    const bool negative = x >> 31 != 0;
    const bool vanishes = (x & ~MXQ_F32_SIGN) <= vanishing;

    switch (recipe->sign) {
    case MXQ_SIGN_VALUE:
        return negative && !vanishes ? MXQ_CODE_SIGN : 0;
    case MXQ_SIGN_DROP:
        return negative && magnitude_code != 0 ? MXQ_CODE_SIGN : 0;
    case MXQ_SIGN_NONPOSITIVE:
        return negative || vanishes ? MXQ_CODE_SIGN : 0;
    default: /* MXQ_SIGN_KEEP */
        return negative ? MXQ_CODE_SIGN : 0;
    }
}

/* Of a NaN, or of what has become one under a NaN scale: infinity keeps its sign, what is overwritten does not. */
MXQ_FUNC uint8_t mxq_nan_code(const struct mxq_recipe *recipe, uint32_t x)
{
    const bool is_nan = (x & ~MXQ_F32_SIGN) > MXQ_F32_INFINITY;
    const bool signed_nan = recipe->nan_keeps_sign && x >> 31 != 0 && (is_nan || !recipe->nan_fills);

    return (uint8_t)(recipe->nan_code | (signed_nan ? MXQ_CODE_SIGN : 0));
}

MXQ_FUNC uint8_t mxq_encode_value(const struct mxq_recipe *recipe, uint32_t x, const struct mxq_thresholds *t)
{
    const uint32_t magnitude = x & ~MXQ_F32_SIGN;
    uint8_t code = 0;

    if (magnitude > MXQ_F32_INFINITY)
        return mxq_nan_code(recipe, x);
    MXQ_UNROLL
    for (unsigned i = 0; i < MXQ_NUM_MIDPOINTS; i++)
        code = (uint8_t)(code + (magnitude >= t->threshold[i]));
    if (magnitude == MXQ_F32_INFINITY)
        code = MXQ_CODE_LARGEST;
    return (uint8_t)(code | mxq_sign_of_code(recipe, x, code, t->vanishing));
}

/* A code in a block whose scale is NaN: a NaN, or what is finite counts as zero with its sign. */
MXQ_FUNC uint8_t mxq_encode_unscaled(const struct mxq_recipe *recipe, uint32_t x)
{
    if (recipe->nan_fills || (x & ~MXQ_F32_SIGN) >= MXQ_F32_INFINITY)
        return mxq_nan_code(recipe, x);
    return mxq_sign_of_code(recipe, x, 0, MXQ_F32_INFINITY);
}

/* ---- stochastic rounding */

/*
 * The code of a finite magnitude whose random number is u. It goes up to the next code when u / 2^32 is less than the part
 * of the way there that it has gone, exactly: rounding that part up to a multiple of 2^-32 changes no answer, as u is one.
 */
MXQ_FUNC uint8_t mxq_round_stochastic(uint32_t magnitude, uint8_t scale_byte, uint32_t u)
{
    const uint32_t exponent = magnitude >> 23;
    const uint64_t significand = (magnitude & MXQ_F32_FRACTION) | (exponent != 0 ? MXQ_F32_HIDDEN : 0);
    /* In units of 2^-33, the scaled value is the significand times 2^shift. */
    const int shift = (int)(exponent != 0 ? exponent : 1) + 10 - (int)scale_byte;
    uint64_t v; /* in these units, rounded up */
    uint8_t code;

    if (shift > 12) /* significand is 2^23 or more */
        return MXQ_CODE_LARGEST;
    if (shift >= 0)
        v = significand << shift;
    else if (shift > -24)
        v = (significand + ((uint64_t)1 << -shift) - 1) >> -shift;
    else
        v = significand != 0;
    /* Codes are 0.5 apart below 2, 1 apart below 4, and 2 apart below 6. */
    if (v >= (uint64_t)12 << 32)
        return MXQ_CODE_LARGEST;
    if (v < (uint64_t)4 << 32) {
        code = (uint8_t)(v >> 32);
    } else if (v < (uint64_t)8 << 32) {
        v = (v >> 1) + ((uint64_t)2 << 32);
        code = (uint8_t)(v >> 32);
    } else {
        v = (v >> 2) + ((uint64_t)4 << 32);
        code = (uint8_t)(v >> 32);
    }
    return (uint8_t)(code + (u < (uint32_t)v));
}

MXQ_FUNC uint8_t mxq_encode_stochastic(const struct mxq_recipe *recipe, uint32_t x, uint8_t scale_byte,
                                       uint32_t vanishing, uint32_t u)
{
    const uint32_t magnitude = x & ~MXQ_F32_SIGN;
    uint8_t code = MXQ_CODE_LARGEST;

    if (magnitude > MXQ_F32_INFINITY)
        return mxq_nan_code(recipe, x);
    if (magnitude < MXQ_F32_INFINITY)
        code = mxq_round_stochastic(magnitude, scale_byte, u);
    return (uint8_t)(code | mxq_sign_of_code(recipe, x, code, vanishing));
}

/* ---- the block */

/*
 * The code of x under a scale, which for the rule of ties has these thresholds. place: the number of its element in the
 * matrix.
 */
MXQ_FUNC uint8_t mxq_encode_element(const struct mxq_recipe *recipe, uint32_t x, struct mxq_scale scale,
                                    const struct mxq_thresholds *t, uint64_t place)
{
    if (scale.is_nan)
        return mxq_encode_unscaled(recipe, x);
    if (recipe->ties == MXQ_TIES_STOCHASTIC)
        return mxq_encode_stochastic(recipe, x, scale.divisor, t->vanishing, mxq_random_bits(recipe->seed, place));
    return mxq_encode_value(recipe, x, t);
}

/*
 * The codes of x to unit, the even value in the low nibble. Of 32 values the first ncodes have one, the others 0. Their
 * elements are place, place + step, place + 2 * step, ...
 */
MXQ_FUNC void mxq_encode_block(const struct mxq_recipe *recipe, struct mxq_scale scale,
                               const uint32_t x[MXQ_BLOCK_NELEMS], unsigned ncodes, uint64_t place, uint64_t step,
                               uint8_t unit[MXQ_UNIT_NBYTES])
{
    const struct mxq_thresholds thresholds = mxq_find_thresholds(recipe->ties, scale.divisor);
    uint8_t codes[MXQ_BLOCK_NELEMS] = {0};

    for (unsigned i = 0; i < ncodes; i++)
        codes[i] = mxq_encode_element(recipe, x[i], scale, &thresholds, place + i * step);
    for (unsigned j = 0; j < MXQ_UNIT_NBYTES; j++)
        unit[j] = (uint8_t)(codes[2 * j] | codes[2 * j + 1] << 4);
}

/* ---- and back */

/* What a code stands for under scale 1. */
MXQ_FUNC float mxq_decode_code(uint8_t code)
{
    const float magnitude[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};

    return code & MXQ_CODE_SIGN ? -magnitude[code & MXQ_CODE_LARGEST] : magnitude[code & MXQ_CODE_LARGEST];
}

/* The scale of a byte: 2^(byte - 127), or NaN. */
MXQ_FUNC float mxq_decode_scale(uint8_t scale_byte)
{
    if (scale_byte == MXQ_SCALE_NAN)
        return mxq_f32_value(MXQ_F32_QUIET_NAN);
    return mxq_f32_value(mxq_pattern((int)scale_byte - 127, 0));
}

#endif /* MXQ_BLOCK_H */
