/*
 * fp8_blocks.h - the values of FP8 E4M3 elements that have one scale for each block of a matrix
 *
 * DeepSeek-V3 and Kimi publish weights so: F8_E4M3 elements, and weight_scale_inv with one scale for 128 x 128 of them. A
 * value is the product in FP32 of element and scale; both are exact there, so it is rounded once. DeepSeek's own
 * weight_dequant() then stores BF16 and Quark's file-to-file mode quantizes what it has in FP32. So there are both: FP32
 * for what is quantized, which spares a rounding, and BF16, to the nearest and ties to even, for what is only copied.
 *
 * E4M3 here is the "FN" kind: no infinities, 0x7f and 0xff are NaN, which makes the positive quiet NaN of either type.
 */
#ifndef MXQ_FP8_BLOCKS_H
#define MXQ_FP8_BLOCKS_H

#include "kernels/mxq.h"

#include <stdint.h>

/* A rectangle of a matrix that is divided into blocks. */
struct mxq_fp8_panel {
    const uint8_t *codes; /* panel.rows x panel.cols, without gaps */
    struct mxq_panel panel;
    uint64_t block_rows;
    uint64_t block_cols;
    const float *scales; /* from the block row on that holds the panel's first row; all columns of blocks */
    uint64_t scale_stride;
};

/* dtype is MXQ_F32 or MXQ_BF16: as many values of it as there are codes, without gaps. */
void mxq_widen_fp8_panel(const struct mxq_fp8_panel *in, enum mxq_dtype dtype, void *values);

/* The value of one element. */
float mxq_widen_e4m3(uint8_t code);

#endif /* MXQ_FP8_BLOCKS_H */
