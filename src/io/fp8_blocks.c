/*
 * fp8_blocks.c - the values of FP8 E4M3 elements that have one scale for each block of a matrix
 *
 * There are 256 elements and 16,384 of them in an ordinary block, so a block's products are computed once, as a table.
 */
#include "io/fp8_blocks.h"

#include <string.h>

#define NUM_CODES 256
#define QUIET_NAN 0x7fc00000u

static float value_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

float mxq_widen_e4m3(uint8_t code)
{
    const uint32_t sign = (uint32_t)(code & 0x80u) << 24;
    const uint32_t exponent = code >> 3 & 15u;
    const uint32_t fraction = code & 7u;

    if ((code & 0x7fu) == 0x7fu)
        return value_of(QUIET_NAN);
    if (exponent == 0) /* 2^-9 times the fraction */
        return value_of(sign | bits_of((float)fraction * 0x1p-9f));
    return value_of(sign | (exponent + 120) << 23 | fraction << 20);
}

/* To the nearest BF16, ties to even; what is too large becomes infinite. */
static uint16_t round_to_bf16(float value)
{
    const uint32_t bits = bits_of(value);

    if (value != value)
        return QUIET_NAN >> 16;
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* What the elements of a block stand for. */
struct table {
    float f32[NUM_CODES];
    uint16_t bf16[NUM_CODES];
};

static void fill_table(struct table *table, float scale, enum mxq_dtype dtype)
{
    for (unsigned i = 0; i < NUM_CODES; i++) {
        const float product = mxq_widen_e4m3((uint8_t)i) * scale;
        table->f32[i] = product != product ? value_of(QUIET_NAN) : product;
        if (dtype == MXQ_BF16)
            table->bf16[i] = round_to_bf16(product);
    }
}

static void look_up(const struct table *table, const uint8_t *codes, uint64_t n, enum mxq_dtype dtype, void *values,
                    uint64_t first)
{
    if (dtype == MXQ_BF16) {
        uint16_t *to = (uint16_t *)values + first;
        for (uint64_t i = 0; i < n; i++)
            to[i] = table->bf16[codes[i]];
    } else {
        float *to = (float *)values + first;
        for (uint64_t i = 0; i < n; i++)
            to[i] = table->f32[codes[i]];
    }
}

/* How many of left rows, or columns, from position on are in the same block. */
static uint64_t rest_of_block(uint64_t position, uint64_t block, uint64_t left)
{
    const uint64_t rest = block - position % block;

    return rest < left ? rest : left;
}

void mxq_widen_fp8_panel(const struct mxq_fp8_panel *in, enum mxq_dtype dtype, void *values)
{
    const struct mxq_panel *p = &in->panel;
    struct table table;
    uint64_t high, wide;

    for (uint64_t row = 0; row < p->rows; row += high) {
        const uint64_t block_row = (p->row0 + row) / in->block_rows - p->row0 / in->block_rows;
        high = rest_of_block(p->row0 + row, in->block_rows, p->rows - row);
        for (uint64_t col = 0; col < p->cols; col += wide) {
            wide = rest_of_block(p->col0 + col, in->block_cols, p->cols - col);
            fill_table(&table, in->scales[block_row * in->scale_stride + (p->col0 + col) / in->block_cols], dtype);
            for (uint64_t r = row; r < row + high; r++)
                look_up(&table, in->codes + r * p->cols + col, wide, dtype, values, r * p->cols + col);
        }
    }
}
