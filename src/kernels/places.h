/*
 * places.h - where the elements of a panel are in the whole matrix, which is what their random bits depend on
 */
#ifndef MXQ_PLACES_H
#define MXQ_PLACES_H

#include <stdint.h>

/* Element (r, c) of the panel is number first + r * row_stride + c of the matrix, counted row after row, modulo 2^64. */
struct mxq_places {
    uint64_t first;
    uint64_t row_stride;
};

#endif /* MXQ_PLACES_H */
