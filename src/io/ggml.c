/* ggml.c - blocks of 17 bytes from units and scales, and back */
#include "io/ggml.h"

#define HALF (MXQ_BLOCK_NELEMS / 2)

static uint8_t get_code(const uint8_t unit[MXQ_UNIT_NBYTES], unsigned i)
{
    return i % 2 == 0 ? unit[i / 2] & 15 : unit[i / 2] >> 4;
}

/* Value i of a block. */
static uint8_t get_ggml_code(const uint8_t *qs, unsigned i)
{
    return i < HALF ? qs[i] & 15 : qs[i - HALF] >> 4;
}

void mxq_pack_ggml(const uint8_t *units, const uint8_t *scales, uint64_t nblocks, uint8_t *blocks)
{
    for (uint64_t n = 0; n < nblocks; n++, units += MXQ_UNIT_NBYTES, blocks += MXQ_GGML_BLOCK_NBYTES) {
        blocks[0] = scales[n];
        for (unsigned j = 0; j < HALF; j++)
            blocks[1 + j] = (uint8_t)(get_code(units, j) | get_code(units, j + HALF) << 4);
    }
}

void mxq_unpack_ggml(const uint8_t *blocks, uint64_t nblocks, uint8_t *units, uint8_t *scales)
{
    for (uint64_t n = 0; n < nblocks; n++, units += MXQ_UNIT_NBYTES, blocks += MXQ_GGML_BLOCK_NBYTES) {
        scales[n] = blocks[0];
        for (unsigned j = 0; j < MXQ_UNIT_NBYTES; j++)
            units[j] = (uint8_t)(get_ggml_code(blocks + 1, 2 * j) | get_ggml_code(blocks + 1, 2 * j + 1) << 4);
    }
}
