/*
 * memory.c - global, flat, scratch and scalar memory: addresses, checks, transfers
 *
 * Source: SMEM and FLAT instructions of the ISA guides.
 */
#include "gcnrun/internal.h"

#include <string.h>

/* ---- buffers */

static bool contains(const struct buffer *buffer, uint64_t address, unsigned nbytes)
{
    const uint64_t at = address - (uint64_t)(uintptr_t)buffer->bytes;

    return at < buffer->nbytes && nbytes <= buffer->nbytes - at;
}

struct buffer *find_buffer(struct gcn *gcn, uint64_t address, unsigned nbytes, bool write, unsigned lane)
{
    for (size_t i = 0; i < gcn->nbuffers; i++) {
        struct buffer *buffer = &gcn->buffer[i];
        if (!contains(buffer, address, nbytes))
            continue;
        if (write && !buffer->writable)
            fail(gcn, "lane %u writes %u bytes at %llx, which is read-only, %llu bytes into a buffer of %zu", lane,
                 nbytes, (unsigned long long)address,
                 (unsigned long long)(address - (uint64_t)(uintptr_t)buffer->bytes), buffer->nbytes);
        return buffer;
    }
    for (size_t i = 0; i < gcn->nbuffers; i++) {
        const uint64_t past = address - (uint64_t)(uintptr_t)gcn->buffer[i].bytes - gcn->buffer[i].nbytes;
        const uint64_t before = (uint64_t)(uintptr_t)gcn->buffer[i].bytes - address;
        if (past < 4096 || before < 4096 || contains(&gcn->buffer[i], address, 1))
            fail(gcn, "lane %u %s %u bytes at %llx, outside every buffer: %lld bytes %s one of %zu bytes", lane,
                 write ? "writes" : "reads", nbytes, (unsigned long long)address,
                 (long long)(before < 4096 ? before : past), before < 4096 ? "before" : "behind the end of",
                 gcn->buffer[i].nbytes);
    }
    fail(gcn, "lane %u %s %u bytes at %llx, outside every buffer", lane, write ? "writes" : "reads", nbytes,
         (unsigned long long)address);
}

/* ---- vector memory */

enum kind {
    KIND_LOAD,
    KIND_STORE,
    KIND_ATOMIC,
};

enum half {
    HALF_NONE,
    HALF_LOWER, /* 16 bits of the register, the others stay */
    HALF_UPPER,
};

typedef uint32_t atomic_function(uint32_t old, uint32_t data);

struct memory_detail {
    enum kind kind;
    uint8_t nbytes;
    bool sign_extend;
    enum half half;
    atomic_function *atomic;
};

/* Where an instruction names what; NULL for what it does not have. */
struct roles {
    const struct operand *result;
    const struct operand *address;
    const struct operand *data;
    const struct operand *base; /* a scalar that is added */
};

static struct roles find_roles(struct wave *wave, const struct instruction *in, enum kind kind)
{
    const unsigned ntail = in->class == GCN_FLAT ? 0 : 1; /* the base, or "off" */
    const unsigned naddressed = kind == KIND_LOAD ? 1 : 2;
    struct roles r = {NULL, NULL, NULL, NULL};
    unsigned k = 0;

    if (kind == KIND_LOAD || (kind == KIND_ATOMIC && in->noperands == 1 + naddressed + ntail))
        r.result = &in->operand[k++];
    if (in->noperands != k + naddressed + ntail)
        fail(wave->gcn, "operands of this kind are not known here");
    r.address = &in->operand[k++];
    if (kind != KIND_LOAD)
        r.data = &in->operand[k++];
    if (ntail == 1 && in->operand[k].kind == OPERAND_SCALAR)
        r.base = &in->operand[k];
    if ((r.result != NULL && r.result->kind != OPERAND_VECTOR) || (r.data != NULL && r.data->kind != OPERAND_VECTOR))
        fail(wave->gcn, "operands of this kind are not known here");
    return r;
}

