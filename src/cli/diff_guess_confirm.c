/* diff_guess_confirm.c - comparing the whole under other readings, panel by panel */
#include "cli/diff_guess.h"
#include "kernels/layout.h"

#include <stdlib.h>
#include <string.h>

/* A panel: a multiple of every layout's group of rows and of columns. */
#define PANEL_ROWS 128
#define PANEL_BLOCKS 2048

/* The bytes of a buffer that a panel needs: all of it when it is in memory, or the runs of a share. */
struct window {
    const uint8_t *bytes;
    uint8_t *buffer; /* for the runs */
    bool whole;
    struct mxq_share share;
};

/* A pass over one direction. */
struct pass {
    struct mxq_guess *guess;
    const struct mxq_guess_account *account;
    const struct mxq_guess_sample *sample;
    enum mxq_direction direction;
    bool compares[MXQ_GUESS_NUM_PARTS];
    struct window window[MXQ_GUESS_NUM_PARTS][MXQ_GUESS_NUM_SIDES];
    uint64_t same;
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Run after run, because a reading's pitch need not divide the buffer; runs without gaps at once. */
static bool read_runs(const struct mxq_stored *stored, enum mxq_buffer buffer, const struct mxq_share *share,
                      uint8_t *bytes, struct mxq_fault *fault)
{
    const bool joined = share->run_nbytes == share->pitch_nbytes;
    const uint64_t nruns = joined ? 1 : share->nruns;
    struct mxq_share run = {share->offset, joined ? share->run_nbytes * share->nruns : share->run_nbytes, 1,
                            stored->plan.extent[buffer].nbytes};

    for (uint64_t i = 0; i < nruns; i++) {
        if (!mxq_read_share(stored, buffer, &run, bytes, fault))
            return false;
        run.offset += share->pitch_nbytes;
        bytes += run.run_nbytes;
    }
    return true;
}

static const uint8_t *find_byte(const struct window *window, uint64_t at)
{
    const uint64_t from = window->whole ? 0 : at - window->share.offset;

    if (window->whole)
        return window->bytes + at;
    return window->bytes + from / window->share.pitch_nbytes * window->share.run_nbytes +
           from % window->share.pitch_nbytes;
}

/* A unit; one that is not in one piece is put together in room. */
static const uint8_t *find_unit(const struct pass *pass, unsigned part, unsigned side, uint64_t row, uint64_t block,
                                uint8_t room[MXQ_UNIT_NBYTES])
{
    const struct mxq_guess_reading *reading = &pass->account->fit[pass->direction][part].reading[side];
    const struct window *window = &pass->window[part][side];
    const unsigned nbytes = mxq_guess_unit_nbytes(reading, &pass->sample->shape, block);
    const uint8_t *bytes = find_byte(window, mxq_guess_locate(reading, row, block));
    const uint64_t step = mxq_guess_step(reading);

    if (step == 1)
        return bytes;
    for (unsigned j = 0; j < nbytes; j++)
        room[j] = bytes[j * step];
    return room;
}

static bool block_matches(const struct pass *pass, uint64_t row, uint64_t block)
{
    uint8_t room[MXQ_GUESS_NUM_SIDES][MXQ_UNIT_NBYTES];

    for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++) {
        if (!pass->compares[part])
            continue;
        if (!mxq_guess_same_unit(&pass->account->fit[pass->direction][part], &pass->sample->shape, block,
                                 find_unit(pass, part, MXQ_GUESS_TEST, row, block, room[0]),
                                 find_unit(pass, part, MXQ_GUESS_GOLDEN, row, block, room[1])))
            return false;
    }
    return true;
}

static bool open_windows(struct pass *pass, const struct mxq_panel *panel, struct mxq_fault *fault)
{
    const struct mxq_diff *diff = pass->guess->diff;

    for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++) {
        for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES && pass->compares[part]; side++) {
            const struct mxq_guess_reading *reading = &pass->account->fit[pass->direction][part].reading[side];
            struct window *window = &pass->window[part][side];
            if (window->whole)
                continue;
            mxq_guess_find_share(reading, &pass->sample->shape, panel, &window->share);
            if (!read_runs(side == MXQ_GUESS_TEST ? diff->test : diff->golden, reading->buffer, &window->share,
                           window->buffer, fault))
                return false;
        }
    }
    return true;
}

