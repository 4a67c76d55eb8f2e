/*
 * measure_run.h - the sums over full blocks that lie one after the other
 *
 * A block is summed in FP32 and in units of its scale: v = x / scale is exact, so is its difference to the code's value, and
 * of a sum of four products at most the last bits are lost, of BF16 none. Blocks are added up in FP64, in eight lanes: lane i
 * has the values i, i + 16, i + 8 and i + 24 of every block, added in this order as two pairs. Every variant adds in this
 * order and contracts nothing, so the sums are the same to the last bit.
 *
 * Where a quotient could leave the range in which this is true (an infinity or a NaN, a scale byte that does not fit the
 * values), the block is left to the caller, who sums in FP64 throughout.
 */
#ifndef MXQ_MEASURE_RUN_H
#define MXQ_MEASURE_RUN_H

#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"

/* An amax in units of the scale between these, or 0, is what a rule makes; 2^10 leaves room for squares and their sums. */
#define MXQ_RUN_LEAST 0x1p-10f
#define MXQ_RUN_MOST 0x1p+10f

/* 1 / scale; of no use for bytes of 254 and 255. */
MXQ_FUNC float mxq_invert_scale(uint8_t scale_byte)
{
    return mxq_f32_value((254u - scale_byte) << 23);
}

/*
 * Notes the largest magnitude of a block, a NaN being the largest of all. False: the block is to be left. 0 is no smallest
 * amax, and less 1 it becomes the largest of all numbers.
 */
MXQ_FUNC bool mxq_note_amax(uint32_t amax, uint8_t scale_byte, struct mxq_lanes *lanes)
{
    const float largest = mxq_f32_value(amax) * mxq_invert_scale(scale_byte);

    lanes->amax = amax > lanes->amax ? amax : lanes->amax;
    lanes->least_amax = amax - 1u < lanes->least_amax ? amax - 1u : lanes->least_amax;
    return scale_byte < 254 && (amax == 0 || (largest >= MXQ_RUN_LEAST && largest <= MXQ_RUN_MOST));
}

/* ---- in plain C; the loops are written for compilers that make vectors of them */

MXQ_FUNC void mxq_widen_run_block(const struct mxq_measured_run *run, unsigned block, uint32_t x[MXQ_BLOCK_NELEMS])
{
    const size_t first = (size_t)block * MXQ_BLOCK_NELEMS;
    const uint16_t *halves = (const uint16_t *)run->elements + first;
    const uint32_t *wide = (const uint32_t *)run->elements + first;

    if (run->dtype == MXQ_BF16) {
        for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
            x[i] = (uint32_t)halves[i] << 16;
    } else if (run->dtype == MXQ_F16) {
        for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
            x[i] = mxq_widen_f16(halves[i]);
    } else {
        for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++)
            x[i] = wide[i];
    }
}

MXQ_FUNC uint32_t mxq_largest_magnitude(const uint32_t x[MXQ_BLOCK_NELEMS])
{
    int32_t m[MXQ_LANES], largest = 0;

    for (unsigned i = 0; i < MXQ_LANES; i++)
        m[i] = (int32_t)(x[i] & ~MXQ_F32_SIGN);
    for (unsigned first = MXQ_LANES; first < MXQ_BLOCK_NELEMS; first += MXQ_LANES) {
        for (unsigned i = 0; i < MXQ_LANES; i++) {
            const int32_t other = (int32_t)(x[first + i] & ~MXQ_F32_SIGN);
            m[i] = m[i] > other ? m[i] : other;
        }
    }
    for (unsigned i = 0; i < MXQ_LANES; i++)
        largest = m[i] > largest ? m[i] : largest;
    return (uint32_t)largest;
}

/*
 * What the codes stand for under scale 1. The three bits of a magnitude from 1 on are exponent and fraction as FP32 has
 * them, after a shift; the two below are a half and 0.
 */
MXQ_FUNC void mxq_decode_unit(const uint8_t unit[MXQ_UNIT_NBYTES], float y[MXQ_BLOCK_NELEMS])
{
    uint8_t codes[MXQ_BLOCK_NELEMS];

    for (unsigned i = 0; i < MXQ_UNIT_NBYTES; i++) {
        codes[2 * i] = unit[i] & 15u;
        codes[2 * i + 1] = unit[i] >> 4;
    }
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        const uint32_t code = codes[i];
        const uint32_t magnitude = code & 7u;
        const uint32_t normal = (magnitude << 22) + (126u << 23);
        const uint32_t small = (126u << 23) & (0u - magnitude);
        y[i] = mxq_f32_value((magnitude >= 2 ? normal : small) | (code & 8u) << 28);
    }
}

/* Adds the products of a and b. */
MXQ_FUNC void mxq_add_products(double lanes[MXQ_LANES], double square, const float a[MXQ_BLOCK_NELEMS],
                               const float b[MXQ_BLOCK_NELEMS])
{
    for (unsigned i = 0; i < MXQ_LANES; i++) {
        const float first = a[i] * b[i] + a[i + 16] * b[i + 16];
        const float second = a[i + 8] * b[i + 8] + a[i + 24] * b[i + 24];
        lanes[i] += square * (double)(first + second);
    }
}

MXQ_FUNC void mxq_sum_block(const uint32_t x[MXQ_BLOCK_NELEMS], const uint8_t unit[MXQ_UNIT_NBYTES], uint8_t scale_byte,
                            struct mxq_lanes *lanes)
{
    const float inverse = mxq_invert_scale(scale_byte);
    const float scale = mxq_decode_scale(scale_byte);
    const double square = (double)scale * (double)scale;
    float v[MXQ_BLOCK_NELEMS], y[MXQ_BLOCK_NELEMS], d[MXQ_BLOCK_NELEMS];

    mxq_decode_unit(unit, y);
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        v[i] = mxq_f32_value(x[i]) * inverse;
        d[i] = v[i] - y[i];
    }
    for (unsigned i = 0; i < MXQ_BLOCK_NELEMS; i++) {
        const float magnitude = mxq_f32_value(mxq_f32_bits(d[i]) & ~MXQ_F32_SIGN) * scale;
        lanes->largest[i] = magnitude > lanes->largest[i] ? magnitude : lanes->largest[i];
        lanes->nsaturated[i] += (mxq_f32_bits(v[i]) & ~MXQ_F32_SIGN) > 0x40c00000u; /* 6 */
    }
    mxq_add_products(lanes->signal, square, v, v);
    mxq_add_products(lanes->noise, square, d, d);
    mxq_add_products(lanes->decoded, square, y, y);
    mxq_add_products(lanes->product, square, v, y);
}

/* What mxq_kernel's sum_run does. */
MXQ_FUNC uint64_t mxq_sum_run_in_c(const struct mxq_measured_run *run, struct mxq_lanes *lanes)
{
    uint64_t left = 0;

    for (unsigned block = 0; block < run->nblocks; block++) {
        uint32_t x[MXQ_BLOCK_NELEMS];
        mxq_widen_run_block(run, block, x);
        if (mxq_note_amax(mxq_largest_magnitude(x), run->scales[block], lanes))
            mxq_sum_block(x, run->units + (size_t)block * MXQ_UNIT_NBYTES, run->scales[block], lanes);
        else
            left |= UINT64_C(1) << block;
    }
    return left;
}

#endif /* MXQ_MEASURE_RUN_H */
