/*
 * neon.c - the variant for NEON of AArch64: tiles of 32 x 32 values, both directions from one look at the input
 *
 * A value travels as 16 bits: the upper half of its FP32 pattern, with the lowest bit set when anything in the lower half
 * is ("sticky"). That is BF16 as it is; and FP32, FP16 and Hadamard transforms lose nothing that matters, because every
 * threshold of a scale rule and of a code has zeros there: x > t and x >= t have the same answer for the 16 bits.
 *
 * Codes: let u be the magnitude bits, less those of the block's scale, such that 1.0 is at 128. The midpoints between codes
 * then lie at -128, 64, 160, 224, 288, 352 and 416, and with ties to even a midpoint goes up where bit 6 of u is set. So
 * t = u - 1 + bit 6 of u passes a midpoint exactly when the value is rounded up. All midpoints are multiples of 32, and a
 * block has nothing at or above 8.0, so (t + 160) / 32, with 0 for all that is below, is an index into a table of 32 codes.
 *
 * A tile at an edge of the matrix is filled up with zeros, and what is valid of its units is copied to the output. What is
 * rare is left to the scalar code, a tile at a time: infinities and NaNs, amax so small that midpoints would be subnormal,
 * or so large that the even rule leaves the range.
 */
#include "kernels/mxq_internal.h"

#if defined(__aarch64__) && defined(__ARM_NEON) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

#include <arm_neon.h>
#include <string.h>

#define TILE 32

/* Magnitudes from here on are left to the scalar code: infinities, NaNs and what the even rule calls huge. */
#define LARGEST_BITS 0x7f60

/* Scale bytes below this have subnormal midpoints. */
#define SMALLEST_BYTE 3

/* Bit patterns of a tile, row after row, and what both directions need of them. */
struct tile {
    uint16_t x[TILE][TILE]; /* sign and sticky magnitude, when they are made for this tile alone */
    uint16_t u[TILE][TILE]; /* magnitude, with bit 6 added when ties go to even */
    uint16_t row_max[TILE];
    uint16_t col_max[TILE];
};

/* Where the bits of a tile are. */
struct bits {
    const uint16_t *x;
    size_t stride;
};

/* ---------------------------------------------------------------------------------------------- magnitudes */

/* Magnitudes of 32 values from x on go to u; the largest of lanes 0, 8, 16 and 24, and so on, is returned. */
static inline uint16x8_t prepare_row(const uint16_t *x, bool ties_even, uint16_t *u, uint16x8_t col_max[4])
{
    uint16x8_t row_max = vdupq_n_u16(0);

    for (unsigned i = 0; i < 4; i++) {
        uint16x8_t m = vandq_u16(vld1q_u16(x + 8 * i), vdupq_n_u16(0x7fff));
        col_max[i] = vmaxq_u16(col_max[i], m);
        row_max = vmaxq_u16(row_max, m);
        if (ties_even)
            m = vaddq_u16(m, vandq_u16(vshrq_n_u16(m, 6), vdupq_n_u16(1)));
        vst1q_u16(u + 8 * i, m);
    }
    return row_max;
}

/* The largest of each of 8 vectors, in the order of the vectors. */
static inline uint16x8_t max_of_each(const uint16x8_t v[8])
{
    const uint16x8_t a = vpmaxq_u16(vpmaxq_u16(v[0], v[1]), vpmaxq_u16(v[2], v[3]));
    const uint16x8_t b = vpmaxq_u16(vpmaxq_u16(v[4], v[5]), vpmaxq_u16(v[6], v[7]));

    return vpmaxq_u16(a, b);
}