/* With a base the vector register is an offset of 32 bits; without, it is an address of 64. */
static void find_addresses(const struct wave *wave, const struct instruction *in, const struct roles *r,
                           uint64_t address[NLANES])
{
    const uint64_t offset = (uint64_t)(int64_t)in->offset;
    const uint64_t base = r->base != NULL ? read_s64(wave, r->base->index) : 0;

    for (unsigned l = 0; l < NLANES; l++) {
        if (r->base != NULL)
            address[l] = base + wave->v[r->address->index][l] + offset;
        else
            address[l] = read_lane64(wave, r->address, l) + offset;
    }
}

static uint8_t *find_scratch(struct wave *wave, const struct instruction *in, const struct roles *r, unsigned lane,
                             unsigned nbytes)
{
    uint64_t at = (uint64_t)(int64_t)in->offset;

    if (r->address->kind == OPERAND_VECTOR)
        at += wave->v[r->address->index][lane];
    if (r->base != NULL)
        at += wave->s[r->base->index];
    if (at > wave->gcn->scratch_nbytes || nbytes > wave->gcn->scratch_nbytes - at)
        fail(wave->gcn, "scratch access of lane %u at %llu, %u bytes; a lane has %u", lane, (unsigned long long)at,
             nbytes, wave->gcn->scratch_nbytes);
    return wave->scratch + (size_t)lane * wave->gcn->scratch_nbytes + at;
}

/* The lanes, one of which is `first`, whose bytes are in this buffer. */
static uint64_t find_lanes_inside(const struct buffer *buffer, const uint64_t address[NLANES], uint64_t lanes,
                                  unsigned nbytes)
{
    uint64_t inside = 0;

    for (unsigned l = 0; l < NLANES; l++)
        inside |= (uint64_t)contains(buffer, address[l], nbytes) << l;
    return inside & lanes;
}

static void check_addresses(struct wave *wave, const struct memory_detail *detail, const uint64_t address[NLANES])
{
    const bool write = detail->kind != KIND_LOAD;
    const unsigned alignment = detail->nbytes < 4 ? detail->nbytes : 4;
    uint64_t left = exec_mask(wave);

    for (unsigned l = 0; l < NLANES; l++)
        if (left >> l & 1 && address[l] % alignment != 0)
            fail(wave->gcn, "misaligned access of lane %u at %llx, %u bytes", l, (unsigned long long)address[l],
                 detail->nbytes);
    while (left != 0) {
        const unsigned first = (unsigned)__builtin_ctzll(left);
        struct buffer *buffer = find_buffer(wave->gcn, address[first], detail->nbytes, write, first);
        const uint64_t inside = find_lanes_inside(buffer, address, left, detail->nbytes);
        count_traffic(wave->gcn, buffer, address, inside, detail->nbytes, write);
        left &= ~inside;
    }
}

/* ---- transfers */

static void load_lane(struct wave *wave, const struct memory_detail *detail, const struct operand *result, unsigned l,
                      const uint8_t *from)
{
    uint32_t words[4] = {0};
    uint32_t *old = &wave->v[result->index][l];

    memcpy(words, from, detail->nbytes);
    if (detail->sign_extend)
        words[0] = detail->nbytes == 1 ? (uint32_t)(int8_t)words[0] : (uint32_t)(int16_t)words[0];
    if (detail->half == HALF_LOWER)
        words[0] = (*old & 0xffff0000u) | (words[0] & 0xffff);
    else if (detail->half == HALF_UPPER)
        words[0] = (*old & 0xffff) | words[0] << 16;
    for (unsigned w = 0; w < (detail->nbytes + 3u) / 4; w++)
        wave->v[result->index + w][l] = words[w];
}

static void store_lane(const struct wave *wave, const struct memory_detail *detail, const struct operand *data,
                       unsigned l, uint8_t *to)
{
    uint32_t words[4] = {0};

    for (unsigned w = 0; w < (detail->nbytes + 3u) / 4; w++)
        words[w] = wave->v[data->index + w][l] >> (detail->half == HALF_UPPER ? 16 : 0);
    memcpy(to, words, detail->nbytes);
}

