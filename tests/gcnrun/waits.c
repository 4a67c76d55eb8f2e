/*
 * waits.c - which registers a load still has to fill, and what s_waitcnt waits for
 *
 * Loads complete at once here, so what would go wrong on a GPU has to be noticed by counting. VM_CNT counts vector memory
 * operations, which return in the order of issue; LGKM_CNT counts LDS operations, which do so too, and scalar loads and
 * flat accesses, which return in any order, so that only a count of 0 says anything while one is outstanding.
 * Stores have read their sources at the issue, but for those of more than 64 bits: their data must not change in the next
 * instruction, on gfx942 and later in the next two (wait states that programs have to insert).
 * Sources: the ISA guides on S_WAITCNT and on wait states; LLVM's page on the operand of gfx9, which has VM_CNT in bits 3:0
 * and 15:14, LGKM_CNT in bits 11:8.
 */
#include "gcnrun/internal.h"

#include <string.h>

/* Vector registers and scalar registers, numbered through. */
static unsigned first_register(const struct operand *operand)
{
    return operand->kind == OPERAND_SCALAR ? NUM_VECTOR + operand->index : operand->index;
}

static bool is_register(const struct operand *operand)
{
    return operand->kind == OPERAND_VECTOR || operand->kind == OPERAND_SCALAR;
}

static void mark(uint32_t *marks, const struct operand *registers, uint32_t serial)
{
    if (!is_register(registers))
        return;
    for (unsigned i = 0; i < registers->nregs; i++)
        marks[first_register(registers) + i] = serial;
}

void issue_vm(struct wave *wave, const struct operand *registers)
{
    mark(wave->waits.vm, registers, ++wave->waits.vm_issued);
}

void issue_lds(struct wave *wave, const struct operand *registers, bool write)
{
    mark(wave->waits.lgkm, registers, ++wave->waits.lgkm_issued);
    if (write)
        wave->waits.last_lds_write = wave->waits.lgkm_issued;
}

void issue_smem(struct wave *wave, const struct operand *registers)
{
    mark(wave->waits.lgkm, registers, ++wave->waits.lgkm_issued);
    wave->waits.last_unordered = wave->waits.lgkm_issued;
}

void issue_flat(struct wave *wave, const struct operand *registers)
{
    issue_vm(wave, registers);
    issue_smem(wave, registers);
    wave->waits.last_flat = wave->waits.vm_issued;
}

/* What is certainly done when at most n operations are outstanding. */
static uint32_t find_done(uint32_t issued, uint32_t done, uint32_t unordered, uint32_t n)
{
    if (n != 0 && unordered > done)
        return done;
    return issued - done > n ? issued - n : done;
}

void wait_for_counters(struct wave *wave, uint32_t immediate)
{
    struct waits *w = &wave->waits;

    w->vm_done = find_done(w->vm_issued, w->vm_done, w->last_flat, (immediate & 15) | (immediate >> 14 & 3) << 4);
    /* All bits set, which is the assembler's way to leave a counter out, stands for any number. */
    if ((immediate >> 8 & 15) != 15)
        w->lgkm_done = find_done(w->lgkm_issued, w->lgkm_done, w->last_unordered, immediate >> 8 & 15);
}

/* ---- uses */

/* A load may fill what an older load of the same counter is about to fill: they return in order. */
static bool is_reload(const struct instruction *in, unsigned k, bool lgkm)
{
    if (k != 0)
        return false;
    return lgkm ? in->class == GCN_LDS : in->class == GCN_GLOBAL || in->class == GCN_SCRATCH;
}

static void check_register(const struct wave *wave, const struct instruction *in, unsigned k, unsigned i)
{
    const struct operand *operand = &in->operand[k];
    const unsigned number = first_register(operand) + i;
    const bool vm = wave->waits.vm[number] > wave->waits.vm_done && !is_reload(in, k, false);
    const bool lgkm = wave->waits.lgkm[number] > wave->waits.lgkm_done && !is_reload(in, k, true);

    if (vm || lgkm)
        fail(wave->gcn, "missing s_waitcnt %s: %c%u is still being loaded", vm ? "vmcnt" : "lgkmcnt",
             operand->kind == OPERAND_SCALAR ? 's'
             : operand->index < 256          ? 'v'
                                             : 'a',
             (operand->index & 255u) + i);
}

/* Stores name their data second and do not change it; others write what they name first. */
static bool writes_first(const struct instruction *in)
{
    return in->class == GCN_VALU && in->noperands > 0 && in->operand[0].kind == OPERAND_VECTOR;
}

/* An instruction is a wait state; s_nop is as many as it says, and one. */
static unsigned count_states(const struct instruction *in)
{
    return strncmp(in->text, "s_nop", 5) == 0 ? 1 + (in->words[0] & 15) : 1;
}

static void check_store_data(struct wave *wave, const struct instruction *in)
{
    const unsigned nstates = count_states(in);
    const struct operand *data = &wave->waits.store_data;
    const struct operand *written = &in->operand[0];

    wave->waits.store_states -= nstates < wave->waits.store_states ? nstates : wave->waits.store_states;
    if (writes_first(in) && written->index < data->index + data->nregs && data->index < written->index + written->nregs)
        fail(wave->gcn, "v%u changes while a wide store may still read it", written->index);
}

void guard_store(struct wave *wave, const struct operand *data)
{
    if (data->kind == OPERAND_VECTOR && data->nregs > 2) {
        wave->waits.store_states = wave->gcn->object.arch == GCN_GFX90A ? 1 : 2;
        wave->waits.store_data = *data;
    }
}

void check_waits(struct wave *wave, const struct instruction *in)
{
    if (wave->waits.store_states > 0)
        check_store_data(wave, in);
    if (wave->waits.vm_issued == wave->waits.vm_done && wave->waits.lgkm_issued == wave->waits.lgkm_done)
        return;
    for (unsigned k = 0; k < in->noperands; k++)
        if (is_register(&in->operand[k]))
            for (unsigned i = 0; i < in->operand[k].nregs; i++)
                check_register(wave, in, k, i);
}