/* Fills in everything but x. */
static inline void prepare_tile(struct bits bits, bool ties_even, struct tile *tile)
{
    uint16x8_t col_max[4] = {vdupq_n_u16(0), vdupq_n_u16(0), vdupq_n_u16(0), vdupq_n_u16(0)};

    for (unsigned r = 0; r < TILE; r += 8) {
        uint16x8_t row_max[8];
        for (unsigned i = 0; i < 8; i++)
            row_max[i] = prepare_row(bits.x + (r + i) * bits.stride, ties_even, tile->u[r + i], col_max);
        vst1q_u16(tile->row_max + r, max_of_each(row_max));
    }
    for (unsigned i = 0; i < 4; i++)
        vst1q_u16(tile->col_max + 8 * i, col_max[i]);
}

/* ---------------------------------------------------------------------------------------------- scales */

/* What 32 blocks are scaled by: the bytes, and what is taken from u to leave t + 160. */
struct scales {
    uint8_t byte[TILE];
    uint16_t base[TILE];
};

/* A rule is the addition that carries into the exponent when the byte is one more than e - 2. */
static uint16_t carry_of(enum mxq_scale_rule rule)
{
    switch (rule) {
    case MXQ_SCALE_FLOOR:
        return 0;
    case MXQ_SCALE_CEIL:
        return 0x7f;
    case MXQ_SCALE_RCEIL:
        return 0x3f; /* amax / 6 is above 2^k from 1.5 * 2^(k + 2) on */
    case MXQ_SCALE_EVEN_ABOVE:
        return 0x1f;
    default: /* MXQ_SCALE_EVEN */
        return 0x20;
    }
}

/* False: one of the blocks is not for this variant. */
static inline bool find_scales(const struct mxq_recipe *recipe, const uint16_t amax[TILE], struct scales *scales)
{
    const uint16x8_t carry = vdupq_n_u16(carry_of(recipe->scale));
    /* Midpoints that go up exactly when passed are at t, the others at t + 1. */
    const uint16x8_t to_base = vdupq_n_u16(128 + 160 - (recipe->ties != MXQ_TIES_AWAY));
    uint16x8_t bad = vdupq_n_u16(0);

    for (unsigned i = 0; i < TILE; i += 8) {
        const uint16x8_t a = vld1q_u16(amax + i);
        const uint16x8_t rounded = vaddq_u16(a, carry);
        const uint16x8_t nonzero = vtstq_u16(a, a);
        const uint16x8_t small = vcltq_u16(rounded, vdupq_n_u16((SMALLEST_BYTE + 2) << 7));
        const uint16x8_t large = vcgeq_u16(a, vdupq_n_u16(LARGEST_BITS));
        /* Codes of zeros are zeros under any ordinary scale. */
        const uint16x8_t byte =
            vbslq_u16(nonzero, vsubq_u16(vshrq_n_u16(rounded, 7), vdupq_n_u16(2)), vdupq_n_u16(127));
        bad = vorrq_u16(bad, vorrq_u16(vandq_u16(nonzero, small), large));
        vst1q_u16(scales->base + i, vsubq_u16(vshlq_n_u16(byte, 7), to_base));
        vst1_u8(scales->byte + i, vmovn_u16(vbslq_u16(nonzero, byte, vdupq_n_u16(recipe->zero_byte))));
    }
    return vmaxvq_u16(bad) == 0;
}

static uint8_t largest_byte(const struct scales *scales)
{
    return vmaxvq_u8(vmaxq_u8(vld1q_u8(scales->byte), vld1q_u8(scales->byte + 16)));
}

/*
 * The rules that look at the sign of the scaled value need it not to vanish in FP32 unless it is 0: no value but 0 of
 * 2^(byte - 277) or less. Sticky bits cannot tell such small numbers apart, so whoever has one is left out.
 */
static bool signs_are_plain(const struct mxq_recipe *recipe, const struct tile *tile, const struct scales *scales)
{
    const int largest = largest_byte(scales);
    /* The exponent field of 2^(byte - 277) is byte - 150, or 0 where that is subnormal. */
    const int exponent = largest > 149 ? largest - 149 : 0;
    uint16x8_t least = vdupq_n_u16(0xffff);

    if (recipe->sign == MXQ_SIGN_KEEP || recipe->sign == MXQ_SIGN_DROP || largest <= 127)
        return true;
    for (unsigned r = 0; r < TILE; r++) /* zeros become the largest */
        for (unsigned c = 0; c < TILE; c += 8)
            least = vminq_u16(least, vsubq_u16(vld1q_u16(tile->u[r] + c), vdupq_n_u16(1)));
    return vminvq_u16(least) >> 7 > exponent;
}

