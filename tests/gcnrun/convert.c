/*
 * convert.c - conversions to and from FP4 (gfx950), and the mixed-precision multiply-add
 *
 * Source: CDNA4 ISA guide, V_CVT_SCALEF32_*; what it leaves open is said in floats.h. V_FMA_MIX*: MI200 and CDNA3 ISA guides.
 */
#include "gcnrun/floats.h"
#include "gcnrun/internal.h"

#include <math.h>

/* ---- FP4 */

enum value_type {
    VALUE_F32,
    VALUE_F16,
    VALUE_BF16,
};

struct fp4_detail {
    enum value_type type;
    bool stochastic;
};

/* The two values of a packed source. */
static void unpack(uint32_t bits, enum value_type type, uint32_t value[2])
{
    value[0] = type == VALUE_BF16 ? bits << 16 : widen_f16(bits & 0xffff);
    value[1] = type == VALUE_BF16 ? bits & 0xffff0000u : widen_f16(bits >> 16);
}

/*
 * Operands: destination; the values (two registers with one FP32 each, or one with two halves; the stochastic form takes
 * FP32 from a register pair); random bits if stochastic; scale. Bits 2 and 3 of op_sel: the byte of the destination.
 */
static uint32_t encode_lane(const struct wave *wave, const struct instruction *in, const struct fp4_detail *detail,
                            unsigned l)
{
    const uint32_t scale = read_lane32(wave, &in->operand[in->noperands - 1], l) >> 23 & 255;
    uint32_t random = 0;
    uint32_t value[2];

    if (detail->type != VALUE_F32) {
        unpack(read_lane32(wave, &in->operand[1], l), detail->type, value);
    } else if (detail->stochastic) {
        const uint64_t pair = read_lane64(wave, &in->operand[1], l);
        value[0] = (uint32_t)pair;
        value[1] = (uint32_t)(pair >> 32);
    } else {
        value[0] = read_lane32(wave, &in->operand[1], l);
        value[1] = read_lane32(wave, &in->operand[2], l);
    }
    if (detail->stochastic)
        random = read_lane32(wave, &in->operand[2], l);
    return narrow_fp4(value[0], scale, detail->stochastic, random) |
           narrow_fp4(value[1], scale, detail->stochastic, next_prng(random)) << 4;
}

/* Absolute values and signs of FP32 sources. */
static void refuse_modifiers(struct wave *wave, const struct instruction *in)
{
    for (unsigned k = 0; k < in->noperands; k++)
        if (in->operand[k].negate || in->operand[k].absolute)
            fail(wave->gcn, "modifiers of sources are not known here");
}

static void execute_to_fp4(struct wave *wave, const struct instruction *in)
{
    const struct fp4_detail *detail = in->opcode->detail;
    const unsigned shift = 8 * (in->op_sel >> 2 & 3u);
    uint32_t result[NLANES];

    want_operands(wave, in, detail->stochastic || detail->type == VALUE_F32 ? 4 : 3);
    refuse_modifiers(wave, in);
    for (unsigned l = 0; l < NLANES; l++) {
        const uint32_t byte = encode_lane(wave, in, detail, l);
        result[l] = (wave->v[in->operand[0].index][l] & ~(255u << shift)) | byte << shift;
    }
    write_vector(wave, in, 0, result);
}

/* Bits 0 and 1 of op_sel: the byte of the source. */
static void execute_from_fp4(struct wave *wave, const struct instruction *in)
{
    const enum value_type type = *(const enum value_type *)in->opcode->detail;
    uint64_t result[NLANES];
    uint32_t packed[NLANES];

    want_operands(wave, in, 3);
    refuse_modifiers(wave, in);
    for (unsigned l = 0; l < NLANES; l++) {
        const uint32_t byte = read_lane32(wave, &in->operand[1], l) >> 8 * (in->op_sel & 3u) & 255;
        const uint32_t scale = read_lane32(wave, &in->operand[2], l) >> 23 & 255;
        const uint32_t lower = f32_bits(widen_fp4(byte & 15, scale));
        const uint32_t upper = f32_bits(widen_fp4(byte >> 4, scale));
        result[l] = lower | (uint64_t)upper << 32;
        packed[l] = type == VALUE_BF16 ? narrow_bf16(lower) | narrow_bf16(upper) << 16
                                       : narrow_f16(lower, false) | narrow_f16(upper, false) << 16;
    }
    if (type == VALUE_F32)
        write_vector64(wave, in, result);
    else
        write_vector(wave, in, 0, packed);
}

static const struct fp4_detail encode_f32 = {VALUE_F32, false};
static const struct fp4_detail encode_f16 = {VALUE_F16, false};
static const struct fp4_detail encode_bf16 = {VALUE_BF16, false};
static const struct fp4_detail encode_sr_f32 = {VALUE_F32, true};
static const struct fp4_detail encode_sr_f16 = {VALUE_F16, true};
static const struct fp4_detail encode_sr_bf16 = {VALUE_BF16, true};
static const enum value_type decode_f32 = VALUE_F32;
static const enum value_type decode_f16 = VALUE_F16;
static const enum value_type decode_bf16 = VALUE_BF16;

