/* vector.c - operands and results of the vector unit: registers, constants, DPP, SDWA, modifiers, EXEC */
#include "gcnrun/floats.h"
#include "gcnrun/internal.h"

/* ---- one lane */

static uint32_t fraction32(const struct operand *operand)
{
    return f32_bits((float)operand->fraction);
}

uint32_t read_lane32(const struct wave *wave, const struct operand *operand, unsigned lane)
{
    switch (operand->kind) {
    case OPERAND_VECTOR:
        return wave->v[operand->index][lane];
    case OPERAND_SCALAR:
        return wave->s[operand->index];
    case OPERAND_FRACTION:
        return fraction32(operand);
    default:
        return operand->bits;
    }
}

uint64_t read_lane64(const struct wave *wave, const struct operand *operand, unsigned lane)
{
    uint64_t bits;

    switch (operand->kind) {
    case OPERAND_VECTOR:
        return wave->v[operand->index][lane] | (uint64_t)wave->v[operand->index + 1][lane] << 32;
    case OPERAND_SCALAR:
        return read_s64(wave, operand->index);
    case OPERAND_FRACTION:
        memcpy(&bits, &operand->fraction, sizeof(bits));
        return bits;
    default:
        return operand->literal ? operand->bits : (uint64_t)(int64_t)(int32_t)operand->bits;
    }
}

/* ---- the scalar unit */

static void refuse_vector(const struct wave *wave, const struct operand *operand, bool destination)
{
    if (operand->kind == OPERAND_VECTOR || operand->kind == OPERAND_NONE ||
        (destination && operand->kind != OPERAND_SCALAR))
        fail(wave->gcn, "not a scalar operand");
}

uint32_t read_scalar32(const struct wave *wave, const struct operand *operand)
{
    refuse_vector(wave, operand, false);
    return read_lane32(wave, operand, 0);
}

uint64_t read_scalar64(const struct wave *wave, const struct operand *operand)
{
    refuse_vector(wave, operand, false);
    return read_lane64(wave, operand, 0);
}

void write_scalar32(struct wave *wave, const struct operand *operand, uint32_t value)
{
    refuse_vector(wave, operand, true);
    wave->s[operand->index] = value;
}

void write_scalar64(struct wave *wave, const struct operand *operand, uint64_t value)
{
    refuse_vector(wave, operand, true);
    write_s64(wave, operand->index, value);
}

/* ---- masks */

static const uint32_t *byte_lanes(unsigned byte)
{
#define B(n, i) ((n) >> (i)&1 ? 0xffffffffu : 0u)
#define R1(n)                                                                                                          \
    {                                                                                                                  \
        B(n, 0), B(n, 1), B(n, 2), B(n, 3), B(n, 4), B(n, 5), B(n, 6), B(n, 7)                                         \
    }
#define R4(n) R1(n), R1((n) + 1), R1((n) + 2), R1((n) + 3)
#define R16(n) R4(n), R4((n) + 4), R4((n) + 8), R4((n) + 12)
#define R64(n) R16(n), R16((n) + 16), R16((n) + 32), R16((n) + 48)
    static const uint32_t table[256][8] = {R64(0), R64(64), R64(128), R64(192)};
    return table[byte];
}

void expand_mask(uint64_t mask, uint32_t lanes[NLANES])
{
    for (unsigned i = 0; i < 8; i++)
        memcpy(lanes + 8 * i, byte_lanes(mask >> 8 * i & 255), 8 * sizeof(lanes[0]));
}

uint64_t collect_mask(const uint8_t lanes[NLANES])
{
    uint64_t mask = 0;

    for (unsigned l = 0; l < NLANES; l++)
        mask |= (uint64_t)(lanes[l] != 0) << l;
    return mask;
}

/* ---- sources */

static void broadcast(uint32_t value, uint32_t lanes[NLANES])
{
    for (unsigned l = 0; l < NLANES; l++)
        lanes[l] = value;
}

/* Lanes that read from outside, or from a lane that EXEC switches off, read 0 or do nothing. */
static void read_dpp(struct wave *wave, const struct instruction *in, const uint32_t *from, uint32_t lanes[NLANES])
{
    const uint64_t exec = exec_mask(wave);

    for (unsigned l = 0; l < NLANES; l++) {
        const int source = in->dpp_source[l];
        const bool valid = source >= 0 && exec >> source & 1;
        lanes[l] = valid ? from[source] : 0;
        if (source == DPP_MASKED || (!valid && !in->dpp_zero))
            wave->written &= ~(1ull << l);
    }
}

static uint32_t select_part(uint32_t value, unsigned select, bool sign_extend)
{
    if (select < 4) {
        value = value >> 8 * select & 255;
        return sign_extend ? (uint32_t)(int8_t)value : value;
    }
    value = value >> 16 * (select - 4) & 0xffff;
    return sign_extend ? (uint32_t)(int16_t)value : value;
}