/* ---------------------------------------------------------------------------------------------- codes */

/* Codes without signs of 16 values, from their u and the base of each. */
static inline uint8x16_t find_codes(uint16x8_t u0, uint16x8_t u1, uint16x8_t base0, uint16x8_t base1)
{
    static const uint8_t table[32] = {0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5,
                                      6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    const uint8x16x2_t codes = {{vld1q_u8(table), vld1q_u8(table + 16)}};
    const uint8x8_t low = vshrn_n_u16(vqsubq_u16(u0, base0), 5);

    return vqtbl2q_u8(codes, vshrn_high_n_u16(low, vqsubq_u16(u1, base1), 5));
}

/* Puts the sign bits of x0 and x1 into bit 3 of the codes, as the rule says. */
static inline uint8x16_t add_signs(enum mxq_sign rule, uint8x16_t codes, uint16x8_t x0, uint16x8_t x1)
{
    const uint16x8_t magnitude = vdupq_n_u16(0x7fff);
    uint8x16_t sign = vshrq_n_u8(vuzp2q_u8(vreinterpretq_u8_u16(x0), vreinterpretq_u8_u16(x1)), 7);
    uint8x16_t nonzero;

    if (rule == MXQ_SIGN_KEEP)
        return vsliq_n_u8(codes, sign, 3);
    if (rule == MXQ_SIGN_DROP)
        return vsliq_n_u8(codes, vandq_u8(sign, vtstq_u8(codes, codes)), 3);
    nonzero = vuzp1q_u8(vreinterpretq_u8_u16(vtstq_u16(x0, magnitude)), vreinterpretq_u8_u16(vtstq_u16(x1, magnitude)));
    if (rule == MXQ_SIGN_VALUE)
        sign = vandq_u8(sign, nonzero);
    else
        sign = vornq_u8(sign, nonzero);
    return vsliq_n_u8(codes, sign, 3);
}

/* ---------------------------------------------------------------------------------------------- rowwise */

/* Where units of a tile go: unit i of its 32 at data + (i / 16) * far + (i % 16) * near. */
struct places {
    uint8_t *data;
    uint64_t near;
    uint64_t far;
};

static inline void store_unit(const struct places *p, unsigned i, uint8x16_t unit)
{
    vst1q_u8(p->data + i / 16 * p->far + i % 16 * p->near, unit);
}

/* Codes with signs of 16 values of a row. */
static inline uint8x16_t encode_half_row(enum mxq_sign rule, const uint16_t *x, const uint16_t *u, uint16x8_t base)
{
    const uint8x16_t codes = find_codes(vld1q_u16(u), vld1q_u16(u + 8), base, base);

    return add_signs(rule, codes, vld1q_u16(x), vld1q_u16(x + 8));
}

static inline void encode_rows(enum mxq_sign rule, struct bits bits, const struct tile *tile,
                               const struct scales *scales, const struct places *places)
{
    for (unsigned row = 0; row < TILE; row++) {
        const uint16x8_t base = vld1q_dup_u16(scales->base + row);
        const uint16_t *x = bits.x + row * bits.stride;
        const uint8x16_t a = encode_half_row(rule, x, tile->u[row], base);
        const uint8x16_t b = encode_half_row(rule, x + 16, tile->u[row] + 16, base);
        store_unit(places, row, vsliq_n_u8(vuzp1q_u8(a, b), vuzp2q_u8(a, b), 4));
    }
}

/* ---------------------------------------------------------------------------------------------- columnwise */

/* Codes with signs of 16 columns of one row. */
static inline uint8x16_t encode_part_row(enum mxq_sign rule, struct bits bits, const struct tile *tile,
                                         const uint16x8_t base[2], unsigned row, unsigned col)
{
    const uint16_t *x = bits.x + row * bits.stride + col;
    const uint16_t *u = tile->u[row] + col;
    const uint8x16_t codes = find_codes(vld1q_u16(u), vld1q_u16(u + 8), base[0], base[1]);

    return add_signs(rule, codes, vld1q_u16(x), vld1q_u16(x + 8));
}

/* Zipping each vector of the first half with its peer of the second, four times, turns rows of bytes into columns. */
static inline void transpose_bytes(uint8x16_t v[16])
{
    for (unsigned round = 0; round < 4; round++) {
        uint8x16_t w[16];
        for (unsigned i = 0; i < 8; i++) {
            w[2 * i] = vzip1q_u8(v[i], v[i + 8]);
            w[2 * i + 1] = vzip2q_u8(v[i], v[i + 8]);
        }
        for (unsigned i = 0; i < 16; i++)
            v[i] = w[i];
    }
}

static inline void encode_cols(enum mxq_sign rule, struct bits bits, const struct tile *tile,
                               const struct scales *scales, const struct places *places)
{
    for (unsigned col = 0; col < TILE; col += 16) {
        const uint16x8_t base[2] = {vld1q_u16(scales->base + col), vld1q_u16(scales->base + col + 8)};
        uint8x16_t v[16];
        for (unsigned i = 0; i < 16; i++) {
            const uint8x16_t low = encode_part_row(rule, bits, tile, base, 2 * i, col);
            const uint8x16_t high = encode_part_row(rule, bits, tile, base, 2 * i + 1, col);
            v[i] = vsliq_n_u8(low, high, 4);
        }
        transpose_bytes(v);
        for (unsigned i = 0; i < 16; i++)
            store_unit(places, col + i, v[i]);
    }
}

/* ---------------------------------------------------------------------------------------------- output of a tile */

static struct places find_places(const struct mxq_target *target, uint64_t row, uint64_t block)
{
    struct places p;

    p.data = target->data + mxq_data_offset(target->data_layout, target->data_pitch, row, block);
    p.near = target->data_layout == MXQ_LINEAR ? target->data_pitch : MXQ_UNIT_NBYTES;
    p.far = target->data_layout == MXQ_LINEAR ? 16 * target->data_pitch : target->data_pitch;
    return p;
}

/* In AITER's layout the bytes of rows that are 16 apart lie side by side, in every fourth place. */
static void store_scales(const struct mxq_target *target, uint64_t row, uint64_t block, const uint8_t byte[TILE])
{
    uint8_t *at = target->scale + mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block);

    if (target->scale_layout == MXQ_LINEAR) {
        for (unsigned i = 0; i < TILE; i++)
            at[i * target->scale_pitch] = byte[i];
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        at[4 * i] = byte[i];
        at[4 * i + 1] = byte[i + 16];
    }
}