/* ---- mixed precision: op_sel_hi says which sources are halves, op_sel which half; neg_hi is the absolute value */

static float read_mixed(const struct wave *wave, const struct instruction *in, unsigned k, unsigned l)
{
    const struct operand *operand = &in->operand[k + 1];
    const bool half = in->has_op_sel_hi && in->op_sel_hi >> k & 1;
    const uint32_t bits = read_lane32(wave, operand, l);
    float value;

    if (half && operand->kind == OPERAND_FRACTION)
        value = (float)operand->fraction;
    else if (half)
        value = f32_value(widen_f16(in->op_sel >> k & 1 ? bits >> 16 : bits & 0xffff));
    else
        value = f32_value(bits);
    if (operand->absolute || in->neg_hi >> k & 1)
        value = fabsf(value);
    return operand->negate || in->neg_lo >> k & 1 ? -value : value;
}

/*
 * FP16 is rounded to from the exact sum: the product is exact in double precision, and the sum is rounded to odd in FP32,
 * which leaves what the last rounding depends on.
 */
static uint32_t fuse_to_f16(float x, float y, float z)
{
    const double product = (double)x * (double)y;
    const double sum = product + (double)z;
    const double lost = fabs(product) > fabs((double)z) ? (double)z - (sum - product) : product - (sum - (double)z);
    float value = (float)sum;

    if (isfinite(value) && ((double)value != sum || lost != 0.0)) {
        const double direction = (double)value != sum ? sum - (double)value : lost;
        if (!(f32_bits(value) & 1))
            value = nextafterf(value, direction > 0 ? INFINITY : -INFINITY);
    }
    return narrow_f16(f32_bits(value), false);
}

enum mix_result {
    MIX_F32,
    MIX_LOWER,
    MIX_UPPER,
};

static void execute_fma_mix(struct wave *wave, const struct instruction *in)
{
    const enum mix_result kind = *(const enum mix_result *)in->opcode->detail;
    uint32_t result[NLANES];

    want_operands(wave, in, 4);
    for (unsigned l = 0; l < NLANES; l++) {
        const float x = read_mixed(wave, in, 0, l);
        const float y = read_mixed(wave, in, 1, l);
        const float z = read_mixed(wave, in, 2, l);
        const uint32_t old = wave->v[in->operand[0].index][l];
        const uint32_t source[3] = {f32_bits(x), f32_bits(y), f32_bits(z)};
        if (kind == MIX_F32)
            result[l] = settle_nan(f32_bits(fmaf(x, y, z)), source, 3);
        else if (kind == MIX_LOWER)
            result[l] = (old & 0xffff0000u) | fuse_to_f16(x, y, z);
        else
            result[l] = (old & 0xffff) | fuse_to_f16(x, y, z) << 16;
    }
    write_vector(wave, in, 0, result);
}

static const enum mix_result mix_f32 = MIX_F32;
static const enum mix_result mix_lower = MIX_LOWER;
static const enum mix_result mix_upper = MIX_UPPER;

const struct opcode *convert_opcodes(size_t *n)
{
    static const struct opcode table[] = {
        {"v_cvt_scalef32_pk_fp4_f32", execute_to_fp4, GCN_VALU, &encode_f32},
        {"v_cvt_scalef32_pk_fp4_f16", execute_to_fp4, GCN_VALU, &encode_f16},
        {"v_cvt_scalef32_pk_fp4_bf16", execute_to_fp4, GCN_VALU, &encode_bf16},
        {"v_cvt_scalef32_sr_pk_fp4_f32", execute_to_fp4, GCN_VALU, &encode_sr_f32},
        {"v_cvt_scalef32_sr_pk_fp4_f16", execute_to_fp4, GCN_VALU, &encode_sr_f16},
        {"v_cvt_scalef32_sr_pk_fp4_bf16", execute_to_fp4, GCN_VALU, &encode_sr_bf16},
        {"v_cvt_scalef32_pk_f32_fp4", execute_from_fp4, GCN_VALU, &decode_f32},
        {"v_cvt_scalef32_pk_f16_fp4", execute_from_fp4, GCN_VALU, &decode_f16},
        {"v_cvt_scalef32_pk_bf16_fp4", execute_from_fp4, GCN_VALU, &decode_bf16},
        {"v_fma_mix_f32", execute_fma_mix, GCN_VALU, &mix_f32},
        {"v_fma_mixlo_f16", execute_fma_mix, GCN_VALU, &mix_lower},
        {"v_fma_mixhi_f16", execute_fma_mix, GCN_VALU, &mix_upper},
    };

    *n = NELEMS(table);
    return table;
}
