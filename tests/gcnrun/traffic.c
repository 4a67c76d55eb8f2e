/*
 * traffic.c - what accesses cost: segments of global memory, and cycles of the LDS banks
 *
 * LDS: an access is made in phases of lanes that the width fixes; in a phase every bank gives one word of 4 bytes a cycle, to
 * all lanes that want it. The phases are not in the ISA guides. They are those that were measured on MI300 and MI350:
 * github.com/triton-lang/triton pull request 11365, github.com/nod-ai/amd-shark-ai docs/amdgpu_kernel_optimization_guide.md;
 * CDNA2 is taken to be like MI300. On gfx950 reads have 64 banks; writes are counted with 32 everywhere.
 */
#include "gcnrun/internal.h"

#include <string.h>

/* ---- global memory */

void count_traffic(struct gcn *gcn, struct buffer *buffer, const uint64_t address[NLANES], uint64_t lanes,
                   unsigned nbytes, bool write)
{
    struct gcn_stream *stream = &gcn->counters.stream[buffer->stream];
    struct gcn_traffic *traffic = write ? &stream->written : &stream->read;
    const uint64_t origin = (uint64_t)(uintptr_t)buffer->bytes / 128 * 128;
    const uint32_t serial = ++gcn->access_serial;

    if (!buffer->counted)
        return;
    traffic->naccesses++;
    traffic->nbytes += (uint64_t)nbytes * (unsigned)__builtin_popcountll(lanes);
    for (unsigned l = 0; l < NLANES; l++) {
        if (!(lanes >> l & 1))
            continue;
        for (uint64_t line = (address[l] - origin) / 64; line <= (address[l] - origin + nbytes - 1) / 64; line++) {
            if (buffer->seen[line] == serial)
                continue;
            buffer->seen[line] = serial;
            traffic->nlines++;
            traffic->nlines128 += buffer->seen128[line / 2] != serial;
            buffer->seen128[line / 2] = serial;
            traffic->group_nlines += buffer->group[write][line] != gcn->group_serial;
            buffer->group[write][line] = gcn->group_serial;
        }
    }
}

/* ---- LDS */

/* The phase of lane l; all phases have the same number of lanes. */
static unsigned find_phase(unsigned lane, unsigned nbytes, unsigned nbanks, bool write)
{
    /* Groups of four lanes, 0 to 7 in each half of the wave, that share a phase of a 16-byte read. */
    static const uint8_t quads32[8] = {0, 1, 2, 3, 1, 0, 3, 2};
    static const uint8_t quads64[8] = {0, 1, 1, 0, 1, 0, 0, 1};
    const unsigned quad = lane / 4 % 8;

    if (nbytes <= 4)
        return nbanks == 64 ? 0 : lane / 32;
    if (nbytes <= 8)
        return nbanks == 64 ? lane / 32 : lane / 16;
    if (write)
        return lane / 8;
    return nbanks == 64 ? lane / 32 * 2 + quads64[quad] : lane / 32 * 4 + quads32[quad];
}

#define MAX_BANKS 64

/* Different words that a phase wants of each bank. */
struct bank_use {
    uint32_t word[MAX_BANKS][NLANES];
    unsigned nwords[MAX_BANKS];
};

static void want_word(struct bank_use *use, uint32_t word, unsigned nbanks)
{
    const unsigned bank = word % nbanks;

    for (unsigned i = 0; i < use->nwords[bank]; i++)
        if (use->word[bank][i] == word)
            return;
    use->word[bank][use->nwords[bank]++] = word;
}

/* Cycles of one phase. */
static unsigned count_phase(const uint32_t address[NLANES], uint64_t lanes, unsigned nbytes, unsigned nbanks)
{
    struct bank_use use;
    unsigned cycles = 0;

    memset(use.nwords, 0, sizeof(use.nwords));
    for (; lanes != 0; lanes &= lanes - 1) {
        const unsigned l = (unsigned)__builtin_ctzll(lanes);
        for (uint32_t word = address[l] / 4; word <= (address[l] + nbytes - 1) / 4; word++)
            want_word(&use, word, nbanks);
    }
    for (unsigned bank = 0; bank < nbanks; bank++)
        cycles = use.nwords[bank] > cycles ? use.nwords[bank] : cycles;
    return cycles;
}

void count_lds(struct gcn *gcn, const uint32_t address[NLANES], uint64_t lanes, unsigned nbytes, bool write)
{
    const unsigned nbanks = gcn->object.arch == GCN_GFX950 && !write ? 64 : 32;
    struct gcn_banks *banks = write ? &gcn->counters.lds_written : &gcn->counters.lds_read;
    uint64_t phase_lanes[8] = {0};

    banks->nbytes += (uint64_t)nbytes * (unsigned)__builtin_popcountll(lanes);
    for (uint64_t left = lanes; left != 0; left &= left - 1) {
        const unsigned l = (unsigned)__builtin_ctzll(left);
        phase_lanes[find_phase(l, nbytes, nbanks, write)] |= 1ull << l;
    }
    for (unsigned p = 0; p < NELEMS(phase_lanes); p++) {
        const unsigned cycles = count_phase(address, phase_lanes[p], nbytes, nbanks);
        banks->ncycles += cycles;
        banks->nconflicts += cycles > 1 ? cycles - 1 : 0;
    }
}