/* What of a tile is inside the matrix, as one direction sees it: both are at most 32. */
struct valid {
    unsigned rows;
    unsigned values; /* of each block */
};

static unsigned at_most_tile(uint64_t n)
{
    return n < TILE ? (unsigned)n : TILE;
}

static struct valid find_valid(const struct mxq_matrix *matrix, enum mxq_direction direction, uint64_t row,
                               uint64_t block)
{
    const bool rowwise = direction == MXQ_ROWWISE;
    const struct valid valid = {
        at_most_tile((rowwise ? matrix->rows : matrix->cols) - row),
        at_most_tile((rowwise ? matrix->cols : matrix->rows) - block * MXQ_BLOCK_NELEMS),
    };

    return valid;
}

/* Zeros that fill up a block may have become code 8, but codes behind the last value are 0. */
static void clear_codes(uint8_t unit[MXQ_UNIT_NBYTES], unsigned first)
{
    if (first % 2 != 0)
        unit[first / 2] &= 0x0f;
    memset(unit + (first + 1) / 2, 0, MXQ_UNIT_NBYTES - (first + 1) / 2);
}

/* Copies what is valid of the units of a tile at an edge to where it belongs. */
static void copy_valid(const struct mxq_target *target, bool transformed, struct valid valid, uint64_t row,
                       uint64_t block, uint8_t units[TILE][MXQ_UNIT_NBYTES], const uint8_t byte[TILE])
{
    const unsigned nbytes = mxq_unit_nbytes(target->data_layout, valid.values, 0);

    for (unsigned i = 0; i < valid.rows; i++) {
        /* A transform makes 32 values out of fewer. */
        if (!transformed)
            clear_codes(units[i], valid.values);
        memcpy(target->data + mxq_data_offset(target->data_layout, target->data_pitch, row + i, block), units[i],
               nbytes);
        target->scale[mxq_scale_offset(target->scale_layout, target->scale_pitch, row + i, block)] = byte[i];
    }
}