static void update_lane(struct wave *wave, const struct memory_detail *detail, const struct roles *r, unsigned l,
                        uint8_t *at)
{
    const uint32_t data = wave->v[r->data->index][l];
    uint32_t old;
    uint32_t new;

    memcpy(&old, at, 4);
    new = detail->atomic(old, data);
    memcpy(at, &new, 4);
    if (r->result != NULL)
        wave->v[r->result->index][l] = old;
}

static void transfer(struct wave *wave, const struct instruction *in, const struct roles *r,
                     const uint64_t address[NLANES])
{
    const struct memory_detail *detail = in->opcode->detail;
    const uint64_t exec = exec_mask(wave);

    for (unsigned l = 0; l < NLANES; l++) {
        uint8_t *at;
        if (!(exec >> l & 1))
            continue;
        at = in->class == GCN_SCRATCH ? find_scratch(wave, in, r, l, detail->nbytes) : (uint8_t *)(uintptr_t)address[l];
        if (detail->kind == KIND_LOAD)
            load_lane(wave, detail, r->result, l, at);
        else if (detail->kind == KIND_STORE)
            store_lane(wave, detail, r->data, l, at);
        else
            update_lane(wave, detail, r, l, at);
    }
}

static void execute_memory(struct wave *wave, const struct instruction *in)
{
    static const struct operand nothing = {OPERAND_NONE, 0, 0, false, false, false, false, 0, 0.0};
    const struct memory_detail *detail = in->opcode->detail;
    const struct roles r = find_roles(wave, in, detail->kind);
    const struct operand *filled = r.result != NULL ? r.result : &nothing;
    uint64_t address[NLANES] = {0};

    if (in->class == GCN_NUM_CLASSES)
        fail(wave->gcn, "unknown instruction");
    if (in->class != GCN_SCRATCH) {
        if (r.address->kind != OPERAND_VECTOR)
            fail(wave->gcn, "not a vector address");
        find_addresses(wave, in, &r, address);
        check_addresses(wave, detail, address);
    }
    transfer(wave, in, &r, address);
    if (in->class == GCN_FLAT)
        issue_flat(wave, filled);
    else
        issue_vm(wave, filled);
    if (detail->kind == KIND_STORE)
        guard_store(wave, r.data);
}

/* ---- atomics */

static uint32_t atomic_add(uint32_t old, uint32_t data)
{
    return old + data;
}

static uint32_t atomic_or(uint32_t old, uint32_t data)
{
    return old | data;
}

static uint32_t atomic_and(uint32_t old, uint32_t data)
{
    return old & data;
}

static uint32_t atomic_umax(uint32_t old, uint32_t data)
{
    return old > data ? old : data;
}

static uint32_t atomic_swap(uint32_t old, uint32_t data)
{
    (void)old;
    return data;
}

/* ---- scalar loads: the address is rounded down to a multiple of 4 */

static void execute_scalar_load(struct wave *wave, const struct instruction *in)
{
    const unsigned nwords = *(const unsigned *)in->opcode->detail;
    uint64_t address;

    if (in->noperands != 3 || in->operand[0].kind != OPERAND_SCALAR || in->operand[0].index + nwords > VCC + 2)
        fail(wave->gcn, "operands of this kind are not known here");
    address = read_scalar64(wave, &in->operand[1]) + read_scalar32(wave, &in->operand[2]);
    address = (address + (uint64_t)(int64_t)in->offset) & ~3ull;
    find_buffer(wave->gcn, address, 4 * nwords, false, 0);
    memcpy(&wave->s[in->operand[0].index], (const void *)(uintptr_t)address, 4 * nwords);
    issue_smem(wave, &in->operand[0]);
}

static const unsigned words1 = 1;
static const unsigned words2 = 2;
static const unsigned words4 = 4;
static const unsigned words8 = 8;
static const unsigned words16 = 16;

