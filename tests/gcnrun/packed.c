/*
 * packed.c - v_pk_*: two results an instruction, FP32 in register pairs, or 16 bits in the halves of a register; v_dot2
 *
 * Source: VOP3P of the ISA guides.
 */
#include "gcnrun/floats.h"
#include "gcnrun/internal.h"

#include <math.h>

/* ---- packed FP32: two results; op_sel and op_sel_hi choose the register of each source for the lower and upper one */

static uint32_t read_packed(const struct wave *wave, const struct instruction *in, unsigned k, bool upper, unsigned l)
{
    const struct operand *operand = &in->operand[k + 1];
    const unsigned hi = in->has_op_sel_hi ? in->op_sel_hi : 7u;
    const unsigned second = (upper ? hi : in->op_sel) >> k & 1;
    uint32_t bits;

    if (operand->kind == OPERAND_VECTOR)
        bits = wave->v[operand->index + second][l];
    else if (operand->kind == OPERAND_SCALAR)
        bits = wave->s[operand->index + second];
    else
        bits = read_lane32(wave, operand, l);
    return (upper ? in->neg_hi : in->neg_lo) >> k & 1 ? bits ^ 0x80000000u : bits;
}

static uint32_t pk_add(uint32_t a, uint32_t b, uint32_t c)
{
    (void)c;
    return f32_bits(f32_value(a) + f32_value(b));
}

static uint32_t pk_mul(uint32_t a, uint32_t b, uint32_t c)
{
    (void)c;
    return f32_bits(f32_value(a) * f32_value(b));
}

static uint32_t pk_fma(uint32_t a, uint32_t b, uint32_t c)
{
    return f32_bits(fmaf(f32_value(a), f32_value(b), f32_value(c)));
}

struct packed_detail {
    uint32_t (*function)(uint32_t a, uint32_t b, uint32_t c);
    unsigned nsources;
};

static const struct packed_detail packed_add = {pk_add, 2};
static const struct packed_detail packed_mul = {pk_mul, 2};
static const struct packed_detail packed_fma = {pk_fma, 3};

static void execute_packed_f32(struct wave *wave, const struct instruction *in)
{
    const struct packed_detail *detail = in->opcode->detail;
    uint64_t result[NLANES];

    want_operands(wave, in, detail->nsources + 1);
    for (unsigned l = 0; l < NLANES; l++) {
        result[l] = 0;
        for (unsigned half = 0; half < 2; half++) {
            uint32_t source[3] = {0, 0, 0};
            for (unsigned k = 0; k < detail->nsources; k++)
                source[k] = read_packed(wave, in, k, half == 1, l);
            const uint32_t bits = detail->function(source[0], source[1], source[2]);
            result[l] |= (uint64_t)settle_nan(bits, source, detail->nsources) << 32 * half;
        }
    }
    write_vector64(wave, in, result);
}

/* op_sel alone counts: bit 0 for the lower result, which comes from source 0, bit 1 for the upper one, from source 1. */
static void execute_packed_mov(struct wave *wave, const struct instruction *in)
{
    uint64_t result[NLANES];

    want_operands(wave, in, 3);
    for (unsigned l = 0; l < NLANES; l++) {
        const uint64_t lower = read_packed(wave, in, 0, false, l);
        const uint64_t upper = read_packed(wave, in, 1, false, l);
        result[l] = lower | upper << 32;
    }
    write_vector64(wave, in, result);
}

/* ---- packed halves */

typedef uint32_t half_function(uint32_t a, uint32_t b, uint32_t c);

#define HALF(name, expression)                                                                                         \
    static uint32_t half_##name(uint32_t a, uint32_t b, uint32_t c)                                                    \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        return (uint32_t)(expression)&0xffffu;                                                                         \
    }                                                                                                                  \
    static half_function *const packed16_##name = half_##name;