static bool compare_panel(struct pass *pass, const struct mxq_panel *panel, struct mxq_fault *fault)
{
    if (!open_windows(pass, panel, fault))
        return false;
    for (uint64_t row = panel->row0; row < panel->row0 + panel->rows; row++)
        for (uint64_t block = panel->col0; block < panel->col0 + panel->cols; block++)
            pass->same += block_matches(pass, row, block);
    return true;
}

static bool compare_panels(struct pass *pass, struct mxq_fault *fault)
{
    const struct mxq_guess_shape *shape = &pass->sample->shape;

    for (uint64_t row = 0; row < shape->rows; row += PANEL_ROWS) {
        for (uint64_t block = 0; block < shape->nblocks; block += PANEL_BLOCKS) {
            const struct mxq_panel panel = {row, block, smaller(PANEL_ROWS, shape->rows - row),
                                            smaller(PANEL_BLOCKS, shape->nblocks - block)};
            if (!compare_panel(pass, &panel, fault))
                return false;
        }
    }
    return true;
}

/* Room for the runs of one panel, in which every group of rows is complete. */
static bool prepare_windows(struct pass *pass, struct mxq_fault *fault)
{
    const uint64_t nblocks = smaller(PANEL_BLOCKS, pass->sample->shape.nblocks + 7);

    for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++) {
        for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES && pass->compares[part]; side++) {
            const enum mxq_buffer buffer = pass->account->fit[pass->direction][part].reading[side].buffer;
            struct window *window = &pass->window[part][side];
            window->bytes = pass->guess->whole[side][buffer];
            window->whole = window->bytes != NULL;
            if (window->whole)
                continue;
            window->bytes = window->buffer =
                malloc((size_t)(PANEL_ROWS * nblocks * (part == MXQ_GUESS_SCALE ? 1 : MXQ_UNIT_NBYTES)));
            if (window->buffer == NULL)
                return mxq_guess_no_memory(fault);
        }
    }
    return true;
}

static bool compare_direction(struct pass *pass, struct mxq_fault *fault)
{
    const bool good = prepare_windows(pass, fault) && compare_panels(pass, fault);

    for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++)
        for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES; side++)
            free(pass->window[part][side].buffer);
    return good;
}

/* What has to be looked at: not what is known to be equal, nor, if only changes are spoken of, the rest. */
static void choose_parts(struct pass *pass)
{
    for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++) {
        const bool changed = pass->account->fit[pass->direction][part].changed;
        pass->compares[part] =
            pass->sample->compared[part] && (changed || (!pass->account->partial && !pass->sample->equal[part]));
    }
}

/* A transposed buffer is read in order only when it is in memory. */
static bool can_stream(const struct pass *pass)
{
    for (unsigned part = 0; part < MXQ_GUESS_NUM_PARTS; part++) {
        for (unsigned side = 0; side < MXQ_GUESS_NUM_SIDES && pass->compares[part]; side++) {
            const struct mxq_guess_reading *reading = &pass->account->fit[pass->direction][part].reading[side];
            if (reading->order == MXQ_GUESS_TURNED && pass->guess->whole[side][reading->buffer] == NULL)
                return false;
        }
    }
    return true;
}

bool mxq_guess_confirm(struct mxq_guess *guess, struct mxq_guess_account *account, struct mxq_fault *fault)
{
    uint64_t same = 0, total = 0;

    if (account->whole || account->sample_same < account->sample_total)
        return true;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        struct pass pass = {.guess = guess, .account = account, .sample = &guess->sample[d], .direction = d};
        const uint64_t nblocks = pass.sample->shape.rows * pass.sample->shape.nblocks;
        choose_parts(&pass);
        if (pass.sample->nblocks == 0 || (account->partial && !pass.compares[0] && !pass.compares[1]))
            continue;
        if (!can_stream(&pass))
            return true;
        if (!pass.compares[0] && !pass.compares[1])
            pass.same = nblocks;
        else if (!compare_direction(&pass, fault))
            return false;
        same += pass.same;
        total += nblocks;
    }
    account->same = same;
    account->total = total;
    account->whole = true;
    return true;
}
