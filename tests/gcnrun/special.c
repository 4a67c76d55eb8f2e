/*
 * special.c - vector instructions whose shape is their own: carries, 64 bits, moves between lanes, logic
 *
 * Source: VOP1, VOP2 and VOP3 of the ISA guides; v_permlane*_swap and v_bitop3 are CDNA4's.
 */
#include "gcnrun/internal.h"

/* ---- selection and carries */

static void execute_cndmask(struct wave *wave, const struct instruction *in)
{
    uint32_t buffer[2][NLANES];
    uint32_t lanes[NLANES];
    uint32_t result[NLANES];
    const uint32_t *a = read_source(wave, in, 0, SOURCE_F32, buffer[0]);
    const uint32_t *b = read_source(wave, in, 1, SOURCE_F32, buffer[1]);

    if (in->noperands != 4)
        fail(wave->gcn, "operands of this kind are not known here");
    expand_mask(read_scalar64(wave, &in->operand[3]), lanes);
    for (unsigned l = 0; l < NLANES; l++)
        result[l] = (a[l] & ~lanes[l]) | (b[l] & lanes[l]);
    write_vector(wave, in, 0, result);
}

/* Operands: destination, carry out, a, b and, for some, carry in. Bit 0 of the detail: subtracts; 1: b minus a. */
static void execute_carry(struct wave *wave, const struct instruction *in)
{
    const unsigned kind = *(const unsigned *)in->opcode->detail;
    const uint64_t carry_in = in->noperands > 4 ? read_scalar64(wave, &in->operand[4]) : 0;
    uint32_t result[NLANES];
    uint8_t carry[NLANES];

    if (in->noperands < 4 || in->sdwa || in->dpp_source != NULL || in->clamp)
        fail(wave->gcn, "operands or modifiers of this kind are not known here");
    for (unsigned l = 0; l < NLANES; l++) {
        const uint64_t a = read_lane32(wave, &in->operand[kind & 2 ? 3 : 2], l);
        const uint64_t b = read_lane32(wave, &in->operand[kind & 2 ? 2 : 3], l);
        const uint64_t c = carry_in >> l & 1;
        const uint64_t sum = kind & 1 ? a - b - c : a + b + c;
        result[l] = (uint32_t)sum;
        carry[l] = sum >> 32 & 1;
    }
    write_vector(wave, in, 0, result);
    write_scalar64(wave, &in->operand[1], collect_mask(carry) & exec_mask(wave));
}

static const unsigned adds = 0;
static const unsigned subtracts = 1;
static const unsigned subtracts_reversed = 3;

/* ---- 64 bits */

/* a is the source that gives 64 bits, or 32 for the multiplications; which one that is, is the order of the listing. */
typedef uint64_t wide_function(const struct wave *wave, const struct instruction *in, unsigned lane);

static uint64_t shift_left64(const struct wave *wave, const struct instruction *in, unsigned l)
{
    return read_lane64(wave, &in->operand[2], l) << (read_lane32(wave, &in->operand[1], l) & 63);
}

static uint64_t shift_right64(const struct wave *wave, const struct instruction *in, unsigned l)
{
    return read_lane64(wave, &in->operand[2], l) >> (read_lane32(wave, &in->operand[1], l) & 63);
}

static uint64_t shift_right_signed64(const struct wave *wave, const struct instruction *in, unsigned l)
{
    return (uint64_t)((int64_t)read_lane64(wave, &in->operand[2], l) >> (read_lane32(wave, &in->operand[1], l) & 63));
}

static uint64_t shift_add64(const struct wave *wave, const struct instruction *in, unsigned l)
{
    const uint64_t a = read_lane64(wave, &in->operand[1], l);

    return (a << (read_lane32(wave, &in->operand[2], l) & 7)) + read_lane64(wave, &in->operand[3], l);
}

static uint64_t move64(const struct wave *wave, const struct instruction *in, unsigned l)
{
    return read_lane64(wave, &in->operand[1], l);
}

