/*
 * compare.c - v_cmp and v_cmpx: each active lane gives one bit of a scalar register pair; inactive lanes give 0
 *
 * Source: VOPC of the ISA guides. v_cmpx writes EXEC as well.
 */
#include "gcnrun/floats.h"
#include "gcnrun/internal.h"

struct compare_detail {
    void (*narrow)(const uint32_t *a, const uint32_t *b, uint8_t *lanes);
    bool (*wide)(uint64_t a, uint64_t b);
    enum source_type source;
    bool writes_exec;
};

/* ---- classes of floats: the bits of the mask that v_cmp_class_f32 tests */

static uint32_t classify(uint32_t a)
{
    const uint32_t magnitude = a & 0x7fffffffu;
    const bool negative = a >> 31 != 0;

    if (is_nan32(a))
        return is_signaling32(a) ? 1 : 2;
    if (magnitude == 0x7f800000u)
        return negative ? 4 : 512;
    if (magnitude >= 0x00800000u)
        return negative ? 8 : 256;
    if (magnitude != 0)
        return negative ? 16 : 128;
    return negative ? 32 : 64;
}

/* ---- one function a comparison; TYPE is what the bits are, and read() makes it of them */

#define NARROW(name, type, read, expression)                                                                           \
    static void narrow_##name(const uint32_t *a, const uint32_t *b, uint8_t *lanes)                                    \
    {                                                                                                                  \
        for (unsigned l = 0; l < NLANES; l++) {                                                                        \
            const type x = (type)read(a[l]), y = (type)read(b[l]);                                                     \
            (void)x, (void)y;                                                                                          \
            lanes[l] = (uint8_t)(expression);                                                                          \
        }                                                                                                              \
    }

#define WIDE(name, type, expression)                                                                                   \
    static bool wide_##name(uint64_t a, uint64_t b)                                                                    \
    {                                                                                                                  \
        const type x = (type)a, y = (type)b;                                                                           \
        (void)x, (void)y;                                                                                              \
        return expression;                                                                                             \
    }

#define INTEGERS(X, type)                                                                                              \
    X(f, type, 0)                                                                                                      \
    X(lt, type, x < y)                                                                                                 \
    X(eq, type, x == y)                                                                                                \
    X(le, type, x <= y)                                                                                                \
    X(gt, type, x > y)                                                                                                 \
    X(ne, type, x != y)                                                                                                \
    X(ge, type, x >= y)                                                                                                \
    X(t, type, 1)

/* With a NaN: false, but for u and what begins with n, which negate; "lg" is ordered. */
#define FLOATS(X, type)                                                                                                \
    X(f, type, 0)                                                                                                      \
    X(lt, type, x < y)                                                                                                 \
    X(eq, type, x == y)                                                                                                \
    X(le, type, x <= y)                                                                                                \
    X(gt, type, x > y)                                                                                                 \
    X(lg, type, x < y || y < x)                                                                                        \
    X(ge, type, x >= y)                                                                                                \
    X(o, type, x == x && y == y)                                                                                       \
    X(u, type, x != x || y != y)                                                                                       \
    X(nge, type, !(x >= y))                                                                                            \
    X(nlg, type, !(x < y || y < x))                                                                                    \
    X(ngt, type, !(x > y))                                                                                             \
    X(nle, type, !(x <= y))                                                                                            \
    X(neq, type, !(x == y))                                                                                            \
    X(nlt, type, !(x < y))                                                                                             \
    X(tru, type, 1)

static inline float read_f16(uint32_t a)
{
    return f32_value(widen_f16(a & 0xffff));
}

#define NARROW_U32(name, type, expression) NARROW(name##_u32, uint32_t, , expression)
#define NARROW_I32(name, type, expression) NARROW(name##_i32, int32_t, , expression)
#define NARROW_U16(name, type, expression) NARROW(name##_u16, uint16_t, , expression)
#define NARROW_I16(name, type, expression) NARROW(name##_i16, int16_t, , expression)
#define NARROW_F32(name, type, expression) NARROW(name##_f32, float, f32_value, expression)
#define NARROW_F16(name, type, expression) NARROW(name##_f16, float, read_f16, expression)
#define WIDE_U64(name, type, expression) WIDE(name##_u64, uint64_t, expression)
#define WIDE_I64(name, type, expression) WIDE(name##_i64, int64_t, expression)

INTEGERS(NARROW_U32, )
INTEGERS(NARROW_I32, )
INTEGERS(NARROW_U16, )
INTEGERS(NARROW_I16, )
FLOATS(NARROW_F32, )
FLOATS(NARROW_F16, )
INTEGERS(WIDE_U64, )
INTEGERS(WIDE_I64, )

