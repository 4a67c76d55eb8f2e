/*
 * heatmap.h - a picture of where two results differ
 *
 * Each direction is a grid: down the rows of its logical matrix, across the blocks along them, one cell a block, or
 * several blocks to a cell where there are too many. A cell is drawn in the colour of its worst class, the stronger the
 * more of its blocks differ, so that a permutation, a bad tile and random noise do not look alike.
 */
#ifndef MXQ_HEATMAP_H
#define MXQ_HEATMAP_H

#include "io/fault.h"
#include "kernels/compare.h"

#include <stdbool.h>
#include <stdint.h>

/* Cells along a side at most. */
#define MXQ_HEAT_CELLS 1024

struct mxq_heat {
    uint64_t rows;            /* of the logical matrix */
    uint64_t nblocks;         /* along a row */
    unsigned high;            /* cells down, */
    unsigned wide;            /* and across */
    uint64_t rows_per_cell;   /* fewer in the last ones, when it does not divide */
    uint64_t blocks_per_cell; /* of each of these rows; likewise */
    uint8_t *worst;           /* an enum mxq_class for each cell, row after row */
    uint32_t *ndifferent;     /* blocks of the cell that are not equal */
    uint32_t *ntotal;         /* blocks of the cell that were compared; 0: drawn hatched */
};

/* An empty map of a matrix of this size; NULL when there is no memory. */
struct mxq_heat *mxq_create_heat(uint64_t rows, uint64_t nblocks);

/*
 * Adds what mxq_compare_panel() said of the rows x nblocks blocks from (row0, block0) on, all inside the matrix. No block
 * may be added twice. One thread at a time.
 */
void mxq_add_heat(struct mxq_heat *heat, uint64_t row0, uint64_t block0, uint64_t rows, uint64_t nblocks,
                  const uint8_t *classes);

/* The same for blocks that are all equal. */
void mxq_add_equal_heat(struct mxq_heat *heat, uint64_t row0, uint64_t block0, uint64_t rows, uint64_t nblocks);

/*
 * Writes the maps (either may be NULL) as one PNG with titles, axes and a legend to fd; path is for the fault. The sums
 * are for the legend, and only those of maps that are there are read. The same maps and sums give the same picture.
 */
bool mxq_write_heatmap(int fd, const char *path, const struct mxq_heat *const heat[MXQ_NUM_DIRECTIONS],
                       const struct mxq_comparison sum[MXQ_NUM_DIRECTIONS], struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_free_heat(struct mxq_heat *heat);

#endif /* MXQ_HEATMAP_H */
