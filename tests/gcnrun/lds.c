/*
 * lds.c - the local data share: accesses, their checks, and exchange between lanes through it
 *
 * Source: DS instructions of the ISA guides.
 */
#include "gcnrun/internal.h"

#include <string.h>

enum half {
    HALF_NONE,
    HALF_LOWER, /* 16 bits of the register, the others stay */
    HALF_UPPER,
};

struct lds_detail {
    uint8_t nbytes;
    bool write;
    bool sign_extend;
    enum half half;
    uint16_t
        stride; /* of the offsets of the two accesses that the instruction makes, in units of nbytes; 0: it makes one */
};

/* ---- races */

/*
 * A byte must not be used by two waves in one epoch if one of them writes. lds_reader holds 255 as the wave where several
 * have read.
 */
static void check_race(struct wave *wave, uint32_t at, bool write, unsigned lane)
{
    struct gcn *gcn = wave->gcn;
    const uint32_t writer = gcn->lds_writer[at];
    const uint32_t reader = gcn->lds_reader[at];

    if (writer >> 8 == gcn->epoch && (writer & 255) != wave->id)
        fail(gcn, "LDS race: lane %u %s byte %u, which wave %u has written, without a barrier between", lane,
             write ? "writes" : "reads", at, writer & 255);
    if (write && reader >> 8 == gcn->epoch && (reader & 255) != wave->id)
        fail(gcn, "LDS race: lane %u writes byte %u, which another wave has read, without a barrier between", lane, at);
}

static void note_use(struct wave *wave, uint32_t at, unsigned nbytes, bool write, unsigned lane)
{
    struct gcn *gcn = wave->gcn;
    const uint32_t use = gcn->epoch << 8 | wave->id;

    for (uint32_t i = at; i < at + nbytes; i++) {
        if ((gcn->lds_writer[i] >> 8 == gcn->epoch && gcn->lds_writer[i] != use) ||
            (write && gcn->lds_reader[i] >> 8 == gcn->epoch && gcn->lds_reader[i] != use))
            check_race(wave, i, write, lane);
        if (write)
            gcn->lds_writer[i] = use;
        else if (gcn->lds_reader[i] >> 8 == gcn->epoch && gcn->lds_reader[i] != use)
            gcn->lds_reader[i] = gcn->epoch << 8 | 255;
        else
            gcn->lds_reader[i] = use;
    }
}

/* ---- accesses */

static void find_addresses(struct wave *wave, const struct operand *base, uint32_t offset, unsigned nbytes, bool write,
                           uint32_t address[NLANES])
{
    const uint64_t exec = exec_mask(wave);
    struct gcn *gcn = wave->gcn;

    if (base->kind != OPERAND_VECTOR)
        fail(gcn, "not a vector address");
    for (unsigned l = 0; l < NLANES; l++) {
        address[l] = wave->v[base->index][l] + offset;
        if (!(exec >> l & 1))
            continue;
        if (address[l] > gcn->lds_nbytes || nbytes > gcn->lds_nbytes - address[l])
            fail(gcn, "LDS access of lane %u at %u, %u bytes; the workgroup has %u", l, address[l], nbytes,
                 gcn->lds_nbytes);
        if (address[l] % (nbytes < 4 ? nbytes : 4) != 0)
            fail(gcn, "misaligned LDS access of lane %u at %u, %u bytes", l, address[l], nbytes);
        note_use(wave, address[l], nbytes, write, l);
    }
    count_lds(gcn, address, exec, nbytes, write);
}

static void write_lds(struct wave *wave, const struct lds_detail *detail, const struct operand *data,
                      const uint32_t address[NLANES])
{
    const uint64_t exec = exec_mask(wave);

    if (data->kind != OPERAND_VECTOR)
        fail(wave->gcn, "not vector data");
    for (unsigned l = 0; l < NLANES; l++) {
        uint32_t words[4];
        if (!(exec >> l & 1))
            continue;
        for (unsigned w = 0; w < (detail->nbytes + 3u) / 4; w++)
            words[w] = wave->v[data->index + w][l] >> (detail->half == HALF_UPPER ? 16 : 0);
        memcpy(wave->gcn->lds + address[l], words, detail->nbytes);
    }
}