NARROW(class_f32, uint32_t, , (classify(x) & y) != 0)

/* ---- execution */

static uint64_t compare_narrow(struct wave *wave, const struct instruction *in, const struct compare_detail *detail)
{
    uint32_t buffer[2][NLANES];
    uint8_t lanes[NLANES];
    const uint32_t *a = read_source(wave, in, 0, detail->source, buffer[0]);
    const uint32_t *b = read_source(wave, in, 1, detail->source, buffer[1]);

    detail->narrow(a, b, lanes);
    return collect_mask(lanes);
}

static uint64_t compare_wide(struct wave *wave, const struct instruction *in, const struct compare_detail *detail)
{
    uint8_t lanes[NLANES];

    for (unsigned l = 0; l < NLANES; l++)
        lanes[l] = detail->wide(read_lane64(wave, &in->operand[1], l), read_lane64(wave, &in->operand[2], l));
    return collect_mask(lanes);
}

static void execute_compare(struct wave *wave, const struct instruction *in)
{
    const struct compare_detail *detail = in->opcode->detail;
    uint64_t mask;

    if (in->noperands != 3 || in->clamp)
        fail(wave->gcn, "operands of this kind are not known here");
    mask = detail->narrow != NULL ? compare_narrow(wave, in, detail) : compare_wide(wave, in, detail);
    mask &= exec_mask(wave) & wave->written;
    write_scalar64(wave, &in->operand[0], mask);
    if (detail->writes_exec)
        write_s64(wave, EXEC, mask);
}

#define DETAIL(name, narrow_function, wide_function, source)                                                           \
    static const struct compare_detail detail_cmp_##name = {narrow_function, wide_function, source, false};            \
    static const struct compare_detail detail_cmpx_##name = {narrow_function, wide_function, source, true};
#define DETAIL_U32(name, type, expression) DETAIL(name##_u32, narrow_##name##_u32, NULL, SOURCE_BITS)
#define DETAIL_I32(name, type, expression) DETAIL(name##_i32, narrow_##name##_i32, NULL, SOURCE_BITS)
#define DETAIL_U16(name, type, expression) DETAIL(name##_u16, narrow_##name##_u16, NULL, SOURCE_BITS16)
#define DETAIL_I16(name, type, expression) DETAIL(name##_i16, narrow_##name##_i16, NULL, SOURCE_BITS16)
#define DETAIL_F32(name, type, expression) DETAIL(name##_f32, narrow_##name##_f32, NULL, SOURCE_F32)
#define DETAIL_F16(name, type, expression) DETAIL(name##_f16, narrow_##name##_f16, NULL, SOURCE_F16)
#define DETAIL_U64(name, type, expression) DETAIL(name##_u64, NULL, wide_##name##_u64, SOURCE_BITS)
#define DETAIL_I64(name, type, expression) DETAIL(name##_i64, NULL, wide_##name##_i64, SOURCE_BITS)

INTEGERS(DETAIL_U32, )
INTEGERS(DETAIL_I32, )
INTEGERS(DETAIL_U16, )
INTEGERS(DETAIL_I16, )
FLOATS(DETAIL_F32, )
FLOATS(DETAIL_F16, )
INTEGERS(DETAIL_U64, )
INTEGERS(DETAIL_I64, )
DETAIL(class_f32, narrow_class_f32, NULL, SOURCE_F32)

#define ROW(name)                                                                                                      \
    {"v_cmp_" #name, execute_compare, GCN_VALU, &detail_cmp_##name},                                                   \
        {"v_cmpx_" #name, execute_compare, GCN_VALU, &detail_cmpx_##name},
#define ROW_U32(name, type, expression) ROW(name##_u32)
#define ROW_I32(name, type, expression) ROW(name##_i32)
#define ROW_U16(name, type, expression) ROW(name##_u16)
#define ROW_I16(name, type, expression) ROW(name##_i16)
#define ROW_F32(name, type, expression) ROW(name##_f32)
#define ROW_F16(name, type, expression) ROW(name##_f16)
#define ROW_U64(name, type, expression) ROW(name##_u64)
#define ROW_I64(name, type, expression) ROW(name##_i64)

const struct opcode *compare_opcodes(size_t *n)
{
    static const struct opcode table[] = {INTEGERS(ROW_U32, ) INTEGERS(ROW_I32, ) INTEGERS(ROW_U16, ) INTEGERS(
        ROW_I16, ) FLOATS(ROW_F32, ) FLOATS(ROW_F16, ) INTEGERS(ROW_U64, ) INTEGERS(ROW_I64, ) ROW(class_f32)};

    *n = NELEMS(table);
    return table;
}
