/* scalar.c - the scalar unit: the instructions of scalar.def, EXEC masks, branches, waits and barriers */
#include "gcnrun/internal.h"

static uint32_t extend16(uint32_t a)
{
    return (uint32_t)(int16_t)a;
}

/* field: shift in bits 0 to 4, width in bits 16 to 22 */
static uint32_t extract32(uint32_t a, uint32_t field, bool is_signed)
{
    const uint32_t width = field >> 16 & 127;
    const uint32_t bits = is_signed ? (uint32_t)((int32_t)a >> (field & 31)) : a >> (field & 31);

    if (width == 0)
        return 0;
    if (width >= 32)
        return bits;
    return is_signed ? (uint32_t)((int32_t)(bits << (32 - width)) >> (32 - width)) : bits & ((1u << width) - 1);
}

static uint32_t reverse32(uint32_t a)
{
    uint32_t result = 0;

    for (unsigned i = 0; i < 32; i++)
        result |= (a >> i & 1) << (31 - i);
    return result;
}

/* ---- one function an instruction */

static uint64_t read_second(const struct wave *wave, const struct instruction *in, bool wide)
{
    if (in->noperands < 3)
        return 0;
    return wide && in->operand[2].nregs != 1 ? read_scalar64(wave, &in->operand[2])
                                             : read_scalar32(wave, &in->operand[2]);
}

#define SCALAR_BODY(type, read, write, first, second, ...)                                                             \
    {                                                                                                                  \
        const type a = (type)(first), b = (type)(second), old = (type)read(wave, &in->operand[0]);                     \
        const uint32_t scc = wave->scc;                                                                                \
        (void)a, (void)b, (void)old, (void)scc;                                                                        \
        __VA_ARGS__                                                                                                    \
    }
#define SCALAR_FINISH(type, write, expression, flag)                                                                   \
    const type result = expression;                                                                                    \
    write(wave, &in->operand[0], result);                                                                              \
    wave->scc = (flag) ? 1u : 0u;

#define SCALAR_32(name, expression, flag)                                                                              \
    static void do_##name(struct wave *wave, const struct instruction *in)                                             \
        SCALAR_BODY(uint32_t, read_scalar32, write_scalar32, read_scalar32(wave, &in->operand[1]),                     \
                    read_second(wave, in, false), SCALAR_FINISH(uint32_t, write_scalar32, expression, flag))
#define SCALAR_64(name, expression, flag)                                                                              \
    static void do_##name(struct wave *wave, const struct instruction *in)                                             \
        SCALAR_BODY(uint64_t, read_scalar64, write_scalar64, read_scalar64(wave, &in->operand[1]),                     \
                    read_second(wave, in, true), SCALAR_FINISH(uint64_t, write_scalar64, expression, flag))

#define SCALAR(name, bits, expression, flag) SCALAR_##bits(name, expression, flag)
#define SCALAR_NARROW(name, expression, flag)                                                                          \
    static void do_##name(struct wave *wave, const struct instruction *in)                                             \
        SCALAR_BODY(uint64_t, read_scalar32, write_scalar32, read_scalar64(wave, &in->operand[1]), 0,                  \
                    SCALAR_FINISH(uint32_t, write_scalar32, expression, flag))
#define SCALAR_K(name, expression, flag)                                                                               \
    static void do_##name(struct wave *wave, const struct instruction *in) SCALAR_BODY(                                \
        uint32_t, read_scalar32, write_scalar32, read_scalar32(wave, &in->operand[0]),                                 \
        extend16(read_scalar32(wave, &in->operand[1])), SCALAR_FINISH(uint32_t, write_scalar32, expression, flag))
#define SCALAR_COMPARE(name, bits, flag)                                                                               \
    static void do_##name(struct wave *wave, const struct instruction *in)                                             \
    {                                                                                                                  \
        const uint##bits##_t a = read_scalar##bits(wave, &in->operand[0]);                                             \
        const uint##bits##_t b = read_scalar##bits(wave, &in->operand[1]);                                             \
        wave->scc = (flag) ? 1u : 0u;                                                                                  \
    }
#include "gcnrun/scalar.def"
#undef SCALAR
#undef SCALAR_NARROW
#undef SCALAR_K
#undef SCALAR_COMPARE

#define SCALAR(name, bits, expression, flag) {#name, do_##name, GCN_SALU, NULL},
#define SCALAR_NARROW(name, expression, flag) {#name, do_##name, GCN_SALU, NULL},
#define SCALAR_K(name, expression, flag) {#name, do_##name, GCN_SALU, NULL},
#define SCALAR_COMPARE(name, bits, flag) {#name, do_##name, GCN_SALU, NULL},

/* ---- EXEC */

/* The destination gets EXEC, which then gets (source op EXEC). */
#define SAVEEXEC(name, expression)                                                                                     \
    static void do_##name(struct wave *wave, const struct instruction *in)                                             \
    {                                                                                                                  \
        const uint64_t exec = exec_mask(wave);                                                                         \
        const uint64_t source = read_scalar64(wave, &in->operand[1]);                                                  \
        const uint64_t result = expression;                                                                            \
        write_scalar64(wave, &in->operand[0], exec);                                                                   \
        write_s64(wave, EXEC, result);                                                                                 \
        wave->scc = result != 0;                                                                                       \
    }

