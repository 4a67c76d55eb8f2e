/* lanes.c - executes the instructions of lanes.def: sources, each lane by itself, result */
#include "gcnrun/floats.h"
#include "gcnrun/internal.h"

#include <math.h>

/* ---- integers */

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint32_t min_i32(uint32_t a, uint32_t b)
{
    return (int32_t)a < (int32_t)b ? a : b;
}

static inline uint32_t max_i32(uint32_t a, uint32_t b)
{
    return (int32_t)a > (int32_t)b ? a : b;
}

static inline uint32_t extend16(uint32_t a)
{
    return (uint32_t)(int16_t)a;
}

static inline uint32_t extend24(uint32_t a)
{
    return (uint32_t)((int32_t)(a << 8) >> 8);
}

static inline uint32_t extract_signed(uint32_t a, uint32_t shift, uint32_t width)
{
    if (width == 0)
        return 0;
    a = (uint32_t)((int32_t)a >> shift); /* bits beyond the top are those of the sign */
    return (uint32_t)((int32_t)(a << (32 - width)) >> (32 - width));
}

static inline uint32_t reverse_bits(uint32_t a)
{
    uint32_t result = 0;

    for (unsigned i = 0; i < 32; i++)
        result |= (a >> i & 1) << (31 - i);
    return result;
}

/* The first bit from the top that differs from the sign; ~0 when all are the same. */
static inline uint32_t find_sign_change(uint32_t a)
{
    const uint32_t changes = (int32_t)a < 0 ? ~a : a;

    return changes == 0 ? ~0u : (uint32_t)__builtin_clz(changes);
}

/* A selector picks one of eight bytes, a sign of one of four words, 0x00 or 0xff. */
static inline uint32_t permute_bytes(uint64_t bytes, uint32_t selectors)
{
    uint32_t result = 0;

    for (unsigned i = 0; i < 4; i++) {
        const uint32_t s = selectors >> 8 * i & 255;
        uint32_t byte;
        if (s >= 13)
            byte = 255;
        else if (s == 12)
            byte = 0;
        else if (s >= 8)
            byte = bytes >> (16 * (s - 8) + 15) & 1 ? 255 : 0;
        else
            byte = (uint32_t)(bytes >> 8 * s & 255);
        result |= byte << 8 * i;
    }
    return result;
}

/* ---- floats */

#define F(value) f32_bits(value)

static inline uint32_t quiet(uint32_t a)
{
    return a | 0x400000u;
}

static inline uint32_t first_nan2(uint32_t result, uint32_t a, uint32_t b)
{
    const uint32_t invalid = is_nan32(result) ? 0x7fc00000u : result;
    const uint32_t second = is_nan32(b) ? quiet(b) : invalid;

    return is_nan32(a) ? quiet(a) : second;
}

static inline uint32_t first_nan3(uint32_t result, uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t third = is_nan32(c) ? quiet(c) : is_nan32(result) ? 0x7fc00000u : result;

    return is_nan32(a) || is_nan32(b) ? first_nan2(result, a, b) : third;
}

/* Maps the order of floats, -0 below +0, to that of integers. */
static inline int32_t order(uint32_t a)
{
    return (int32_t)(a ^ ((uint32_t)((int32_t)a >> 31) & 0x7fffffffu));
}

/* Of two numbers the smaller; of a number and a NaN the number, unless the NaN signals in IEEE mode. */
static inline uint32_t min_f32(uint32_t a, uint32_t b, bool ieee)
{
    const uint32_t number = is_nan32(a) ? b : is_nan32(b) ? a : order(a) < order(b) ? a : b;
    const uint32_t second = ieee && is_signaling32(b) ? quiet(b) : number;

    return ieee && is_signaling32(a) ? quiet(a) : second;
}

static inline uint32_t max_f32(uint32_t a, uint32_t b, bool ieee)
{
    const uint32_t number = is_nan32(a) ? b : is_nan32(b) ? a : order(a) > order(b) ? a : b;
    const uint32_t second = ieee && is_signaling32(b) ? quiet(b) : number;

    return ieee && is_signaling32(a) ? quiet(a) : second;
}

static inline uint32_t median_f32(uint32_t a, uint32_t b, uint32_t c, bool ieee)
{
    if (is_nan32(a) || is_nan32(b) || is_nan32(c))
        return min_f32(min_f32(a, b, ieee), c, ieee);
    return max_f32(min_f32(a, b, ieee), min_f32(max_f32(a, b, ieee), c, ieee), ieee);
}

static inline float flush(uint32_t a)
{
    return f32_value(a & 0x7f800000u ? a : a & 0x80000000u);
}

/* v_mac and v_mad round the product as well, and have no denormals whatever the mode is. */
static inline uint32_t multiply_add_f32(uint32_t a, uint32_t b, uint32_t c)
{
    const float product = flush(F(flush(a) * flush(b)));

    return first_nan3(F(flush(F(product + flush(c)))), a, b, c);
}

static inline int clamp_exponent(uint32_t b)
{
    const int32_t exponent = (int32_t)b;

    return exponent > 1000 ? 1000 : exponent < -1000 ? -1000 : exponent;
}

static inline uint32_t frexp_mantissa(uint32_t a)
{
    int exponent;

    if ((a & 0x7f800000u) == 0x7f800000u)
        return is_nan32(a) ? quiet(a) : a;
    return F(frexpf(f32_value(a), &exponent));
}