static inline void encode_units(enum mxq_direction direction, enum mxq_sign rule, struct bits bits,
                                const struct tile *tile, const struct scales *scales, const struct places *places)
{
    if (direction == MXQ_ROWWISE && rule == MXQ_SIGN_KEEP)
        encode_rows(MXQ_SIGN_KEEP, bits, tile, scales, places);
    else if (direction == MXQ_ROWWISE)
        encode_rows(rule, bits, tile, scales, places);
    else if (rule == MXQ_SIGN_KEEP)
        encode_cols(MXQ_SIGN_KEEP, bits, tile, scales, places);
    else
        encode_cols(rule, bits, tile, scales, places);
}

static void encode_direction(const struct mxq_task *task, enum mxq_direction direction, struct bits bits,
                             const struct tile *tile, const struct scales *scales, uint64_t row, uint64_t block)
{
    const struct mxq_target *target = &task->target[direction];
    const struct mxq_recipe *recipe = task->recipe;
    const struct valid valid = find_valid(task->matrix, direction, row, block);
    const bool full = valid.rows == TILE && valid.values == TILE;
    uint8_t units[TILE][MXQ_UNIT_NBYTES];
    const struct places scratch = {units[0], MXQ_UNIT_NBYTES, 16 * MXQ_UNIT_NBYTES};
    const struct places places = full ? find_places(target, row, block) : scratch;

    encode_units(direction, recipe->sign, bits, tile, scales, &places);
    if (full)
        store_scales(target, row, block, scales->byte);
    else
        copy_valid(target, recipe->hadamard_nelems != 0, valid, row, block, units, scales->byte);
}

/* False: nothing was written. */
static bool quantize_bits(const struct mxq_task *task, struct bits bits, struct tile *tile, uint64_t row0,
                          uint64_t col0, const bool wanted[MXQ_NUM_DIRECTIONS])
{
    const struct mxq_recipe *recipe = task->recipe;
    uint16_t *const amax[MXQ_NUM_DIRECTIONS] = {tile->row_max, tile->col_max};
    struct scales scales[MXQ_NUM_DIRECTIONS];

    if (recipe->ties == MXQ_TIES_EVEN)
        prepare_tile(bits, true, tile);
    else
        prepare_tile(bits, false, tile);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        mxq_settle_amax(recipe, amax[d]);
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (wanted[d] && !(find_scales(recipe, amax[d], &scales[d]) && signs_are_plain(recipe, tile, &scales[d])))
            return false;
    if (wanted[MXQ_ROWWISE])
        encode_direction(task, MXQ_ROWWISE, bits, tile, &scales[MXQ_ROWWISE], row0, col0 / TILE);
    if (wanted[MXQ_COLUMNWISE])
        encode_direction(task, MXQ_COLUMNWISE, bits, tile, &scales[MXQ_COLUMNWISE], col0, row0 / TILE);
    return true;
}

/* ---------------------------------------------------------------------------------------------- input */

static inline size_t nbytes_of(enum mxq_dtype dtype)
{
    return dtype == MXQ_F32 ? 4 : 2;
}

