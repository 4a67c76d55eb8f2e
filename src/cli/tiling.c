/* tiling.c - a matrix as panels */
#include "cli/tiling.h"

#define TILE_NELEMS ((uint64_t)1 << 20)
#define WIDE_TILE_NELEMS ((uint64_t)4 << 20)
#define SQUARE_NELEMS 1024 /* its side */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void tile(struct mxq_tiling *tiling, uint64_t rows, uint64_t cols, uint64_t high, uint64_t wide)
{
    tiling->rows = rows;
    tiling->cols = cols;
    tiling->high = high;
    tiling->wide = wide;
    tiling->nacross = cols / wide + (cols % wide != 0);
    tiling->ntiles = tiling->nacross * (rows / high + (rows % high != 0));
}

void mxq_tile_rows(struct mxq_tiling *tiling, uint64_t rows, uint64_t cols)
{
    const uint64_t least_rows = smaller(rows, MXQ_PANEL_ALIGN);
    uint64_t high;

    if (rows == 0 || cols == 0 || cols > WIDE_TILE_NELEMS / least_rows) {
        tile(tiling, rows, cols, MXQ_PANEL_ALIGN, TILE_NELEMS / MXQ_PANEL_ALIGN);
        return;
    }
    high = TILE_NELEMS / cols / MXQ_PANEL_ALIGN * MXQ_PANEL_ALIGN;
    tile(tiling, rows, cols, high < MXQ_PANEL_ALIGN ? MXQ_PANEL_ALIGN : high, cols);
}

void mxq_tile_squares(struct mxq_tiling *tiling, uint64_t rows, uint64_t cols)
{
    tile(tiling, rows, cols, SQUARE_NELEMS, SQUARE_NELEMS);
}

struct mxq_panel mxq_get_tile(const struct mxq_tiling *tiling, uint64_t index)
{
    struct mxq_panel panel;

    panel.row0 = index / tiling->nacross * tiling->high;
    panel.col0 = index % tiling->nacross * tiling->wide;
    panel.rows = smaller(tiling->high, tiling->rows - panel.row0);
    panel.cols = smaller(tiling->wide, tiling->cols - panel.col0);
    return panel;
}