HALF(add, a + b)
HALF(sub, a - b)
HALF(mul_lo, a *b)
HALF(mad, a *b + c)
HALF(min_u, a < b ? a : b)
HALF(max_u, a > b ? a : b)
HALF(min_i, (int16_t)a < (int16_t)b ? a : b)
HALF(max_i, (int16_t)a > (int16_t)b ? a : b)
HALF(shl, b << (a & 15))
HALF(shr, b >> (a & 15))
HALF(sar, (int16_t)b >> (a & 15))

static uint32_t read_half(const struct wave *wave, const struct instruction *in, unsigned k, bool upper, unsigned l)
{
    const struct operand *operand = &in->operand[k + 1];
    const unsigned hi = in->has_op_sel_hi ? in->op_sel_hi : 7u;
    const bool second = (upper ? hi : in->op_sel) >> k & 1;
    const uint32_t bits = read_lane32(wave, operand, l);

    return second ? bits >> 16 : bits & 0xffff;
}

static bool has_fraction(const struct instruction *in, unsigned nsources)
{
    for (unsigned k = 1; k <= nsources; k++)
        if (in->operand[k].kind == OPERAND_FRACTION)
            return true;
    return false;
}

static void execute_packed16(struct wave *wave, const struct instruction *in)
{
    half_function *const function = *(half_function *const *)in->opcode->detail;
    const unsigned nsources = in->noperands - 1;
    uint32_t result[NLANES];

    const bool clamps = in->clamp && function == half_sub;

    if (nsources < 2 || nsources > 3 || in->clamp != clamps || in->neg_lo != 0 || in->neg_hi != 0 || in->sdwa ||
        has_fraction(in, nsources))
        fail(wave->gcn, "operands or modifiers of this kind are not known here");
    for (unsigned l = 0; l < NLANES; l++) {
        result[l] = 0;
        for (unsigned half = 0; half < 2; half++) {
            uint32_t source[3] = {0, 0, 0};
            for (unsigned k = 0; k < nsources; k++)
                source[k] = read_half(wave, in, k, half == 1, l);
            if (clamps && source[0] < source[1])
                continue;
            result[l] |= function(source[0], source[1], source[2]) << 16 * half;
        }
    }
    write_vector(wave, in, 0, result);
}

/* ---- packed FP16, rounded once: products and sums of halves of ordinary size are exact in FP64 */

/* An inline constant is in the lower half alone. */
static uint32_t read_fp16(const struct wave *wave, const struct instruction *in, unsigned k, bool upper, unsigned l)
{
    const struct operand *operand = &in->operand[k + 1];
    const unsigned hi = in->has_op_sel_hi ? in->op_sel_hi : 7u;
    const bool negative = (upper ? in->neg_hi : in->neg_lo) >> k & 1;
    uint32_t bits = read_half(wave, in, k, upper, l);

    if (operand->kind == OPERAND_FRACTION)
        bits = (upper ? hi : in->op_sel) >> k & 1 ? 0 : narrow_f16(f32_bits((float)operand->fraction), false);
    return bits ^ (negative ? 0x8000u : 0);
}

/* By way of FP32, rounded to odd so that the second rounding sees what the first one left. A NaN is any one. */
static uint32_t fma_fp16(uint32_t a, uint32_t b, uint32_t c)
{
    const double x = f32_value(widen_f16(a));
    const double y = f32_value(widen_f16(b));
    const double sum = x * y + f32_value(widen_f16(c));
    float nearest = (float)sum;

    if (isfinite(sum) && (double)nearest != sum && !(f32_bits(nearest) & 1))
        nearest = nextafterf(nearest, (double)nearest < sum ? INFINITY : -INFINITY);
    return narrow_f16(f32_bits(nearest), false);
}

static uint32_t add_fp16(uint32_t a, uint32_t b, uint32_t c)
{
    (void)c;
    return fma_fp16(a, 0x3c00, b);
}

static uint32_t mul_fp16(uint32_t a, uint32_t b, uint32_t c)
{
    (void)c;
    return fma_fp16(a, b, (a ^ b) & 0x8000u);
}

static half_function *const packed_add_fp16 = add_fp16;
static half_function *const packed_mul_fp16 = mul_fp16;
static half_function *const packed_fma_fp16 = fma_fp16;

