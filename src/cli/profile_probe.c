/* profile_probe.c - blocks of a few values through two profiles, and what each makes of them */
#include "cli/profile_probe.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY 1024
#define ROW_NBYTES (MXQ_PROBE_NVALUES / 2)

struct mxq_probe {
    const struct mxq_profile *profile[2];
    mxq_probed_func see;
    void *context;
    unsigned nvalues;
    unsigned nblocks;
    uint32_t values[CAPACITY * MXQ_PROBE_NVALUES];
    uint8_t data[2][CAPACITY * ROW_NBYTES];
    uint8_t scale[2][CAPACITY];
};

struct mxq_probe *mxq_create_probe(const struct mxq_profile *a, const struct mxq_profile *b, mxq_probed_func see,
                                   void *context)
{
    struct mxq_probe *probe = calloc(1, sizeof(*probe));

    if (probe != NULL) {
        probe->profile[0] = a;
        probe->profile[1] = b;
        probe->see = see;
        probe->context = context;
    }
    return probe;
}

void mxq_free_probe(struct mxq_probe *probe)
{
    free(probe);
}

/* One profile: each block is the only one of its row; where rows share scales, each is a matrix by itself. */
static enum mxq_status quantize(struct mxq_probe *probe, unsigned side)
{
    const struct mxq_profile *profile = probe->profile[side];
    const unsigned nrows = profile->recipe.block == MXQ_BLOCK_1X32 ? probe->nblocks : 1;
    const size_t row_nbytes = (probe->nvalues + 1) / 2;
    const struct mxq_kernel *kernel;
    struct mxq_options options;
    struct mxq_plan plan;
    enum mxq_status status = mxq_select_kernel(NULL, &kernel);

    mxq_init_options(&options, profile);
    options.wanted[MXQ_COLUMNWISE] = false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = MXQ_LINEAR;
    if (status == MXQ_OK)
        status = mxq_make_plan(&plan, &options, nrows, probe->nvalues);
    for (size_t row = 0; row < probe->nblocks && status == MXQ_OK; row += nrows) {
        const struct mxq_matrix matrix = {probe->values + row * probe->nvalues, MXQ_F32, nrows, probe->nvalues,
                                          probe->nvalues};
        uint8_t *const out[MXQ_NUM_BUFFERS] = {
            [MXQ_ROWWISE_DATA] = probe->data[side] + row * row_nbytes, [MXQ_ROWWISE_SCALE] = probe->scale[side] + row};
        status = mxq_quantize(&plan, kernel, &matrix, out, NULL);
    }
    return status;
}

static void show_block(const struct mxq_probe *probe, unsigned index)
{
    const size_t row_nbytes = (probe->nvalues + 1) / 2;
    struct mxq_probed block;

    memset(&block, 0, sizeof(block));
    block.nvalues = probe->nvalues;
    memcpy(block.values, probe->values + (size_t)index * probe->nvalues, probe->nvalues * sizeof(*block.values));
    for (unsigned side = 0; side < 2; side++) {
        const uint8_t *codes = probe->data[side] + index * row_nbytes;
        block.scale[side] = probe->scale[side][index];
        for (unsigned i = 0; i < probe->nvalues; i++)
            block.codes[side][i] = i % 2 == 0 ? codes[i / 2] & 15 : codes[i / 2] >> 4;
    }
    probe->see(probe->context, &block);
}

bool mxq_flush_probe(struct mxq_probe *probe, struct mxq_fault *fault)
{
    for (unsigned side = 0; side < 2 && probe->nblocks > 0; side++) {
        const enum mxq_status status = quantize(probe, side);
        if (status != MXQ_OK) {
            mxq_set_fault(fault, NULL, 0, "cannot quantize: %s", mxq_describe_status(status));
            return false;
        }
    }
    for (unsigned i = 0; i < probe->nblocks; i++)
        show_block(probe, i);
    probe->nblocks = 0;
    return true;
}

bool mxq_add_probe(struct mxq_probe *probe, unsigned nvalues, const uint32_t *values, struct mxq_fault *fault)
{
    if ((probe->nblocks == CAPACITY || probe->nvalues != nvalues) && !mxq_flush_probe(probe, fault))
        return false;
    probe->nvalues = nvalues;
    memcpy(probe->values + (size_t)probe->nblocks * nvalues, values, nvalues * sizeof(*values));
    probe->nblocks++;
    return true;
}