static inline const char *address_of(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
{
    return (const char *)matrix->data + (row * matrix->row_stride + col) * nbytes_of(matrix->dtype);
}

static inline float32x4_t load_4(enum mxq_dtype dtype, const char *from)
{
    uint16x4_t half;

    if (dtype == MXQ_F32)
        return vld1q_f32((const float *)(const void *)from);
    half = vld1_u16((const uint16_t *)(const void *)from);
    if (dtype == MXQ_F16)
        return vcvt_f32_f16(vreinterpret_f16_u16(half));
    return vreinterpretq_f32_u32(vshll_n_u16(half, 16));
}

/* FP32 patterns of 8 values to 16 bits each: the upper halves, with sticky bits for the lower ones. */
static inline uint16x8_t narrow(float32x4_t a, float32x4_t b)
{
    const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_f32(a), vreinterpretq_u16_f32(b));
    const uint16x8_t high = vuzp2q_u16(vreinterpretq_u16_f32(a), vreinterpretq_u16_f32(b));

    return vorrq_u16(high, vminq_u16(low, vdupq_n_u16(1)));
}

/* Columns of a strip that are staged at once: 32 rows of them, as 16 bits, fit the L1. */
#define STAGE_COLS 512

/* Rows begin in different sets of the cache, whatever is a power of two outside. */
#define STAGE_STRIDE (STAGE_COLS + TILE)

/* 32 values to 16 bits each. */
static inline void stage_values(enum mxq_dtype dtype, const char *from, uint16_t *to)
{
    if (dtype == MXQ_BF16) {
        memcpy(to, from, TILE * sizeof(*to));
        return;
    }
    for (unsigned i = 0; i < TILE; i += 8) {
        const char *at = from + i * nbytes_of(dtype);
        vst1q_u16(to + i, narrow(load_4(dtype, at), load_4(dtype, at + 4 * nbytes_of(dtype))));
    }
}

/* Values of one row, filled up with zeros to a multiple of 32. */
static void stage_row(enum mxq_dtype dtype, const char *from, uint64_t cols, uint16_t *to)
{
    const size_t elem = nbytes_of(dtype);
    const uint64_t rest = cols % TILE;
    uint32_t padded[TILE] = {0};

    for (uint64_t c = 0; c < cols - rest; c += TILE) {
        __builtin_prefetch(from + (c + STAGE_COLS) * elem);
        stage_values(dtype, from + c * elem, to + c);
    }
    if (rest == 0)
        return;
    memcpy(padded, from + (cols - rest) * elem, rest * elem);
    stage_values(dtype, (const char *)padded, to + cols - rest);
}

/*
 * Brings tiles of 32 rows and up to STAGE_COLS columns together, row after row, filled up with zeros. Tiles read in place
 * would touch a page for each row, and rows a power of two apart would push each other out of the cache.
 */
static void stage_strip(const struct mxq_matrix *matrix, uint64_t row0, uint64_t col0, uint64_t cols, uint16_t *stage)
{
    const unsigned rows = at_most_tile(matrix->rows - row0);

    for (unsigned r = 0; r < rows; r++)
        stage_row(matrix->dtype, address_of(matrix, row0 + r, col0), cols, stage + r * STAGE_STRIDE);
    for (unsigned r = rows; r < TILE; r++)
        memset(stage + r * STAGE_STRIDE, 0, STAGE_STRIDE * sizeof(*stage));
}

/* ---------------------------------------------------------------------------------------------- Hadamard */

/* The values of a tile, all 32 x 32 of them. */
struct values {
    enum mxq_dtype dtype;
    const char *at;
    uint64_t pitch_nbytes;
};

static inline float32x4_t load_values(const struct values *values, unsigned row, unsigned col)
{
    return load_4(values->dtype, values->at + row * values->pitch_nbytes + col * nbytes_of(values->dtype));
}

