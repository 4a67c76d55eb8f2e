/*
 * run.c - waves and their order, barriers, errors
 *
 * Source: LLVM's "User Guide for AMDGPU Backend", "Initial Kernel Execution State".
 */
#include "gcnrun/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A kernel of a test needs less; one that loops for ever gets here in seconds. */
#define MAX_INSTRUCTIONS (1ull << 26)

/* Of compute_pgm_rsrc2: the workgroup's x, y or z is wanted. */
#define ENABLE_WORKGROUP_ID(rsrc2, i) ((rsrc2) >> (7 + (i)) & 1)

/* ---- errors */

_Noreturn void fail(struct gcn *gcn, const char *format, ...)
{
    va_list args;
    size_t n;

    va_start(args, format);
    vsnprintf(gcn->error, sizeof(gcn->error), format, args);
    va_end(args);
    n = strlen(gcn->error);
    if (gcn->current != NULL)
        snprintf(gcn->error + n, sizeof(gcn->error) - n, "\n  at %06llx: %s\n  workgroup %u,%u,%u, wave %u",
                 (unsigned long long)(gcn->current->address - (uint64_t)(uintptr_t)gcn->object.image),
                 gcn->current->text, gcn->workgroup.x, gcn->workgroup.y, gcn->workgroup.z,
                 gcn->current_wave != NULL ? gcn->current_wave->id : 0);
    longjmp(gcn->failed, 1);
}

/* ---- the start of a workgroup */

/* The place of a work item is in v0: x, y and z with ten bits each. */
static void set_work_items(const struct run *run, struct wave *wave)
{
    const struct gcn_size block = run->launch->block;

    wave->initial_exec = 0;
    for (uint32_t l = 0; l < NLANES; l++) {
        const uint32_t item = NLANES * wave->id + l;
        const uint32_t x = item % block.x;
        const uint32_t y = item / block.x % block.y;
        const uint32_t z = item / block.x / block.y;
        if (item >= run->nitems)
            return;
        wave->v[0][l] = x | y << 10 | z << 20;
        wave->initial_exec |= 1ull << l;
    }
}

static void start_wave(const struct gcn *gcn, const struct run *run, struct wave *wave)
{
    const uint32_t ids[3] = {gcn->workgroup.x, gcn->workgroup.y, gcn->workgroup.z};
    unsigned n = run->nuser;

    memset(wave->s, POISON, sizeof(wave->s));
    memset(wave->v, POISON, run->nvgprs * sizeof(wave->v[0]));
    memset(wave->v + 256, POISON, run->nagprs * sizeof(wave->v[0]));
    memset(wave->scratch, POISON, (size_t)NLANES * gcn->scratch_nbytes);
    memset(&wave->waits, 0, sizeof(wave->waits));
    memcpy(wave->s, run->user, run->nuser * sizeof(wave->s[0]));
    for (unsigned i = 0; i < 3; i++)
        if (ENABLE_WORKGROUP_ID(run->descriptor.rsrc2, i))
            wave->s[n++] = ids[i];
    wave->scc = 0;
    wave->state = WAVE_RUNS;
    wave->next = run->start;
    wave->written = ~0ull;
    wave->ninstructions = 0;
    set_work_items(run, wave);
    write_s64(wave, EXEC, wave->initial_exec);
}

/* ---- execution */

static void check_registers(struct gcn *gcn, const struct instruction *in, const struct run *run)
{
    for (unsigned k = 0; k < in->noperands; k++) {
        const struct operand *operand = &in->operand[k];
        const unsigned limit = operand->index < 256 ? run->nvgprs : 256 + run->nagprs;
        if (operand->kind == OPERAND_VECTOR && operand->index + operand->nregs > limit)
            fail(gcn, "a vector register beyond those that the kernel has");
    }
}

static void execute(struct gcn *gcn, const struct run *run, struct wave *wave)
{
    struct instruction *in;

    if (wave->next >= gcn->program.ninstructions)
        fail(gcn, "execution leaves the listing");
    in = &gcn->program.instructions[wave->next++];
    gcn->current = in;
    if (in->opcode == NULL)
        fail(gcn, "unknown instruction");
    check_registers(gcn, in, run);
    check_waits(wave, in);
    in->opcode->execute(wave, in);
    if (in->dpp_source != NULL)
        wave->written = ~0ull;
    gcn->counters.ninstructions[in->class]++;
    in->nexecuted++;
    if (++wave->ninstructions > MAX_INSTRUCTIONS)
        fail(gcn, "the wave does not come to its end");
}