static uint64_t multiply_add64(const struct wave *wave, const struct instruction *in, unsigned l)
{
    const uint64_t a = read_lane32(wave, &in->operand[2], l);

    return a * read_lane32(wave, &in->operand[3], l) + read_lane64(wave, &in->operand[4], l);
}

static uint64_t multiply_add_signed64(const struct wave *wave, const struct instruction *in, unsigned l)
{
    const int64_t a = (int32_t)read_lane32(wave, &in->operand[2], l);

    return (uint64_t)(a * (int32_t)read_lane32(wave, &in->operand[3], l)) + read_lane64(wave, &in->operand[4], l);
}

struct wide_detail {
    wide_function *function;
    unsigned noperands;
    bool carries; /* operand 1 is a carry out, which is not computed: it is poisoned instead */
};

static void execute_wide(struct wave *wave, const struct instruction *in)
{
    const struct wide_detail *detail = in->opcode->detail;
    uint64_t result[NLANES];

    want_operands(wave, in, detail->noperands);
    if (in->dpp_source != NULL)
        fail(wave->gcn, "DPP of 64 bits is not known here");
    for (unsigned l = 0; l < NLANES; l++)
        result[l] = detail->function(wave, in, l);
    write_vector64(wave, in, result);
    if (detail->carries)
        write_scalar64(wave, &in->operand[1], 0xa5a5a5a5a5a5a5a5u);
}

static const struct wide_detail wide_shl = {shift_left64, 3, false};
static const struct wide_detail wide_shr = {shift_right64, 3, false};
static const struct wide_detail wide_sar = {shift_right_signed64, 3, false};
static const struct wide_detail wide_lshl_add = {shift_add64, 4, false};
static const struct wide_detail wide_mov = {move64, 2, false};
static const struct wide_detail wide_mad = {multiply_add64, 5, true};
static const struct wide_detail wide_mad_signed = {multiply_add_signed64, 5, true};

/* ---- moves between lanes */

/* The first active lane, lane 0 when there is none. */
static void execute_readfirstlane(struct wave *wave, const struct instruction *in)
{
    const uint64_t exec = exec_mask(wave);
    const unsigned lane = exec == 0 ? 0 : (unsigned)__builtin_ctzll(exec);

    want_operands(wave, in, 2);
    write_scalar32(wave, &in->operand[0], read_lane32(wave, &in->operand[1], lane));
}

static void execute_readlane(struct wave *wave, const struct instruction *in)
{
    want_operands(wave, in, 3);
    write_scalar32(wave, &in->operand[0],
                   read_lane32(wave, &in->operand[1], read_scalar32(wave, &in->operand[2]) & 63));
}

/* Whatever EXEC is. */
static void execute_writelane(struct wave *wave, const struct instruction *in)
{
    want_operands(wave, in, 3);
    if (in->operand[0].kind != OPERAND_VECTOR)
        fail(wave->gcn, "not a vector destination");
    wave->v[in->operand[0].index][read_scalar32(wave, &in->operand[2]) & 63] = read_scalar32(wave, &in->operand[1]);
}

static void want_registers(struct wave *wave, const struct instruction *in)
{
    want_operands(wave, in, 2);
    if (in->operand[0].kind != OPERAND_VECTOR || in->operand[1].kind != OPERAND_VECTOR)
        fail(wave->gcn, "not two vector registers");
}

static void execute_swap(struct wave *wave, const struct instruction *in)
{
    uint32_t *a;
    uint32_t *b;

    want_registers(wave, in);
    a = wave->v[in->operand[0].index];
    b = wave->v[in->operand[1].index];
    for (unsigned l = 0; l < NLANES; l++) {
        const uint32_t old = a[l];
        if (exec_mask(wave) >> l & 1) {
            a[l] = b[l];
            b[l] = old;
        }
    }
}