/* A full tile stays where it is; one at an edge is copied to padded, among zeros. */
static struct values find_values(const struct mxq_matrix *matrix, uint64_t row0, uint64_t col0,
                                 uint32_t padded[TILE][TILE])
{
    const size_t elem = nbytes_of(matrix->dtype);
    const unsigned rows = at_most_tile(matrix->rows - row0);
    const unsigned cols = at_most_tile(matrix->cols - col0);
    struct values values = {matrix->dtype, address_of(matrix, row0, col0), matrix->row_stride * elem};

    if (rows == TILE && cols == TILE)
        return values;
    memset(padded, 0, TILE * sizeof(*padded));
    for (unsigned r = 0; r < rows; r++)
        memcpy(padded[r], address_of(matrix, row0 + r, col0), cols * elem);
    values.at = (const char *)padded;
    values.pitch_nbytes = sizeof(*padded);
    return values;
}

/* Bits first to first + 3 of signs negate four values. */
static inline float32x4_t flip_each(float32x4_t x, uint32_t signs, unsigned first)
{
    static const int32_t to_top[4] = {31, 30, 29, 28};
    const uint32x4_t moved = vshlq_u32(vdupq_n_u32(signs >> first), vld1q_s32(to_top));

    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), vandq_u32(moved, vdupq_n_u32(0x80000000u))));
}

/*
 * 16 values of a row in four vectors. Each round adds and subtracts values whose numbers differ in bit 0 alone and leaves
 * their numbers rotated by one bit: the next round meets them at the next stride, and after four all are back in order.
 */
static inline void transform_row(float32x4_t v[4])
{
    for (unsigned round = 0; round < 4; round++) {
        const float32x4_t even0 = vuzp1q_f32(v[0], v[1]);
        const float32x4_t even1 = vuzp1q_f32(v[2], v[3]);
        const float32x4_t odd0 = vuzp2q_f32(v[0], v[1]);
        const float32x4_t odd1 = vuzp2q_f32(v[2], v[3]);
        v[0] = vaddq_f32(even0, odd0);
        v[1] = vaddq_f32(even1, odd1);
        v[2] = vsubq_f32(even0, odd0);
        v[3] = vsubq_f32(even1, odd1);
    }
    for (unsigned i = 0; i < 4; i++)
        v[i] = vmulq_n_f32(v[i], 0.25f);
}

static struct bits transform_rows(const struct values *values, uint32_t signs, struct tile *tile)
{
    const struct bits bits = {tile->x[0], TILE};

    for (unsigned r = 0; r < TILE; r++) {
        for (unsigned c = 0; c < TILE; c += 16) {
            float32x4_t v[4];
            for (unsigned i = 0; i < 4; i++)
                v[i] = flip_each(load_values(values, r, c + 4 * i), signs, c + 4 * i);
            transform_row(v);
            vst1q_u16(tile->x[r] + c, narrow(v[0], v[1]));
            vst1q_u16(tile->x[r] + c + 8, narrow(v[2], v[3]));
        }
    }
    return bits;
}

/* 16 rows of 4 columns. */
static inline void transform_col(float32x4_t v[16])
{
    for (unsigned stride = 1; stride < 16; stride *= 2) {
        for (unsigned i = 0; i < 16; i++) {
            if (i & stride)
                continue;
            const float32x4_t a = v[i];
            const float32x4_t b = v[i + stride];
            v[i] = vaddq_f32(a, b);
            v[i + stride] = vsubq_f32(a, b);
        }
    }
    for (unsigned i = 0; i < 16; i++)
        v[i] = vmulq_n_f32(v[i], 0.25f);
}

/* 16 rows of 4 columns from (row, col) on. */
static inline void load_col(const struct values *values, uint32_t signs, unsigned row, unsigned col, float32x4_t v[16])
{
    for (unsigned i = 0; i < 16; i++) {
        const uint32x4_t flip = vdupq_n_u32((signs >> (row + i) & 1) << 31);
        v[i] = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(load_values(values, row + i, col)), flip));
    }
    transform_col(v);
}

static struct bits transform_cols(const struct values *values, uint32_t signs, struct tile *tile)
{
    const struct bits bits = {tile->x[0], TILE};