uint64_t next_random(struct gcn *gcn)
{
    uint64_t z = gcn->random += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Runs a wave to its next barrier or its end, or for as many instructions as the seed says. */
static void run_wave(struct gcn *gcn, const struct run *run, struct wave *wave)
{
    uint64_t left = run->launch->seed == 0 ? UINT64_MAX : 1 + next_random(gcn) % 32;

    gcn->current_wave = wave;
    for (; left > 0 && wave->state == WAVE_RUNS; left--)
        execute(gcn, run, wave);
}

/* Until none can go on. */
static void run_waves(struct gcn *gcn, const struct run *run)
{
    for (;;) {
        struct wave *ready[MAX_WAVES];
        unsigned n = 0;
        for (unsigned i = 0; i < gcn->nwaves; i++)
            if (gcn->wave[i].state == WAVE_RUNS)
                ready[n++] = &gcn->wave[i];
        if (n == 0)
            return;
        run_wave(gcn, run, ready[run->launch->seed == 0 ? 0 : next_random(gcn) % n]);
    }
}

/* Whether the workgroup goes on. */
static bool pass_barrier(struct gcn *gcn)
{
    const struct wave *first = &gcn->wave[0];

    for (unsigned i = 0; i < gcn->nwaves; i++) {
        const struct wave *wave = &gcn->wave[i];
        gcn->current_wave = wave;
        if (wave->state != first->state)
            fail(gcn, "divergence at a barrier: wave %u %s, wave 0 %s", i,
                 wave->state == WAVE_ENDED ? "has ended" : "waits at one",
                 first->state == WAVE_ENDED ? "has ended" : "waits at one");
        if (wave->state == WAVE_AT_BARRIER && wave->barrier != first->barrier)
            fail(gcn, "divergence at a barrier: waves 0 and %u wait at different ones", i);
    }
    if (first->state == WAVE_ENDED)
        return false;
    for (unsigned i = 0; i < gcn->nwaves; i++)
        gcn->wave[i].state = WAVE_RUNS;
    gcn->counters.nbarriers++;
    return true;
}

/* Epochs have 24 bits beside the number of a wave. */
static void begin_epoch(struct gcn *gcn)
{
    if (++gcn->epoch >> 24 == 0)
        return;
    memset(gcn->lds_writer, 0, 4 * (size_t)gcn->lds_nbytes);
    memset(gcn->lds_reader, 0, 4 * (size_t)gcn->lds_nbytes);
    gcn->epoch = 1;
}

static void run_workgroup(struct gcn *gcn, const struct run *run)
{
    memset(gcn->lds, POISON, gcn->lds_nbytes);
    for (unsigned i = 0; i < gcn->nwaves; i++)
        start_wave(gcn, run, &gcn->wave[i]);
    gcn->counters.nwaves += gcn->nwaves;
    gcn->counters.nworkgroups++;
    gcn->group_serial++;
    do {
        begin_epoch(gcn);
        run_waves(gcn, run);
    } while (pass_barrier(gcn));
}

bool gcn_run(struct gcn *gcn, const struct gcn_launch *launch)
{
    struct run run;

    gcn->current = NULL;
    gcn->current_wave = NULL;
    gcn->error[0] = '\0';
    gcn->random = launch->seed;
    gcn->perturbs = launch->seed != 0;
    if (setjmp(gcn->failed) != 0)
        return false;
    prepare_run(gcn, launch, &run);
    for (gcn->workgroup.z = 0; gcn->workgroup.z < launch->grid.z; gcn->workgroup.z++)
        for (gcn->workgroup.y = 0; gcn->workgroup.y < launch->grid.y; gcn->workgroup.y++)
            for (gcn->workgroup.x = 0; gcn->workgroup.x < launch->grid.x; gcn->workgroup.x++)
                run_workgroup(gcn, &run);
    return true;
}