const struct opcode *scalar_memory_opcodes(size_t *n)
{
    static const struct opcode table[] = {
        {"s_load_dword", execute_scalar_load, GCN_SMEM, &words1},
        {"s_load_dwordx2", execute_scalar_load, GCN_SMEM, &words2},
        {"s_load_dwordx4", execute_scalar_load, GCN_SMEM, &words4},
        {"s_load_dwordx8", execute_scalar_load, GCN_SMEM, &words8},
        {"s_load_dwordx16", execute_scalar_load, GCN_SMEM, &words16},
    };

    *n = NELEMS(table);
    return table;
}

/* ---- the table; names are without their space */

#define LOADS                                                                                                          \
    ROW(load_ubyte, KIND_LOAD, 1, false, HALF_NONE, NULL)                                                              \
    ROW(load_sbyte, KIND_LOAD, 1, true, HALF_NONE, NULL)                                                               \
    ROW(load_ushort, KIND_LOAD, 2, false, HALF_NONE, NULL)                                                             \
    ROW(load_sshort, KIND_LOAD, 2, true, HALF_NONE, NULL)                                                              \
    ROW(load_ubyte_d16, KIND_LOAD, 1, false, HALF_LOWER, NULL)                                                         \
    ROW(load_ubyte_d16_hi, KIND_LOAD, 1, false, HALF_UPPER, NULL)                                                      \
    ROW(load_sbyte_d16, KIND_LOAD, 1, true, HALF_LOWER, NULL)                                                          \
    ROW(load_sbyte_d16_hi, KIND_LOAD, 1, true, HALF_UPPER, NULL)                                                       \
    ROW(load_short_d16, KIND_LOAD, 2, false, HALF_LOWER, NULL)                                                         \
    ROW(load_short_d16_hi, KIND_LOAD, 2, false, HALF_UPPER, NULL)                                                      \
    ROW(load_dword, KIND_LOAD, 4, false, HALF_NONE, NULL)                                                              \
    ROW(load_dwordx2, KIND_LOAD, 8, false, HALF_NONE, NULL)                                                            \
    ROW(load_dwordx3, KIND_LOAD, 12, false, HALF_NONE, NULL)                                                           \
    ROW(load_dwordx4, KIND_LOAD, 16, false, HALF_NONE, NULL)

#define STORES                                                                                                         \
    ROW(store_byte, KIND_STORE, 1, false, HALF_NONE, NULL)                                                             \
    ROW(store_byte_d16_hi, KIND_STORE, 1, false, HALF_UPPER, NULL)                                                     \
    ROW(store_short, KIND_STORE, 2, false, HALF_NONE, NULL)                                                            \
    ROW(store_short_d16_hi, KIND_STORE, 2, false, HALF_UPPER, NULL)                                                    \
    ROW(store_dword, KIND_STORE, 4, false, HALF_NONE, NULL)                                                            \
    ROW(store_dwordx2, KIND_STORE, 8, false, HALF_NONE, NULL)                                                          \
    ROW(store_dwordx3, KIND_STORE, 12, false, HALF_NONE, NULL)                                                         \
    ROW(store_dwordx4, KIND_STORE, 16, false, HALF_NONE, NULL)                                                         \
    ROW(atomic_add, KIND_ATOMIC, 4, false, HALF_NONE, atomic_add)                                                      \
    ROW(atomic_or, KIND_ATOMIC, 4, false, HALF_NONE, atomic_or)                                                        \
    ROW(atomic_and, KIND_ATOMIC, 4, false, HALF_NONE, atomic_and)                                                      \
    ROW(atomic_umax, KIND_ATOMIC, 4, false, HALF_NONE, atomic_umax)                                                    \
    ROW(atomic_swap, KIND_ATOMIC, 4, false, HALF_NONE, atomic_swap)

#define ROW(name, kind, nbytes, sign, half, function)                                                                  \
    static const struct memory_detail detail_##name = {kind, nbytes, sign, half, function};
LOADS
STORES
#undef ROW
#define ROW(name, kind, nbytes, sign, half, function) {#name, execute_memory, GCN_NUM_CLASSES, &detail_##name},

const struct opcode *memory_opcodes(size_t *n)
{
    static const struct opcode table[] = {LOADS STORES};

    *n = NELEMS(table);
    return table;
}