static void execute_packed_fp16(struct wave *wave, const struct instruction *in)
{
    half_function *const function = *(half_function *const *)in->opcode->detail;
    const unsigned nsources = function == fma_fp16 ? 3 : 2;
    uint32_t result[NLANES];

    want_operands(wave, in, nsources + 1);
    if (in->clamp || in->sdwa)
        fail(wave->gcn, "modifiers of this kind are not known here");
    for (unsigned l = 0; l < NLANES; l++) {
        result[l] = 0;
        for (unsigned half = 0; half < 2; half++) {
            uint32_t source[3] = {0, 0, 0};
            for (unsigned k = 0; k < nsources; k++)
                source[k] = read_fp16(wave, in, k, half == 1, l);
            result[l] |= function(source[0], source[1], source[2]) << 16 * half;
        }
    }
    write_vector(wave, in, 0, result);
}

/* ---- sums of products of halves */

static void execute_dot2(struct wave *wave, const struct instruction *in)
{
    uint32_t result[NLANES];

    want_operands(wave, in, 4);
    if (in->clamp || in->neg_lo != 0 || in->neg_hi != 0 || in->sdwa || has_fraction(in, 3))
        fail(wave->gcn, "operands or modifiers of this kind are not known here");
    for (unsigned l = 0; l < NLANES; l++) {
        result[l] = read_lane32(wave, &in->operand[3], l);
        for (unsigned half = 0; half < 2; half++)
            result[l] += read_half(wave, in, 0, half == 1, l) * read_half(wave, in, 1, half == 1, l);
    }
    write_vector(wave, in, 0, result);
}

const struct opcode *packed_opcodes(size_t *n)
{
    static const struct opcode table[] = {
        {"v_pk_add_f32", execute_packed_f32, GCN_VALU, &packed_add},
        {"v_pk_mul_f32", execute_packed_f32, GCN_VALU, &packed_mul},
        {"v_pk_fma_f32", execute_packed_f32, GCN_VALU, &packed_fma},
        {"v_pk_mov_b32", execute_packed_mov, GCN_VALU, NULL},
        {"v_pk_add_f16", execute_packed_fp16, GCN_VALU, &packed_add_fp16},
        {"v_pk_mul_f16", execute_packed_fp16, GCN_VALU, &packed_mul_fp16},
        {"v_pk_fma_f16", execute_packed_fp16, GCN_VALU, &packed_fma_fp16},
        {"v_dot2_u32_u16", execute_dot2, GCN_VALU, NULL},
        {"v_pk_add_u16", execute_packed16, GCN_VALU, &packed16_add},
        {"v_pk_add_i16", execute_packed16, GCN_VALU, &packed16_add},
        {"v_pk_sub_u16", execute_packed16, GCN_VALU, &packed16_sub},
        {"v_pk_sub_i16", execute_packed16, GCN_VALU, &packed16_sub},
        {"v_pk_mul_lo_u16", execute_packed16, GCN_VALU, &packed16_mul_lo},
        {"v_pk_mad_u16", execute_packed16, GCN_VALU, &packed16_mad},
        {"v_pk_mad_i16", execute_packed16, GCN_VALU, &packed16_mad},
        {"v_pk_min_u16", execute_packed16, GCN_VALU, &packed16_min_u},
        {"v_pk_max_u16", execute_packed16, GCN_VALU, &packed16_max_u},
        {"v_pk_min_i16", execute_packed16, GCN_VALU, &packed16_min_i},
        {"v_pk_max_i16", execute_packed16, GCN_VALU, &packed16_max_i},
        {"v_pk_lshlrev_b16", execute_packed16, GCN_VALU, &packed16_shl},
        {"v_pk_lshrrev_b16", execute_packed16, GCN_VALU, &packed16_shr},
        {"v_pk_ashrrev_i16", execute_packed16, GCN_VALU, &packed16_sar},
    };

    *n = NELEMS(table);
    return table;
}
