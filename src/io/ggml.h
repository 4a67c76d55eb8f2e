/*
 * ggml.h - the MXFP4 blocks of ggml (llama.cpp, GGUF): 17 bytes each, the scale byte first
 *
 * A stream is block after block, row after row, without anything else; rows are whole blocks. Byte j of the 16 that follow
 * the scale has value j of the block in its low nibble and value j + 16 in its high one, where our units pair neighbours.
 * Codes and scale bytes mean the same as ours, but that ggml has no NaN: its checks refuse the byte 255. Its quantizer
 * never makes code 8, which it decodes as a zero like any reader.
 */
#ifndef MXQ_GGML_H
#define MXQ_GGML_H

#include "kernels/mxq.h"

#define MXQ_GGML_BLOCK_NBYTES 17

/* nblocks units of codes and as many scale bytes, as mxq_load_units() gives them, into blocks. */
void mxq_pack_ggml(const uint8_t *units, const uint8_t *scales, uint64_t nblocks, uint8_t *blocks);

/* And back. */
void mxq_unpack_ggml(const uint8_t *blocks, uint64_t nblocks, uint8_t *units, uint8_t *scales);

#endif /* MXQ_GGML_H */
