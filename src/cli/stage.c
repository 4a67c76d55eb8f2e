/* stage.c - shares that would be thousands of short runs in a file, gathered in memory until the runs are long */
#include "cli/stage.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Memory for both halves. Into a mapped file, short runs cost a page fault for every page they touch, where a profile had a
 * third of its samples. The longer the runs, the better: 512 MiB of BF16 (16384 x 16384) took 165 ms with this, 182 ms with
 * a half and 199 ms with a third of it (medians of 9, two threads). More would not fit what a job may use.
 */
#define STAGE_NBYTES ((uint64_t)96 << 20)

/* What is written at once: a fraction of what a half holds, so that threads end at the same time. */
#define PART_NBYTES ((uint64_t)4 << 20)

/* From this on, pages of this size are worth asking for. */
#define LARGE_PAGE_NBYTES ((size_t)2 << 20)

/* Stores of whole lines that straddle two take twice the time. */
#define LINE_NBYTES 64

uint8_t *mxq_allocate_large(uint64_t nbytes)
{
    const bool large = nbytes >= LARGE_PAGE_NBYTES;
    void *bytes = NULL;

    if (nbytes > SIZE_MAX - LARGE_PAGE_NBYTES ||
        posix_memalign(&bytes, large ? LARGE_PAGE_NBYTES : LINE_NBYTES, nbytes != 0 ? (size_t)nbytes : 1) != 0)
        return NULL;
    if (large)
        (void)madvise(bytes, (size_t)nbytes, MADV_HUGEPAGE); /* a hint: it may fail */
    return bytes;
}

/* What one panel adds, 0 for a buffer whose runs are as long as they can be. */
static uint64_t gathered_nbytes(const struct mxq_stage *stage, const struct mxq_panel *panel, enum mxq_buffer buffer)
{
    struct mxq_share share;

    if (!mxq_result_wants(stage->result, buffer) || mxq_locate_share(stage->plan, panel, buffer, &share) != MXQ_OK ||
        share.nruns < 2 || share.run_nbytes == share.pitch_nbytes)
        return 0;
    return share.nruns * share.run_nbytes;
}

bool mxq_create_stage(struct mxq_stage *stage, struct mxq_result *result, const struct mxq_plan *plan,
                      const struct mxq_panel *panel, uint64_t npanels)
{
    uint64_t nbytes[MXQ_NUM_BUFFERS];
    uint64_t sum = 0;
    bool good = true;

    memset(stage, 0, sizeof(*stage));
    stage->result = result;
    stage->plan = plan;
    stage->filling = 1; /* so that the first to be filled is the other */
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        sum += nbytes[b] = gathered_nbytes(stage, panel, b);
    if (sum == 0 || sum > STAGE_NBYTES / 4)
        return true;
    stage->npanels = STAGE_NBYTES / 2 / sum;
    if (stage->npanels > npanels)
        stage->npanels = npanels;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        stage->gathers[b] = nbytes[b] != 0;
        for (unsigned h = 0; h < (stage->npanels < npanels ? 2 : 1) && stage->gathers[b] && good; h++)
            good = (stage->half[h].bytes[b] = mxq_allocate_large(nbytes[b] * stage->npanels)) != NULL;
    }
    if (!good)
        mxq_free_stage(stage);
    return good;
}

void mxq_free_stage(struct mxq_stage *stage)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        free(stage->half[0].bytes[b]);
        free(stage->half[1].bytes[b]);
    }
    memset(stage, 0, sizeof(*stage));
}

void mxq_start_stripe(struct mxq_stage *stage, const struct mxq_panel *stripe)
{
    struct mxq_stage_half *half;

    stage->filling = 1 - stage->filling;
    half = &stage->half[stage->filling];
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        mxq_locate_share(stage->plan, stripe, b, &half->stripe[b]);
}

bool mxq_find_in_stage(const struct mxq_stage *stage, enum mxq_buffer buffer, const struct mxq_share *share,
                       struct mxq_destination *destination)
{
    const struct mxq_stage_half *half = &stage->half[stage->filling];

    if (!stage->gathers[buffer])
        return false;
    destination->bytes = half->bytes[buffer] + (share->offset - half->stripe[buffer].offset);
    destination->pitch_nbytes = half->stripe[buffer].run_nbytes;
    return true;
}

/* ---- writing */

/* Runs that are written at once. */
static uint64_t runs_of_part(const struct mxq_share *stripe)
{
    return stripe->run_nbytes < PART_NBYTES ? PART_NBYTES / stripe->run_nbytes : 1;
}

/* A half that was never filled has no runs. */
static uint64_t count_parts(const struct mxq_stage *stage, enum mxq_buffer buffer)
{
    const struct mxq_share *stripe = &stage->half[1 - stage->filling].stripe[buffer];

    if (!stage->gathers[buffer] || stripe->nruns == 0)
        return 0;
    return (stripe->nruns + runs_of_part(stripe) - 1) / runs_of_part(stripe);
}

uint64_t mxq_count_stage_parts(const struct mxq_stage *stage)
{
    uint64_t nparts = 0;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        nparts += count_parts(stage, b);
    return nparts;
}

bool mxq_write_stage_part(const struct mxq_stage *stage, uint64_t number, struct mxq_fault *fault)
{
    const struct mxq_stage_half *half = &stage->half[1 - stage->filling];
    const struct mxq_share *stripe;
    struct mxq_share part;
    unsigned b = 0;
    uint64_t run;

    while (number >= count_parts(stage, b))
        number -= count_parts(stage, b++);
    stripe = &half->stripe[b];
    part = *stripe;
    run = number * runs_of_part(stripe);
    part.offset += run * stripe->pitch_nbytes;
    part.nruns = runs_of_part(stripe) < stripe->nruns - run ? runs_of_part(stripe) : stripe->nruns - run;
    return mxq_write_share(stage->result, b, &part, half->bytes[b] + run * stripe->run_nbytes, fault);
}