static uint32_t place_half(enum half half, uint32_t old, uint32_t value)
{
    if (half == HALF_NONE)
        return value;
    return half == HALF_LOWER ? (old & 0xffff0000u) | (value & 0xffff) : (old & 0xffff) | value << 16;
}

static void read_lds(struct wave *wave, const struct instruction *in, const struct lds_detail *detail, unsigned first,
                     const uint32_t address[NLANES])
{
    const uint64_t exec = exec_mask(wave);

    for (unsigned l = 0; l < NLANES; l++) {
        uint32_t words[4] = {0};
        uint32_t *old = &wave->v[in->operand[0].index + first][l];
        if (!(exec >> l & 1))
            continue;
        memcpy(words, wave->gcn->lds + address[l], detail->nbytes);
        if (detail->sign_extend)
            words[0] = detail->nbytes == 1 ? (uint32_t)(int8_t)words[0] : (uint32_t)(int16_t)words[0];
        words[0] = place_half(detail->half, *old, words[0]);
        for (unsigned w = 0; w < (detail->nbytes + 3u) / 4; w++)
            wave->v[in->operand[0].index + first + w][l] = words[w];
    }
}

static void execute_lds(struct wave *wave, const struct instruction *in)
{
    static const struct operand nothing = {OPERAND_NONE, 0, 0, false, false, false, false, 0, 0.0};
    const struct lds_detail *detail = in->opcode->detail;
    const unsigned naccesses = detail->stride != 0 ? 2 : 1;
    const struct operand *base = &in->operand[detail->write ? 0 : 1];
    uint32_t address[2][NLANES];

    if (in->noperands != (detail->write ? 1 + naccesses : 2) || in->operand[0].kind != OPERAND_VECTOR)
        fail(wave->gcn, "operands of this kind are not known here");
    for (unsigned i = 0; i < naccesses; i++) {
        const uint32_t field = in->words[0] & 0xffff;
        const uint32_t offset = detail->stride == 0 ? field : (field >> 8 * i & 255) * detail->nbytes * detail->stride;
        find_addresses(wave, base, offset, detail->nbytes, detail->write, address[i]);
    }
    for (unsigned i = 0; i < naccesses; i++) {
        if (detail->write)
            write_lds(wave, detail, &in->operand[1 + i], address[i]);
        else
            read_lds(wave, in, detail, i * ((detail->nbytes + 3u) / 4), address[i]);
    }
    issue_lds(wave, detail->write ? &nothing : &in->operand[0], detail->write);
}

/* ---- exchange: no memory is touched, but the LDS unit does it, and s_waitcnt has to wait for it */

/* ds_bpermute: lane l reads the lane that its address names, 0 where that one is switched off. */
static void execute_bpermute(struct wave *wave, const struct instruction *in)
{
    const uint64_t exec = exec_mask(wave);
    const uint32_t offset = in->words[0] & 0xffff;
    uint32_t result[NLANES];

    if (in->noperands != 3 || in->operand[1].kind != OPERAND_VECTOR || in->operand[2].kind != OPERAND_VECTOR)
        fail(wave->gcn, "operands of this kind are not known here");
    for (unsigned l = 0; l < NLANES; l++) {
        const unsigned from = (wave->v[in->operand[1].index][l] + offset) / 4 & 63;
        result[l] = exec >> from & 1 ? wave->v[in->operand[2].index][from] : 0;
    }
    write_vector(wave, in, 0, result);
    issue_lds(wave, &in->operand[0], false);
}

