/*
 * square.h - a panel taken as squares of 256 x 256 values, which is what a vectorized variant works on at one time
 *
 * A square is a task of its own, with targets that have room for whole tiles of 32 x 32, so a variant needs no thought of
 * edges: it fills tiles up with zeros and stores all that comes out. Where bytes of a tile are whole runs of the real
 * buffer they go there directly; otherwise they are collected, and copied when the square is complete: linear rows are 16
 * bytes a tile, scale bytes lie apart in either layout, and 128 or 256 bytes at a time are what memory is fast with. A
 * square also bounds what is in flight to half of an L2 cache of 512 KiB.
 */
#ifndef MXQ_SQUARE_H
#define MXQ_SQUARE_H

#include "kernels/mxq_internal.h"

#define MXQ_SQUARE_NELEMS MXQ_PANEL_ALIGN
#define MXQ_SQUARE_BLOCKS (MXQ_SQUARE_NELEMS / MXQ_BLOCK_NELEMS)

/* How a variant takes part. */
struct mxq_square_work {
    /*
     * Quantizes the matrix of the task, of at most 256 x 256 values, and returns whether it has an infinity or a NaN.
     * In each wanted direction all units and scale bytes of every tile that has a value may be stored, those outside the
     * matrix too. task->target[] is the square's: addresses are relative to it.
     */
    bool (*quantize)(const struct mxq_square_work *work, const struct mxq_task *square);

    /*
     * Put what was collected of a whole square where it belongs, 16 rows of units or 32 rows of scales at a time, which
     * are 8 blocks long and in the order of AITER's layout, aligned to 64 bytes. put_units() is for linear buffers, of
     * which it is given a row's address and the distance to the next; put_scales() is for the layout it is given.
     */
    void (*put_units)(const struct mxq_square_work *work, uint8_t *to, uint64_t pitch, const uint8_t *from);
    void (*put_scales)(const struct mxq_square_work *work, enum mxq_layout layout, uint8_t *to, uint64_t pitch,
                       const uint8_t *from);
};

/* put_units() and put_scales() in plain C. */
void mxq_put_units(const struct mxq_square_work *work, uint8_t *to, uint64_t pitch, const uint8_t *from);
void mxq_put_scales(const struct mxq_square_work *work, enum mxq_layout layout, uint8_t *to, uint64_t pitch,
                    const uint8_t *from);

/* All squares of a panel; whether one has an infinity or a NaN. */
bool mxq_quantize_squares(const struct mxq_task *task, const struct mxq_square_work *work);

#endif /* MXQ_SQUARE_H */