SAVEEXEC(s_and_saveexec_b64, source &exec)
SAVEEXEC(s_or_saveexec_b64, source | exec)
SAVEEXEC(s_xor_saveexec_b64, source ^ exec)
SAVEEXEC(s_andn2_saveexec_b64, source & ~exec)
SAVEEXEC(s_orn2_saveexec_b64, source | ~exec)
SAVEEXEC(s_andn1_saveexec_b64, ~source &exec)
SAVEEXEC(s_orn1_saveexec_b64, ~source | exec)

static void do_s_getpc_b64(struct wave *wave, const struct instruction *in)
{
    write_scalar64(wave, &in->operand[0], in->address + 4 * in->nwords);
}

const struct opcode *scalar_opcodes(size_t *n)
{
    static const struct opcode table[] = {
#include "gcnrun/scalar.def"
        {"s_and_saveexec_b64", do_s_and_saveexec_b64, GCN_SALU, NULL},
        {"s_or_saveexec_b64", do_s_or_saveexec_b64, GCN_SALU, NULL},
        {"s_xor_saveexec_b64", do_s_xor_saveexec_b64, GCN_SALU, NULL},
        {"s_andn2_saveexec_b64", do_s_andn2_saveexec_b64, GCN_SALU, NULL},
        {"s_orn2_saveexec_b64", do_s_orn2_saveexec_b64, GCN_SALU, NULL},
        {"s_andn1_saveexec_b64", do_s_andn1_saveexec_b64, GCN_SALU, NULL},
        {"s_orn1_saveexec_b64", do_s_orn1_saveexec_b64, GCN_SALU, NULL},
        {"s_getpc_b64", do_s_getpc_b64, GCN_SALU, NULL},
    };

    *n = NELEMS(table);
    return table;
}

/* ---- control */

static void branch(struct wave *wave, const struct instruction *in, bool taken)
{
    if (taken)
        wave->next = in->target;
}

#define BRANCH(name, condition)                                                                                        \
    static void do_##name(struct wave *wave, const struct instruction *in)                                             \
    {                                                                                                                  \
        branch(wave, in, condition);                                                                                   \
    }

BRANCH(s_branch, true)
BRANCH(s_cbranch_scc0, wave->scc == 0)
BRANCH(s_cbranch_scc1, wave->scc != 0)
BRANCH(s_cbranch_vccz, read_s64(wave, VCC) == 0)
BRANCH(s_cbranch_vccnz, read_s64(wave, VCC) != 0)
BRANCH(s_cbranch_execz, exec_mask(wave) == 0)
BRANCH(s_cbranch_execnz, exec_mask(wave) != 0)

static void do_nothing(struct wave *wave, const struct instruction *in)
{
    (void)wave;
    (void)in;
}

static void do_s_waitcnt(struct wave *wave, const struct instruction *in)
{
    wait_for_counters(wave, in->words[0] & 0xffff);
}

/* Stricter than the hardware, which asks nobody's lanes: a barrier that lanes of a workgroup do not reach is a fault. */
static void do_s_barrier(struct wave *wave, const struct instruction *in)
{
    (void)in;
    if (exec_mask(wave) != wave->initial_exec)
        fail(wave->gcn, "divergence at a barrier: lanes %016llx of %016llx reach it",
             (unsigned long long)exec_mask(wave), (unsigned long long)wave->initial_exec);
    if (wave->waits.last_lds_write > wave->waits.lgkm_done)
        fail(wave->gcn, "LDS writes that s_waitcnt has not waited for at a barrier");
    wave->state = WAVE_AT_BARRIER;
    wave->barrier = wave->next - 1;
}

static void do_s_endpgm(struct wave *wave, const struct instruction *in)
{
    (void)in;
    wave->state = WAVE_ENDED;
}

const struct opcode *control_opcodes(size_t *n)
{
    static const struct opcode table[] = {
        {"s_branch", do_s_branch, GCN_CONTROL, NULL},
        {"s_cbranch_scc0", do_s_cbranch_scc0, GCN_CONTROL, NULL},
        {"s_cbranch_scc1", do_s_cbranch_scc1, GCN_CONTROL, NULL},
        {"s_cbranch_vccz", do_s_cbranch_vccz, GCN_CONTROL, NULL},
        {"s_cbranch_vccnz", do_s_cbranch_vccnz, GCN_CONTROL, NULL},
        {"s_cbranch_execz", do_s_cbranch_execz, GCN_CONTROL, NULL},
        {"s_cbranch_execnz", do_s_cbranch_execnz, GCN_CONTROL, NULL},
        {"s_nop", do_nothing, GCN_CONTROL, NULL},
        {"s_sleep", do_nothing, GCN_CONTROL, NULL},
        {"s_setprio", do_nothing, GCN_CONTROL, NULL},
        {"s_waitcnt", do_s_waitcnt, GCN_CONTROL, NULL},
        {"s_barrier", do_s_barrier, GCN_CONTROL, NULL},
        {"s_endpgm", do_s_endpgm, GCN_CONTROL, NULL},
    };

    *n = NELEMS(table);
    return table;
}
