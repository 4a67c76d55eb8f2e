/* diff_guess_units.c - reading the units of a sample, and comparing units */
#include "cli/diff_guess.h"
#include "kernels/layout.h"

#include <stdlib.h>
#include <string.h>

/* Buffers up to this size are read once and kept. */
#define WHOLE_NBYTES ((uint64_t)64 << 20)

static const struct mxq_stored *stored_of(const struct mxq_guess *guess, enum mxq_guess_side side)
{
    return side == MXQ_GUESS_TEST ? guess->diff->test : guess->diff->golden;
}

bool mxq_guess_load_whole(struct mxq_guess *guess, enum mxq_guess_side side, enum mxq_buffer buffer,
                          struct mxq_fault *fault)
{
    const struct mxq_stored *stored = stored_of(guess, side);
    const uint64_t nbytes = stored->plan.extent[buffer].nbytes;
    const struct mxq_share share = {0, nbytes, 1, nbytes};
    uint8_t *bytes;

    if (guess->whole[side][buffer] != NULL || nbytes == 0 || nbytes > WHOLE_NBYTES)
        return true;
    bytes = malloc((size_t)nbytes);
    if (bytes == NULL)
        return mxq_guess_no_memory(fault);
    guess->whole[side][buffer] = bytes;
    return mxq_read_share(stored, buffer, &share, bytes, fault);
}

static bool fetch(const struct mxq_guess *guess, enum mxq_guess_side side, enum mxq_buffer buffer, uint64_t offset,
                  unsigned nbytes, uint8_t *bytes, struct mxq_fault *fault)
{
    const struct mxq_stored *stored = stored_of(guess, side);
    const struct mxq_share share = {offset, nbytes, 1, stored->plan.extent[buffer].nbytes};
    const uint8_t *whole = guess->whole[side][buffer];

    if (whole == NULL)
        return mxq_read_share(stored, buffer, &share, bytes, fault);
    memcpy(bytes, whole + offset, nbytes);
    return true;
}

bool mxq_guess_gather(struct mxq_guess *guess, enum mxq_guess_side side, const struct mxq_guess_reading *reading,
                      const struct mxq_guess_sample *sample, uint8_t *units, struct mxq_fault *fault)
{
    const size_t unit_nbytes = mxq_is_scale(reading->buffer) ? 1 : MXQ_UNIT_NBYTES;
    const uint64_t step = mxq_guess_step(reading);
    bool good = mxq_guess_load_whole(guess, side, reading->buffer, fault);

    memset(units, 0, sample->nblocks * unit_nbytes);
    for (size_t i = 0; i < sample->nblocks && good; i++, units += unit_nbytes) {
        const uint64_t block = sample->index[i] % sample->shape.nblocks;
        const uint64_t at = mxq_guess_locate(reading, sample->index[i] / sample->shape.nblocks, block);
        const unsigned nbytes = mxq_guess_unit_nbytes(reading, &sample->shape, block);
        if (step == 1)
            good = fetch(guess, side, reading->buffer, at, nbytes, units, fault);
        for (unsigned j = 0; j < nbytes && step != 1 && good; j++)
            good = fetch(guess, side, reading->buffer, at + j * step, 1, units + j, fault);
    }
    return good;
}

bool mxq_guess_same_unit(const struct mxq_guess_fit *fit, const struct mxq_guess_shape *shape, uint64_t block,
                         const uint8_t *test, const uint8_t *golden)
{
    const struct mxq_guess_reading *t = &fit->reading[MXQ_GUESS_TEST];
    const struct mxq_guess_reading *g = &fit->reading[MXQ_GUESS_GOLDEN];
    const unsigned nvalid = mxq_guess_nvalid(shape, block);
    unsigned test_nbytes, golden_nbytes;

    if (mxq_is_scale(t->buffer))
        return *test == *golden;
    if (t->twist == MXQ_GUESS_PLAIN && g->twist == MXQ_GUESS_PLAIN && nvalid == MXQ_BLOCK_NELEMS)
        return memcmp(test, golden, MXQ_UNIT_NBYTES) == 0;
    test_nbytes = mxq_guess_unit_nbytes(t, shape, block);
    golden_nbytes = mxq_guess_unit_nbytes(g, shape, block);
    for (unsigned i = 0; i < nvalid; i++) {
        bool in_test, in_golden;
        const uint8_t a = mxq_guess_code(t->twist, test, test_nbytes, i, &in_test);
        const uint8_t b = mxq_guess_code(g->twist, golden, golden_nbytes, i, &in_golden);
        if (in_test && in_golden && a != b)
            return false;
    }
    return true;
}
