/*
 * division.c - the steps of an FP32 division, and the functions that the architecture does not define to the last bit
 *
 * Source: V_DIV_SCALE_F32 and V_DIV_FMAS_F32, of the ISA guides.
 */
#include "gcnrun/floats.h"
#include "gcnrun/internal.h"

#include <math.h>

static bool is_subnormal(float x)
{
    return fpclassify(x) == FP_SUBNORMAL || x == 0.0f;
}

static uint32_t scale_for_division(const uint32_t source[3], bool *scaled)
{
    const float value = f32_value(source[0]);
    const float denominator = f32_value(source[1]);
    const float numerator = f32_value(source[2]);
    const int distance = (int)(source[2] >> 23 & 255) - (int)(source[1] >> 23 & 255);

    *scaled = false;
    if (numerator == 0.0f || denominator == 0.0f)
        return 0x7fc00000u;
    if (distance >= 96) {
        *scaled = true;
        return source[0] == source[1] ? f32_bits(value * 0x1p64f) : source[0];
    }
    if (fpclassify(denominator) == FP_SUBNORMAL)
        return f32_bits(value * 0x1p64f);
    if (fpclassify(1.0f / denominator) == FP_SUBNORMAL) {
        *scaled = is_subnormal(numerator / denominator);
        if (*scaled)
            return source[0] == source[1] ? f32_bits(value * 0x1p64f) : source[0];
        return f32_bits(value * 0x1p-64f);
    }
    if (is_subnormal(numerator / denominator)) {
        *scaled = true;
        return source[0] == source[2] ? f32_bits(value * 0x1p64f) : source[0];
    }
    return (source[2] >> 23 & 255) <= 23 ? f32_bits(value * 0x1p64f) : source[0];
}

static void execute_div_scale(struct wave *wave, const struct instruction *in)
{
    uint32_t result[NLANES];
    uint8_t scaled[NLANES];

    want_operands(wave, in, 5);
    for (unsigned l = 0; l < NLANES; l++) {
        uint32_t source[3];
        bool flag;
        for (unsigned k = 0; k < 3; k++) {
            if (in->operand[k + 2].negate || in->operand[k + 2].absolute)
                fail(wave->gcn, "modifiers are not known here");
            source[k] = read_lane32(wave, &in->operand[k + 2], l);
        }
        result[l] = scale_for_division(source, &flag);
        scaled[l] = flag;
    }
    write_vector(wave, in, 0, result);
    write_scalar64(wave, &in->operand[1], collect_mask(scaled) & exec_mask(wave));
}

static void execute_div_fmas(struct wave *wave, const struct instruction *in)
{
    const uint64_t vcc = read_s64(wave, VCC);
    uint32_t buffer[3][NLANES];
    uint32_t result[NLANES];
    const uint32_t *source[3];

    want_operands(wave, in, 4);
    for (unsigned k = 0; k < 3; k++)
        source[k] = read_source(wave, in, k, SOURCE_F32, buffer[k]);
    for (unsigned l = 0; l < NLANES; l++) {
        const uint32_t lane[3] = {source[0][l], source[1][l], source[2][l]};
        const bool large = (lane[2] >> 23 & 255) > 127;
        float value = fmaf(f32_value(lane[0]), f32_value(lane[1]), f32_value(lane[2]));
        if (vcc >> l & 1)
            value *= large ? 0x1p64f : 0x1p-64f;
        result[l] = settle_nan(f32_bits(value), lane, 3);
    }
    write_vector(wave, in, 0, result);
}

/* ---- what the architecture does not define to the last bit: computed as well as FP32 allows, and counted */

typedef float inexact_function(float x);

static float reciprocal(float x)
{
    return 1.0f / x;
}

static float reciprocal_root(float x)
{
    return (float)(1.0 / sqrt((double)x));
}

static inexact_function *const inexact_rcp = reciprocal;
static inexact_function *const inexact_rsq = reciprocal_root;
static inexact_function *const inexact_sqrt = sqrtf;
static inexact_function *const inexact_exp = exp2f;
static inexact_function *const inexact_log = log2f;

/* One unit more or less in the last place, as the seed says: what depends on it shows. */
static uint32_t perturb(struct wave *wave, uint32_t bits)
{
    const uint32_t magnitude = bits & 0x7fffffffu;

    if (!wave->gcn->perturbs || magnitude <= 0x00800000u || magnitude >= 0x7f7fffffu)
        return bits;
    return bits + (uint32_t)(next_random(wave->gcn) % 3) - 1;
}

static void execute_inexact(struct wave *wave, const struct instruction *in)
{
    inexact_function *const function = *(inexact_function *const *)in->opcode->detail;
    uint32_t buffer[NLANES];
    uint32_t result[NLANES];
    const uint32_t *source = read_source(wave, in, 0, SOURCE_F32, buffer);

    want_operands(wave, in, 2);
    wave->gcn->counters.ninexact++;
    for (unsigned l = 0; l < NLANES; l++)
        result[l] = perturb(wave, settle_nan(f32_bits(function(f32_value(source[l]))), source + l, 1));
    write_vector(wave, in, 0, result);
}

const struct opcode *division_opcodes(size_t *n)
{
    static const struct opcode table[] = {
        {"v_div_scale_f32", execute_div_scale, GCN_VALU, NULL},
        {"v_div_fmas_f32", execute_div_fmas, GCN_VALU, NULL},
        {"v_rcp_f32", execute_inexact, GCN_VALU, &inexact_rcp},
        {"v_rcp_iflag_f32", execute_inexact, GCN_VALU, &inexact_rcp},
        {"v_rsq_f32", execute_inexact, GCN_VALU, &inexact_rsq},
        {"v_sqrt_f32", execute_inexact, GCN_VALU, &inexact_sqrt},
        {"v_exp_f32", execute_inexact, GCN_VALU, &inexact_exp},
        {"v_log_f32", execute_inexact, GCN_VALU, &inexact_log},
    };

    *n = NELEMS(table);
    return table;
}