    for (unsigned r = 0; r < TILE; r += 16) {
        for (unsigned c = 0; c < TILE; c += 8) {
            float32x4_t a[16], b[16];
            load_col(values, signs, r, c, a);
            load_col(values, signs, r, c + 4, b);
            for (unsigned i = 0; i < 16; i++)
                vst1q_u16(tile->x[r + i] + c, narrow(a[i], b[i]));
        }
    }
    return bits;
}

/* ---------------------------------------------------------------------------------------------- panels */

/* Each direction has a transform of its own. Returns whether the tile has an infinity or a NaN. */
static bool quantize_transformed(const struct mxq_task *task, struct tile *tile, uint64_t row0, uint64_t col0)
{
    const uint32_t signs = task->recipe->hadamard_signs[0];
    uint32_t padded[TILE][TILE];
    const struct values values = find_values(task->matrix, row0, col0, padded);
    bool nonfinite = false;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const bool wanted[MXQ_NUM_DIRECTIONS] = {d == MXQ_ROWWISE, d == MXQ_COLUMNWISE};
        struct bits bits;
        if (!task->target[d].wanted)
            continue;
        bits = d == MXQ_ROWWISE ? transform_rows(&values, signs, tile) : transform_cols(&values, signs, tile);
        if (!quantize_bits(task, bits, tile, row0, col0, wanted))
            nonfinite |= mxq_quantize_tile(task, d, row0, col0);
    }
    return nonfinite;
}

static bool quantize_plain(const struct mxq_task *task, struct tile *tile, struct bits bits, uint64_t row0,
                           uint64_t col0)
{
    const bool wanted[MXQ_NUM_DIRECTIONS] = {task->target[MXQ_ROWWISE].wanted, task->target[MXQ_COLUMNWISE].wanted};
    bool nonfinite = false;

    if (quantize_bits(task, bits, tile, row0, col0, wanted))
        return false;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (wanted[d])
            nonfinite |= mxq_quantize_tile(task, d, row0, col0);
    return nonfinite;
}

static bool quantize_strip(const struct mxq_task *task, struct tile *tile, uint16_t *stage, uint64_t row0,
                           uint64_t col0, uint64_t cols)
{
    bool nonfinite = false;

    if (task->recipe->hadamard_nelems == 0)
        stage_strip(task->matrix, row0, col0, cols, stage);
    for (uint64_t c = 0; c < cols; c += TILE) {
        const struct bits bits = {stage + c, STAGE_STRIDE};
        if (task->recipe->hadamard_nelems != 0)
            nonfinite |= quantize_transformed(task, tile, row0, col0 + c);
        else
            nonfinite |= quantize_plain(task, tile, bits, row0, col0 + c);
    }
    return nonfinite;
}

static bool quantize_panel(const struct mxq_task *task)
{
    const struct mxq_matrix *matrix = task->matrix;
    uint16_t stage[TILE * STAGE_STRIDE];
    struct tile tile;
    bool nonfinite = false;

    for (uint64_t row = 0; row < matrix->rows; row += TILE) {
        for (uint64_t col = 0; col < matrix->cols; col += STAGE_COLS) {
            const uint64_t cols = matrix->cols - col < STAGE_COLS ? matrix->cols - col : STAGE_COLS;
            nonfinite |= quantize_strip(task, &tile, stage, row, col, cols);
        }
    }
    return nonfinite;
}

static bool runs_here(void)
{
    return mxq_cpu_has("asimd");
}

#else

static bool quantize_panel(const struct mxq_task *task)
{
    (void)task;
    return false;
}

static bool runs_here(void)
{
    return false;
}

#endif

const struct mxq_kernel mxq_kernel_neon = {
    .name = "neon",
    .summary = "NEON of AArch64, tiles of 32 x 32",
    .runs_here = runs_here,
    .takes = mxq_recipe_is_for_squares,
    .quantize_panel = quantize_panel,
};
