/*
 * layout.h - where the bytes of a block are stored
 *
 * Both layouts move whole units (16 bytes of codes, or one scale byte), so a layout is two address functions of the row
 * and the block along it; nothing else in the library knows a permutation. Rows come in groups that are stored one after
 * another, pitch bytes apart: 1 row in a linear buffer, 16 rows (data) or 32 rows (scales) in AITER's. Inside a group a
 * block's place does not depend on how long the rows are, which is why a panel's share of a buffer is a run per group.
 * Sources: AITER's shuffle_weight with (16, 16) tiles, and its e8m0_shuffle.
 */
#ifndef MXQ_LAYOUT_H
#define MXQ_LAYOUT_H

#include "kernels/mxq.h"

#define MXQ_AITER_DATA_GROUP 16
#define MXQ_AITER_SCALE_GROUP 32
#define MXQ_AITER_SCALE_ROWS 256 /* scale rows are padded to this, */
#define MXQ_AITER_SCALE_COLS 8   /* and scale columns to this */

#ifndef MXQ_FUNC
#define MXQ_FUNC static inline
#endif

/* The byte offset of a unit of codes: row `row`, values 32 * block on. */
MXQ_FUNC uint64_t mxq_data_offset(enum mxq_layout layout, uint64_t pitch, uint64_t row, uint64_t block)
{
    if (layout == MXQ_LINEAR)
        return row * pitch + block * MXQ_UNIT_NBYTES;
    return row / 16 * pitch + block * 256 + row % 16 * MXQ_UNIT_NBYTES;
}

/* The byte offset of a scale byte. */
MXQ_FUNC uint64_t mxq_scale_offset(enum mxq_layout layout, uint64_t pitch, uint64_t row, uint64_t block)
{
    if (layout == MXQ_LINEAR)
        return row * pitch + block;
    return row / 32 * pitch + block / 8 * 256 + block % 4 * 64 + row % 16 * 4 + block % 8 / 4 * 2 + row % 32 / 16;
}

/* The bytes of a unit that a linear row has room for: all, but for the last unit of a row of nelems values. */
MXQ_FUNC unsigned mxq_unit_nbytes(enum mxq_layout layout, uint64_t nelems, uint64_t block)
{
    const uint64_t left = (nelems - block * MXQ_BLOCK_NELEMS + 1) / 2;

    return layout == MXQ_LINEAR && left < MXQ_UNIT_NBYTES ? (unsigned)left : MXQ_UNIT_NBYTES;
}

/* Number of blocks along a row of nelems values. */
MXQ_FUNC uint64_t mxq_count_blocks(uint64_t nelems)
{
    return nelems / MXQ_BLOCK_NELEMS + (nelems % MXQ_BLOCK_NELEMS != 0);
}

bool mxq_is_scale(enum mxq_buffer buffer);
enum mxq_direction mxq_direction_of(enum mxq_buffer buffer);

/* The stored shape of one buffer whose direction's logical matrix is rows x cols. */
enum mxq_status mxq_find_extent(enum mxq_buffer buffer, enum mxq_layout layout, uint64_t rows, uint64_t cols,
                                struct mxq_extent *extent);

/* The share of a panel, given in the direction's logical rows and columns, in a buffer with this extent. */
void mxq_find_share(enum mxq_buffer buffer, enum mxq_layout layout, const struct mxq_extent *extent,
                    const struct mxq_panel *logical, struct mxq_share *share);

/* The panel as the direction of the buffer sees it: columnwise swaps rows and columns. */
struct mxq_panel mxq_orient_panel(const struct mxq_panel *panel, enum mxq_direction direction);

#endif /* MXQ_LAYOUT_H */
