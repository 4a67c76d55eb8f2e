/*
 * floats.h - conversions between FP32 and the smaller types, as bits
 *
 * IEEE 754 rounding to nearest, ties to even, with subnormals. Written for the executor alone: what it says must not come
 * from the code it checks.
 */
#ifndef GCN_FLOATS_H
#define GCN_FLOATS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline float f32_value(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint32_t f32_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline bool is_nan32(uint32_t bits)
{
    return (bits & 0x7fffffffu) > 0x7f800000u;
}

static inline bool is_signaling32(uint32_t bits)
{
    return is_nan32(bits) && !(bits & 0x400000u);
}

static inline uint32_t widen_f16(uint32_t half)
{
    const uint32_t sign = (half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 31;
    const uint32_t fraction = half & 0x3ffu;

    if (exponent == 31) /* the conversion quiets a NaN */
        return sign | 0x7f800000u | fraction << 13 | (fraction != 0 ? 0x400000u : 0);
    if (exponent != 0)
        return sign | (exponent + 112) << 23 | fraction << 13;
    return sign | f32_bits((float)fraction * 0x1p-24f);
}

/* FP32 to FP16. toward_zero: v_cvt_pkrtz. */
static inline uint32_t narrow_f16(uint32_t bits, bool toward_zero)
{
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t exponent = magnitude >> 23;
    const uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    uint32_t shift = 13;
    uint32_t result;

    if (magnitude > 0x7f800000u)
        return sign | 0x7e00u | (magnitude >> 13 & 0x3ffu);
    if (magnitude == 0x7f800000u)
        return sign | 0x7c00u;
    if (exponent > 142)
        return sign | (toward_zero ? 0x7bffu : 0x7c00u);
    if (exponent < 102)
        return sign;
    if (exponent < 113)
        shift += 113 - exponent;
    result = significand >> shift;
    if (!toward_zero) {
        const uint32_t rest = significand & ((1u << shift) - 1);
        const uint32_t half = 1u << (shift - 1);
        result += rest > half || (rest == half && (result & 1));
    }
    /* The hidden bit counts one exponent; a carry out of the fraction counts another, up to infinity. */
    return sign | (((exponent < 113 ? 0 : exponent - 113) << 10) + result);
}

static inline uint32_t narrow_bf16(uint32_t bits)
{
    if (is_nan32(bits))
        return (bits | 0x400000u) >> 16;
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

/* The random numbers of v_prng_b32, and of the second value of a stochastic conversion. */
static inline uint32_t next_prng(uint32_t x)
{
    return x << 1 ^ (x >> 31 ? 197u : 0u);
}

/*
 * FP32 to FP4 E2M1 under a scale whose exponent field is `scale`. Finite values: ties to even, saturating; stochastic:
 * the upper 22 bits of random are added below the last bit that is kept. No source settles NaN, infinity and scale byte
 * 255 (AMD's header says 7 with the sign); kernels have to avoid them.
 */
static inline uint32_t narrow_fp4(uint32_t bits, uint32_t scale, bool stochastic, uint32_t random)
{
    const uint32_t sign = bits >> 28 & 8;
    const uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    int exponent = (int)(magnitude >> 23) - (int)scale;
    unsigned shift = 0;
    uint32_t kept;

    if (magnitude >= 0x7f800000u || scale == 255)
        return sign | 7;
    if (magnitude == 0)
        return sign;
    if (magnitude < 0x800000u) {
        exponent++;
        for (significand = magnitude; !(significand & 0x800000u); significand <<= 1)
            exponent--;
    }
    if (exponent > 2)
        return sign | 7;
    /* Below 1 the codes are 0 and 0.5: as many bits are cut off more. A sticky bit keeps what a tie depends on. */
    if (exponent < 0)
        shift = exponent < -31 ? 31 : (unsigned)-exponent;
    kept = significand >> shift;
    if (stochastic)
        kept = (kept + (random >> 10)) >> 22;
    else {
        kept |= (significand & ((1u << shift) - 1)) != 0;
        kept = (kept + 0x1fffffu + (kept >> 22 & 1)) >> 22;
    }
    kept += exponent > 0 ? (uint32_t)exponent << 1 : 0;
    return sign | (kept > 7 ? 7 : kept);
}

static inline float widen_fp4(uint32_t code, uint32_t scale)
{
    static const float magnitudes[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    const float magnitude = magnitudes[code & 7];
    const float power = f32_value(scale == 0 ? 0x00400000u : scale << 23); /* field 0 means 2^-127 */

    if (scale == 255)
        return f32_value(0x7fc00000u);
    return (code & 8 ? -magnitude : magnitude) * power;
}

#endif /* GCN_FLOATS_H */