static inline uint32_t frexp_exponent(uint32_t a)
{
    int exponent = 0;

    if ((a & 0x7f800000u) != 0x7f800000u)
        (void)frexpf(f32_value(a), &exponent);
    return (uint32_t)exponent;
}

static inline uint32_t convert_u32(float x)
{
    return !(x > 0.0f) ? 0 : x >= 0x1p32f ? ~0u : (uint32_t)x;
}

static inline uint32_t convert_i32(float x)
{
    if (isnan(x))
        return 0;
    return x >= 0x1p31f ? 0x7fffffffu : x < -0x1p31f ? 0x80000000u : (uint32_t)(int32_t)x;
}

/* The special cases of a division: quotient a, denominator b, numerator c. */
static inline uint32_t fix_quotient(uint32_t a, uint32_t b, uint32_t c)
{
    const uint32_t sign = (b ^ c) & 0x80000000u;
    const uint32_t denominator = b & 0x7fffffffu;
    const uint32_t numerator = c & 0x7fffffffu;
    const int distance = (int)(numerator >> 23) - (int)(denominator >> 23);

    if (is_nan32(c))
        return quiet(c);
    if (is_nan32(b))
        return quiet(b);
    if (denominator == numerator && (denominator == 0 || denominator == 0x7f800000u))
        return 0xffc00000u;
    if (denominator == 0 || numerator == 0x7f800000u)
        return sign | 0x7f800000u;
    if (denominator == 0x7f800000u || numerator == 0 || distance < -150)
        return sign;
    return sign | (a & 0x7fffffffu);
}

static inline float h(uint32_t half)
{
    return f32_value(widen_f16(half & 0xffff));
}

static inline uint32_t arithmetic_f16(float result, uint32_t a, uint32_t b)
{
    return narrow_f16(first_nan2(F(result), widen_f16(a & 0xffff), widen_f16(b & 0xffff)), false);
}

/* ---- one function an instruction */

struct sources {
    const uint32_t *a;
    const uint32_t *b;
    const uint32_t *c;
    const uint32_t *old;
    bool clamp;
    bool ieee;
};

enum result_type {
    RESULT_BITS,
    RESULT_CLAMPED, /* an integer that knows clamp itself */
    RESULT_F32,
};

#define LANE(name, source, result, ...)                                                                                \
    static void do_##name(const struct sources *s, uint32_t *restrict d)                                               \
    {                                                                                                                  \
        const bool clamp = s->clamp;                                                                                   \
        const bool ieee = s->ieee;                                                                                     \
        for (unsigned lane = 0; lane < NLANES; lane++) {                                                               \
            const uint32_t a = s->a[lane], b = s->b[lane], c = s->c[lane], old = s->old[lane];                         \
            const float x = f32_value(a), y = f32_value(b), z = f32_value(c);                                          \
            (void)b, (void)c, (void)old, (void)x, (void)y, (void)z;                                                    \
            d[lane] = __VA_ARGS__;                                                                                     \
        }                                                                                                              \
        (void)clamp, (void)ieee;                                                                                       \
    }
#include "gcnrun/lanes.def"
#undef LANE

struct lane_detail {
    void (*function)(const struct sources *s, uint32_t *restrict d);
    enum source_type source;
    enum result_type result;
};

#define LANE(name, source, result, ...) static const struct lane_detail detail_##name = {do_##name, source, result};
#include "gcnrun/lanes.def"
#undef LANE

/* ---- results */

static void modify_result(const struct instruction *in, uint32_t lanes[NLANES])
{
    static const float factors[4] = {1.0f, 2.0f, 4.0f, 0.5f};

    for (unsigned l = 0; l < NLANES; l++) {
        float value = f32_value(lanes[l]) * factors[in->scaling];
        if (in->clamp)
            value = value > 1.0f ? 1.0f : value > 0.0f ? value : 0.0f;
        lanes[l] = f32_bits(value);
    }
}

static void execute_lanes(struct wave *wave, const struct instruction *in)
{
    static const uint32_t zeros[NLANES];
    const struct lane_detail *detail = in->opcode->detail;
    uint32_t buffer[3][NLANES];
    uint32_t result[NLANES];
    const uint32_t *source[3] = {zeros, zeros, zeros};
    struct sources s;

    if (in->operand[0].kind != OPERAND_VECTOR || in->noperands < 2 || in->noperands > 4)
        fail(wave->gcn, "operands of this kind are not known here");
    for (unsigned k = 0; k + 1 < in->noperands; k++)
        source[k] = read_source(wave, in, k, detail->source, buffer[k]);
    s = (struct sources){source[0], source[1],           source[2], wave->v[in->operand[0].index],
                         in->clamp, wave->gcn->ieee_mode};
    detail->function(&s, result);
    if (in->scaling != 0 || (in->clamp && detail->result != RESULT_CLAMPED)) {
        if (detail->result != RESULT_F32)
            fail(wave->gcn, "a modifier of a result that is not a float");
        modify_result(in, result);
    }
    if (in->op_sel & 8)
        fail(wave->gcn, "a result in the upper half is not known here");
    write_vector(wave, in, 0, result);
}

const struct opcode *lane_opcodes(size_t *n)
{
    static const struct opcode table[] = {
#define LANE(name, source, result, ...) {#name, execute_lanes, GCN_VALU, &detail_##name},
#include "gcnrun/lanes.def"
#undef LANE
    };

    *n = NELEMS(table);
    return table;
}