/* ds_permute: lane l sends to the lane that its address names; the highest of several senders wins. */
static void execute_permute(struct wave *wave, const struct instruction *in)
{
    const uint64_t exec = exec_mask(wave);
    const uint32_t offset = in->words[0] & 0xffff;
    uint32_t result[NLANES] = {0};

    if (in->noperands != 3 || in->operand[1].kind != OPERAND_VECTOR || in->operand[2].kind != OPERAND_VECTOR)
        fail(wave->gcn, "operands of this kind are not known here");
    for (unsigned l = 0; l < NLANES; l++)
        if (exec >> l & 1)
            result[(wave->v[in->operand[1].index][l] + offset) / 4 & 63] = wave->v[in->operand[2].index][l];
    write_vector(wave, in, 0, result);
    issue_lds(wave, &in->operand[0], false);
}

/* ds_swizzle: by bit 15 of the offset a permutation inside four lanes, or and, or, xor of the lane inside 32. */
static void execute_swizzle(struct wave *wave, const struct instruction *in)
{
    const uint64_t exec = exec_mask(wave);
    const uint32_t control = in->words[0] & 0xffff;
    uint32_t result[NLANES];

    if (in->noperands != 2 || in->operand[1].kind != OPERAND_VECTOR || (control & 0xff00) > 0x8000)
        fail(wave->gcn, "this form of ds_swizzle is not known");
    for (unsigned l = 0; l < NLANES; l++) {
        unsigned from = (l & 32) | (((l & 31 & (control & 31)) | (control >> 5 & 31)) ^ (control >> 10 & 31));
        if (control & 0x8000)
            from = (l & ~3u) | (control >> 2 * (l & 3) & 3);
        result[l] = exec >> from & 1 ? wave->v[in->operand[1].index][from] : 0;
    }
    write_vector(wave, in, 0, result);
    issue_lds(wave, &in->operand[0], false);
}

/* ---- atomics: waves may meet at one address, so these are no races among themselves */

typedef uint32_t lds_atomic_function(uint32_t old, uint32_t data);

static uint32_t atomic_add(uint32_t old, uint32_t data)
{
    return old + data;
}

static uint32_t atomic_or(uint32_t old, uint32_t data)
{
    return old | data;
}

static uint32_t atomic_max(uint32_t old, uint32_t data)
{
    return old > data ? old : data;
}

static lds_atomic_function *const lds_add = atomic_add;
static lds_atomic_function *const lds_or = atomic_or;
static lds_atomic_function *const lds_max = atomic_max;

static void execute_atomic(struct wave *wave, const struct instruction *in)
{
    lds_atomic_function *const function = *(lds_atomic_function *const *)in->opcode->detail;
    const uint64_t exec = exec_mask(wave);
    struct gcn *gcn = wave->gcn;

    if (in->noperands != 2 || in->operand[0].kind != OPERAND_VECTOR || in->operand[1].kind != OPERAND_VECTOR)
        fail(gcn, "operands of this kind are not known here");
    for (unsigned l = 0; l < NLANES; l++) {
        const uint32_t at = wave->v[in->operand[0].index][l] + (in->words[0] & 0xffff);
        uint32_t word;
        if (!(exec >> l & 1))
            continue;
        if (at % 4 != 0 || at > gcn->lds_nbytes || gcn->lds_nbytes - at < 4)
            fail(gcn, "LDS access of lane %u at %u, 4 bytes; the workgroup has %u", l, at, gcn->lds_nbytes);
        memcpy(&word, gcn->lds + at, 4);
        word = function(word, wave->v[in->operand[1].index][l]);
        memcpy(gcn->lds + at, &word, 4);
    }
    issue_lds(wave, &in->operand[MAX_OPERANDS - 1], true);
}

/* ---- the table */

#define READ(name, nbytes, sign, half, stride)                                                                         \
    static const struct lds_detail detail_##name = {nbytes, false, sign, half, stride};
