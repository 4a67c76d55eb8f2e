/*
 * tiling.h - a matrix as panels, for commands that go over one on a single thread
 */
#ifndef MXQ_TILING_H
#define MXQ_TILING_H

#include "kernels/mxq.h"

/* Tiles row after row, each a panel (MXQ_PANEL_ALIGN) of about a million values, at most four million. */
struct mxq_tiling {
    uint64_t rows;
    uint64_t cols;
    uint64_t high; /* of a tile that ends neither rows */
    uint64_t wide; /* nor columns */
    uint64_t nacross;
    uint64_t ntiles; /* 0 for an empty matrix */
};

/* Full rows, unless 256 of them are too much. */
void mxq_tile_rows(struct mxq_tiling *tiling, uint64_t rows, uint64_t cols);

/* Squares: for what is stored by rows on one side and by columns on the other. */
void mxq_tile_squares(struct mxq_tiling *tiling, uint64_t rows, uint64_t cols);

/* index is below ntiles. The first tile is the largest. */
struct mxq_panel mxq_get_tile(const struct mxq_tiling *tiling, uint64_t index);

#endif /* MXQ_TILING_H */