/* Odd groups of n lanes of the first register change places with even ones of the second. */
static void execute_permlane_swap(struct wave *wave, const struct instruction *in)
{
    const unsigned n = *(const unsigned *)in->opcode->detail;
    uint32_t *a;
    uint32_t *b;

    want_registers(wave, in);
    if (exec_mask(wave) != ~0ull)
        fail(wave->gcn, "not known with lanes switched off");
    a = wave->v[in->operand[0].index];
    b = wave->v[in->operand[1].index];
    for (unsigned l = 0; l < NLANES; l++) {
        const uint32_t old = a[l | n];
        if (l & n)
            continue;
        a[l | n] = b[l];
        b[l] = old;
    }
}

static const unsigned swap16 = 16;
static const unsigned swap32 = 32;

/* ---- three-input logic */

static void execute_bitop3(struct wave *wave, const struct instruction *in)
{
    const uint32_t keep = *(const unsigned *)in->opcode->detail;
    uint32_t result[NLANES];

    want_operands(wave, in, 4);
    if (in->op_sel != 0)
        fail(wave->gcn, "op_sel is not known here");
    for (unsigned l = 0; l < NLANES; l++) {
        const uint32_t a = read_lane32(wave, &in->operand[1], l);
        const uint32_t b = read_lane32(wave, &in->operand[2], l);
        const uint32_t c = read_lane32(wave, &in->operand[3], l);
        uint32_t bits = 0;
        for (unsigned row = 0; row < 8; row++)
            if (in->truth_table >> row & 1)
                bits |= (row & 4 ? a : ~a) & (row & 2 ? b : ~b) & (row & 1 ? c : ~c);
        result[l] = bits & keep;
    }
    write_vector(wave, in, 0, result);
}

static const unsigned keep32 = 0xffffffff;
static const unsigned keep16 = 0xffff;

const struct opcode *special_opcodes(size_t *n)
{
    static const struct opcode table[] = {
        {"v_cndmask_b32", execute_cndmask, GCN_VALU, NULL},
        {"v_add_co_u32", execute_carry, GCN_VALU, &adds},
        {"v_addc_co_u32", execute_carry, GCN_VALU, &adds},
        {"v_sub_co_u32", execute_carry, GCN_VALU, &subtracts},
        {"v_subb_co_u32", execute_carry, GCN_VALU, &subtracts},
        {"v_subrev_co_u32", execute_carry, GCN_VALU, &subtracts_reversed},
        {"v_subbrev_co_u32", execute_carry, GCN_VALU, &subtracts_reversed},
        {"v_lshlrev_b64", execute_wide, GCN_VALU, &wide_shl},
        {"v_lshrrev_b64", execute_wide, GCN_VALU, &wide_shr},
        {"v_ashrrev_i64", execute_wide, GCN_VALU, &wide_sar},
        {"v_lshl_add_u64", execute_wide, GCN_VALU, &wide_lshl_add},
        {"v_mov_b64", execute_wide, GCN_VALU, &wide_mov},
        {"v_mad_u64_u32", execute_wide, GCN_VALU, &wide_mad},
        {"v_mad_i64_i32", execute_wide, GCN_VALU, &wide_mad_signed},
        {"v_readfirstlane_b32", execute_readfirstlane, GCN_VALU, NULL},
        {"v_readlane_b32", execute_readlane, GCN_VALU, NULL},
        {"v_writelane_b32", execute_writelane, GCN_VALU, NULL},
        {"v_swap_b32", execute_swap, GCN_VALU, NULL},
        {"v_permlane16_swap_b32", execute_permlane_swap, GCN_VALU, &swap16},
        {"v_permlane32_swap_b32", execute_permlane_swap, GCN_VALU, &swap32},
        {"v_bitop3_b32", execute_bitop3, GCN_VALU, &keep32},
        {"v_bitop3_b16", execute_bitop3, GCN_VALU, &keep16},
    };

    *n = NELEMS(table);
    return table;
}