#define WRITE(name, nbytes, half, stride)                                                                              \
    static const struct lds_detail detail_##name = {nbytes, true, false, half, stride};

#define ACCESSES                                                                                                       \
    READ(ds_read_u8, 1, false, HALF_NONE, 0)                                                                           \
    READ(ds_read_i8, 1, true, HALF_NONE, 0)                                                                            \
    READ(ds_read_u16, 2, false, HALF_NONE, 0)                                                                          \
    READ(ds_read_i16, 2, true, HALF_NONE, 0)                                                                           \
    READ(ds_read_u8_d16, 1, false, HALF_LOWER, 0)                                                                      \
    READ(ds_read_u8_d16_hi, 1, false, HALF_UPPER, 0)                                                                   \
    READ(ds_read_i8_d16, 1, true, HALF_LOWER, 0)                                                                       \
    READ(ds_read_i8_d16_hi, 1, true, HALF_UPPER, 0)                                                                    \
    READ(ds_read_u16_d16, 2, false, HALF_LOWER, 0)                                                                     \
    READ(ds_read_u16_d16_hi, 2, false, HALF_UPPER, 0)                                                                  \
    READ(ds_read_b32, 4, false, HALF_NONE, 0)                                                                          \
    READ(ds_read_b64, 8, false, HALF_NONE, 0)                                                                          \
    READ(ds_read_b96, 12, false, HALF_NONE, 0)                                                                         \
    READ(ds_read_b128, 16, false, HALF_NONE, 0)                                                                        \
    READ(ds_read2_b32, 4, false, HALF_NONE, 1)                                                                         \
    READ(ds_read2_b64, 8, false, HALF_NONE, 1)                                                                         \
    READ(ds_read2st64_b32, 4, false, HALF_NONE, 64)                                                                    \
    READ(ds_read2st64_b64, 8, false, HALF_NONE, 64)                                                                    \
    WRITE(ds_write_b8, 1, HALF_NONE, 0)                                                                                \
    WRITE(ds_write_b16, 2, HALF_NONE, 0)                                                                               \
    WRITE(ds_write_b8_d16_hi, 1, HALF_UPPER, 0)                                                                        \
    WRITE(ds_write_b16_d16_hi, 2, HALF_UPPER, 0)                                                                       \
    WRITE(ds_write_b32, 4, HALF_NONE, 0)                                                                               \
    WRITE(ds_write_b64, 8, HALF_NONE, 0)                                                                               \
    WRITE(ds_write_b96, 12, HALF_NONE, 0)                                                                              \
    WRITE(ds_write_b128, 16, HALF_NONE, 0)                                                                             \
    WRITE(ds_write2_b32, 4, HALF_NONE, 1)                                                                              \
    WRITE(ds_write2_b64, 8, HALF_NONE, 1)                                                                              \
    WRITE(ds_write2st64_b32, 4, HALF_NONE, 64)                                                                         \
    WRITE(ds_write2st64_b64, 8, HALF_NONE, 64)

ACCESSES
#undef READ
#undef WRITE
#define READ(name, nbytes, sign, half, stride) {#name, execute_lds, GCN_LDS, &detail_##name},
#define WRITE(name, nbytes, half, stride) {#name, execute_lds, GCN_LDS, &detail_##name},

const struct opcode *lds_opcodes(size_t *n)
{
    static const struct opcode table[] = {
        ACCESSES{"ds_bpermute_b32", execute_bpermute, GCN_LDS, NULL},
        {"ds_permute_b32", execute_permute, GCN_LDS, NULL},
        {"ds_swizzle_b32", execute_swizzle, GCN_LDS, NULL},
        {"ds_add_u32", execute_atomic, GCN_LDS, &lds_add},
        {"ds_or_b32", execute_atomic, GCN_LDS, &lds_or},
        {"ds_max_u32", execute_atomic, GCN_LDS, &lds_max},
    };

    *n = NELEMS(table);
    return table;
}