static const uint32_t *modify(const struct operand *operand, enum source_type type, const uint32_t *from,
                              uint32_t lanes[NLANES])
{
    const uint32_t sign = type == SOURCE_F16 ? 0x8000u : 0x80000000u;
    const uint32_t keep = operand->absolute ? ~sign : 0xffffffffu;
    const uint32_t flip = operand->negate ? sign : 0;

    for (unsigned l = 0; l < NLANES; l++)
        lanes[l] = (from[l] & keep) ^ flip;
    return lanes;
}

static bool is_narrow(enum source_type type)
{
    return type == SOURCE_F16 || type == SOURCE_BITS16;
}

static const uint32_t *read_registers(const struct wave *wave, const struct operand *operand, enum source_type type,
                                      uint32_t buffer[NLANES])
{
    if (operand->kind == OPERAND_VECTOR)
        return wave->v[operand->index];
    if (operand->kind == OPERAND_FRACTION && is_narrow(type))
        broadcast(narrow_f16(fraction32(operand), false), buffer);
    else
        broadcast(read_lane32(wave, operand, 0), buffer);
    return buffer;
}

/* k counts sources, so that operand k + 1 is meant. */
const uint32_t *read_source(struct wave *wave, const struct instruction *in, unsigned k, enum source_type type,
                            uint32_t buffer[NLANES])
{
    const struct operand *operand = &in->operand[k + 1];
    const uint32_t *lanes = read_registers(wave, operand, type, buffer);

    if (in->dpp_source != NULL && k == 0) {
        uint32_t moved[NLANES];
        read_dpp(wave, in, lanes, moved);
        memcpy(buffer, moved, sizeof(moved));
        lanes = buffer;
    }
    if (in->sdwa && k < 2 && in->select[k] != SELECT_ALL) {
        for (unsigned l = 0; l < NLANES; l++)
            buffer[l] = select_part(lanes[l], in->select[k], operand->sign_extend);
        lanes = buffer;
    }
    if (is_narrow(type) && in->op_sel >> k & 1) {
        for (unsigned l = 0; l < NLANES; l++)
            buffer[l] = lanes[l] >> 16;
        lanes = buffer;
    }
    if (!operand->negate && !operand->absolute)
        return lanes;
    if (type != SOURCE_F32 && type != SOURCE_F16)
        fail(wave->gcn, "a modifier of a source that is not a float");
    return modify(operand, type, lanes, buffer);
}

/* ---- results */

static uint32_t place_part(const struct instruction *in, uint32_t old, uint32_t value)
{
    const unsigned width = in->select_dest < 4 ? 8 : 16;
    const unsigned shift = in->select_dest < 4 ? 8 * in->select_dest : 16 * (in->select_dest - 4u);
    const uint32_t part = (1u << width) - 1;
    uint32_t result = (value & part) << shift;

    if (in->unused == UNUSED_PRESERVE)
        result |= old & ~(part << shift);
    else if (in->unused == UNUSED_SEXT && value >> (width - 1) & 1 && shift + width < 32)
        result |= 0xffffffffu << (shift + width);
    return result;
}

void write_vector(struct wave *wave, const struct instruction *in, unsigned offset, const uint32_t result[NLANES])
{
    const uint64_t written = exec_mask(wave) & wave->written;
    const struct operand *operand = &in->operand[0];
    uint32_t *to;
    uint32_t lanes[NLANES];

    if (operand->kind != OPERAND_VECTOR)
        fail(wave->gcn, "not a vector destination");
    to = wave->v[operand->index + offset];
    expand_mask(written, lanes);
    if (in->sdwa && in->select_dest != SELECT_ALL)
        for (unsigned l = 0; l < NLANES; l++)
            to[l] = lanes[l] ? place_part(in, to[l], result[l]) : to[l];
    else if (written == ~0ull)
        memcpy(to, result, NLANES * sizeof(result[0]));
    else
        for (unsigned l = 0; l < NLANES; l++)
            to[l] = (result[l] & lanes[l]) | (to[l] & ~lanes[l]);
}

void write_vector64(struct wave *wave, const struct instruction *in, const uint64_t result[NLANES])
{
    uint32_t half[NLANES];

    for (unsigned h = 0; h < 2; h++) {
        for (unsigned l = 0; l < NLANES; l++)
            half[l] = (uint32_t)(result[l] >> 32 * h);
        write_vector(wave, in, h, half);
    }
}

uint32_t settle_nan(uint32_t result, const uint32_t source[], unsigned nsources)
{
    if (!is_nan32(result))
        return result;
    for (unsigned k = 0; k < nsources; k++)
        if (is_nan32(source[k]))
            return source[k] | 0x400000u;
    return 0x7fc00000u;
}

void want_operands(struct wave *wave, const struct instruction *in, unsigned n)
{
    if (in->noperands != n || in->sdwa || in->clamp || in->scaling != 0)
        fail(wave->gcn, "operands or modifiers of this kind are not known here");
}
