/*
 * avx2.c - the variant for AVX2 with F16C: tiles of 32 x 32 values, both directions from one look at the input
 *
 * A value travels as 16 bits: the upper half of its FP32 pattern, with the lowest bit set when anything in the lower half
 * is ("sticky"). That is BF16 as it is; and FP32, FP16 and Hadamard transforms lose nothing that matters, because every
 * threshold of a scale rule and of a code has zeros there: x > t and x >= t have the same answer for the 16 bits.
 *
 * Codes: let u be the magnitude bits, less those of the block's scale, such that 1.0 is at 128. The midpoints between codes
 * then lie at -128, 64, 160, 224, 288, 352 and 416, and with ties to even a midpoint goes up where bit 6 of u is set. So
 * t = u - 1 + bit 6 of u passes a midpoint exactly when the value is rounded up, and t >> 5 fits a byte: a table look-up
 * with 16 places and one comparison for the last midpoint give the code. Bit 6 does not depend on the scale, so it is
 * added once for both directions.
 *
 * What is rare is left to the scalar code, a tile at a time: edges of the matrix, infinities and NaNs, amax so small that
 * midpoints would be subnormal, or so large that the even rule leaves the range.
 */
#include "kernels/measure_run.h"
#include "kernels/square.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TILE 32

/* Magnitudes from here on are left to the scalar code: infinities, NaNs and what the even rule calls huge. */
#define LARGEST_BITS 0x7f60

/* Scale bytes below this have subnormal midpoints. */
#define SMALLEST_BYTE 3

/* Bit patterns of a tile, row after row, and what both directions need of them. */
struct tile {
    _Alignas(64) uint16_t x[TILE][TILE]; /* sign and sticky magnitude, where the matrix does not have them */
    _Alignas(64) uint16_t u[TILE][TILE]; /* magnitude, with bit 6 added when ties go to even */
    _Alignas(32) uint16_t row_max[TILE];
    _Alignas(32) uint16_t col_max[TILE];
};

/* Where the bits of a tile are. */
struct bits {
    const uint16_t *x;
    size_t stride;
};

static inline __m256i load(const uint16_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline void store(uint16_t *to, __m256i v)
{
    _mm256_storeu_si256((__m256i *)(void *)to, v);
}

/* ---------------------------------------------------------------------------------------------- magnitudes */

/* The largest of each of 16 vectors, in the order of the vectors. */
static inline __m256i max_of_rows(const __m256i v[16])
{
    __m256i a[8], b[4], c[2], low, high;

    /* Unpacking in halves leaves, in each 128-bit lane, rows i and i + 8 in turn, then i, i + 4, ..., then all evens. */
    for (unsigned i = 0; i < 8; i++)
        a[i] = _mm256_max_epu16(_mm256_unpacklo_epi16(v[i], v[i + 8]), _mm256_unpackhi_epi16(v[i], v[i + 8]));
    for (unsigned i = 0; i < 4; i++)
        b[i] = _mm256_max_epu16(_mm256_unpacklo_epi16(a[i], a[i + 4]), _mm256_unpackhi_epi16(a[i], a[i + 4]));
    for (unsigned i = 0; i < 2; i++)
        c[i] = _mm256_max_epu16(_mm256_unpacklo_epi16(b[i], b[i + 2]), _mm256_unpackhi_epi16(b[i], b[i + 2]));
    low = _mm256_unpacklo_epi16(c[0], c[1]);
    high = _mm256_unpackhi_epi16(c[0], c[1]);
    return _mm256_max_epu16(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
}

/* Fills in everything but x. */
static inline void prepare_tile(struct bits bits, bool ties_even, struct tile *tile)
{
    const __m256i magnitude = _mm256_set1_epi16(0x7fff);
    const __m256i one = _mm256_set1_epi16(1);
    __m256i col0 = _mm256_setzero_si256();
    __m256i col1 = _mm256_setzero_si256();

    for (unsigned half = 0; half < TILE; half += 16) {
        __m256i row[16];
        for (unsigned i = 0; i < 16; i++) {
            const uint16_t *x = bits.x + (half + i) * bits.stride;
            __m256i m0 = _mm256_and_si256(load(x), magnitude);
            __m256i m1 = _mm256_and_si256(load(x + 16), magnitude);
            col0 = _mm256_max_epu16(col0, m0);
            col1 = _mm256_max_epu16(col1, m1);
            row[i] = _mm256_max_epu16(m0, m1);
            if (ties_even) {
                m0 = _mm256_add_epi16(m0, _mm256_and_si256(_mm256_srli_epi16(m0, 6), one));
                m1 = _mm256_add_epi16(m1, _mm256_and_si256(_mm256_srli_epi16(m1, 6), one));
            }
            store(tile->u[half + i], m0);
            store(tile->u[half + i] + 16, m1);
        }
        store(tile->row_max + half, max_of_rows(row));
    }
    store(tile->col_max, col0);
    store(tile->col_max + 16, col1);
}

/* ---------------------------------------------------------------------------------------------- scales */

/* What 32 blocks are scaled by: the bytes, and what is taken from u before it is shifted. */
struct scales {
    _Alignas(32) uint16_t byte[TILE];
    _Alignas(32) uint16_t base[TILE];
};

/* A rule is the addition that carries into the exponent when the byte is one more than e - 2. */
static int16_t carry_of(enum mxq_scale_rule rule)
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
    const __m256i carry = _mm256_set1_epi16(carry_of(recipe->scale));
    const __m256i zero_byte = _mm256_set1_epi16(recipe->zero_byte);
    /* Midpoints that go up exactly when passed are at t, the others at t + 1. */
    const __m256i to_base = _mm256_set1_epi16((short)(-128 + (recipe->ties != MXQ_TIES_AWAY)));
    __m256i bad = _mm256_setzero_si256();

    for (unsigned i = 0; i < TILE; i += 16) {
        const __m256i a = load(amax + i);
        const __m256i rounded = _mm256_add_epi16(a, carry);
        const __m256i zero = _mm256_cmpeq_epi16(a, _mm256_setzero_si256());
        const __m256i small = _mm256_cmpgt_epi16(_mm256_set1_epi16((SMALLEST_BYTE + 2) << 7), rounded);
        const __m256i large = _mm256_cmpgt_epi16(a, _mm256_set1_epi16(LARGEST_BITS - 1));
        __m256i byte = _mm256_sub_epi16(_mm256_srli_epi16(rounded, 7), _mm256_set1_epi16(2));
        bad = _mm256_or_si256(bad, _mm256_or_si256(_mm256_andnot_si256(zero, small), large));
        /* Codes of zeros are zeros under any ordinary scale. */
        byte = _mm256_blendv_epi8(byte, _mm256_set1_epi16(127), zero);
        store(scales->base + i, _mm256_add_epi16(_mm256_slli_epi16(byte, 7), to_base));
        store(scales->byte + i, _mm256_blendv_epi8(byte, zero_byte, zero));
    }
    return _mm256_testz_si256(bad, bad) != 0;
}

/* ---------------------------------------------------------------------------------------------- codes */

/* Codes without signs of 32 values, from two vectors of t; in the order that packing leaves. */
static inline __m256i find_codes(__m256i t0, __m256i t1)
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6));
    const __m256i q = _mm256_packs_epi16(_mm256_srai_epi16(t0, 5), _mm256_srai_epi16(t1, 5));
    const __m256i place = _mm256_min_epi8(_mm256_adds_epi8(q, _mm256_set1_epi8(4)), _mm256_set1_epi8(15));
    const __m256i is_six = _mm256_cmpgt_epi8(q, _mm256_set1_epi8(12));

    return _mm256_sub_epi8(_mm256_shuffle_epi8(table, place), is_six);
}

/* Puts the sign bits of x0 and x1 into bit 3 of the codes, as the rule says. */
static inline __m256i add_signs(enum mxq_sign rule, __m256i codes, __m256i x0, __m256i x1)
{
    const __m256i top = _mm256_and_si256(_mm256_packs_epi16(x0, x1), _mm256_set1_epi8((char)0x80));
    const __m256i zero = _mm256_setzero_si256();
    __m256i sign = _mm256_srli_epi16(top, 4);
    __m256i vanishes;

    if (rule == MXQ_SIGN_KEEP)
        return _mm256_or_si256(codes, sign);
    if (rule == MXQ_SIGN_DROP)
        return _mm256_or_si256(codes, _mm256_andnot_si256(_mm256_cmpeq_epi8(codes, zero), sign));
    vanishes = _mm256_packs_epi16(_mm256_cmpeq_epi16(_mm256_add_epi16(x0, x0), zero),
                                  _mm256_cmpeq_epi16(_mm256_add_epi16(x1, x1), zero));
    if (rule == MXQ_SIGN_VALUE)
        return _mm256_or_si256(codes, _mm256_andnot_si256(vanishes, sign));
    sign = _mm256_or_si256(sign, _mm256_and_si256(vanishes, _mm256_set1_epi8(0x08)));
    return _mm256_or_si256(codes, sign);
}

/* Pairs of bytes to bytes of two codes, in 16-bit lanes. */
static inline __m256i join_pairs(__m256i codes)
{
    return _mm256_maddubs_epi16(codes, _mm256_set1_epi16(0x1001));
}

/* ---------------------------------------------------------------------------------------------- rowwise */

/* Where units of a tile go: unit i of its 32 at data + (i / 16) * far + (i % 16) * near. */
struct places {
    uint8_t *data;
    uint64_t near;
    uint64_t far;
};

static inline struct places find_places(const struct mxq_target *target, uint64_t row, uint64_t block)
{
    struct places p;

    p.data = target->data + mxq_data_offset(target->data_layout, target->data_pitch, row, block);
    p.near = target->data_layout == MXQ_LINEAR ? target->data_pitch : MXQ_UNIT_NBYTES;
    p.far = target->data_layout == MXQ_LINEAR ? 16 * target->data_pitch : target->data_pitch;
    return p;
}

static inline void store_unit(const struct places *p, unsigned i, __m128i unit)
{
    _mm_storeu_si128((__m128i *)(void *)(p->data + i / 16 * p->far + i % 16 * p->near), unit);
}

static inline __m256i encode_row(enum mxq_sign rule, struct bits bits, const struct tile *tile,
                                 const struct scales *scales, unsigned row)
{
    const __m256i base = _mm256_set1_epi16((short)scales->base[row]);
    const uint16_t *x = bits.x + row * bits.stride;
    const __m256i codes =
        find_codes(_mm256_sub_epi16(load(tile->u[row]), base), _mm256_sub_epi16(load(tile->u[row] + 16), base));

    return join_pairs(add_signs(rule, codes, load(x), load(x + 16)));
}

static inline void encode_rows(enum mxq_sign rule, struct bits bits, const struct tile *tile,
                               const struct scales *scales, const struct places *places)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

    for (unsigned row = 0; row < TILE; row += 2) {
        const __m256i a = encode_row(rule, bits, tile, scales, row);
        const __m256i b = encode_row(rule, bits, tile, scales, row + 1);
        const __m256i units = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
        store_unit(places, row, _mm256_castsi256_si128(units));
        store_unit(places, row + 1, _mm256_extracti128_si256(units, 1));
    }
}

/* ---------------------------------------------------------------------------------------------- columnwise */

/* Bytes j of the units of 16 columns, in 16-bit lanes: rows 2j and 2j + 1. */
static inline __m256i encode_row_pair(enum mxq_sign rule, struct bits bits, const struct tile *tile, __m256i base,
                                      unsigned row, unsigned col)
{
    const __m256i alternate =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    const uint16_t *x = bits.x + row * bits.stride + col;
    const __m256i codes = find_codes(_mm256_sub_epi16(load(tile->u[row] + col), base),
                                     _mm256_sub_epi16(load(tile->u[row + 1] + col), base));

    return join_pairs(_mm256_shuffle_epi8(add_signs(rule, codes, load(x), load(x + bits.stride)), alternate));
}

/* From two bytes of 16 columns in each vector to 16 bytes of two columns, c and c + 8. */
static inline void transpose_units(const __m256i v[8], const struct places *p, unsigned col)
{
    __m256i a[8], b[8];

    for (unsigned i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi16(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi16(v[i], v[i + 1]);
    }
    for (unsigned i = 0; i < 8; i += 4) {
        b[i] = _mm256_unpacklo_epi32(a[i], a[i + 2]);
        b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 2]);
        b[i + 2] = _mm256_unpacklo_epi32(a[i + 1], a[i + 3]);
        b[i + 3] = _mm256_unpackhi_epi32(a[i + 1], a[i + 3]);
    }
    for (unsigned i = 0; i < 4; i++) {
        const __m256i even = _mm256_unpacklo_epi64(b[i], b[i + 4]);
        const __m256i odd = _mm256_unpackhi_epi64(b[i], b[i + 4]);
        store_unit(p, col + 2 * i, _mm256_castsi256_si128(even));
        store_unit(p, col + 2 * i + 1, _mm256_castsi256_si128(odd));
        store_unit(p, col + 2 * i + 8, _mm256_extracti128_si256(even, 1));
        store_unit(p, col + 2 * i + 9, _mm256_extracti128_si256(odd, 1));
    }
}

static inline void encode_cols(enum mxq_sign rule, struct bits bits, const struct tile *tile,
                               const struct scales *scales, const struct places *places)
{
    for (unsigned col = 0; col < TILE; col += 16) {
        const __m256i base = load(scales->base + col);
        __m256i v[8];
        for (unsigned i = 0; i < 8; i++) {
            const __m256i low = encode_row_pair(rule, bits, tile, base, 4 * i, col);
            const __m256i high = encode_row_pair(rule, bits, tile, base, 4 * i + 2, col);
            v[i] = _mm256_or_si256(low, _mm256_slli_epi16(high, 8));
        }
        transpose_units(v, places, col);
    }
}

/* ---------------------------------------------------------------------------------------------- a tile */

/* The order of scale bytes in AITER's layout: two rows that are 16 apart share 16 bits. */
static void store_scales(const struct mxq_target *target, uint64_t row, uint64_t block, const struct scales *scales)
{
    uint8_t *at = target->scale + mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block);

    if (target->scale_layout == MXQ_LINEAR) {
        for (unsigned i = 0; i < TILE; i++)
            at[i * target->scale_pitch] = (uint8_t)scales->byte[i];
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        const uint16_t pair = (uint16_t)(scales->byte[i] | scales->byte[i + 16] << 8);
        memcpy(at + 4 * i, &pair, sizeof(pair));
    }
}

static inline void encode_direction(const struct mxq_task *task, enum mxq_direction direction, struct bits bits,
                                    const struct tile *tile, const struct scales *scales, uint64_t row, uint64_t block)
{
    const struct mxq_target *target = &task->target[direction];
    const struct places places = find_places(target, row, block);
    const enum mxq_sign rule = task->recipe->sign;

    if (direction == MXQ_ROWWISE && rule == MXQ_SIGN_KEEP)
        encode_rows(MXQ_SIGN_KEEP, bits, tile, scales, &places);
    else if (direction == MXQ_ROWWISE)
        encode_rows(rule, bits, tile, scales, &places);
    else if (rule == MXQ_SIGN_KEEP)
        encode_cols(MXQ_SIGN_KEEP, bits, tile, scales, &places);
    else
        encode_cols(rule, bits, tile, scales, &places);
    store_scales(target, row, block, scales);
}

/*
 * The rules that look at the sign of the scaled value need it not to vanish in FP32 unless it is 0: no value but 0 of
 * 2^(byte - 277) or less. Sticky bits cannot tell such small numbers apart, so whoever has one is left out.
 */
static bool signs_are_plain(const struct mxq_recipe *recipe, const struct tile *tile, const struct scales *scales)
{
    uint16_t largest = 0;
    __m256i least = _mm256_set1_epi16(-1);
    uint16_t lanes[16];

    if (recipe->sign == MXQ_SIGN_KEEP || recipe->sign == MXQ_SIGN_DROP)
        return true;
    for (unsigned i = 0; i < TILE; i++)
        largest = scales->byte[i] > largest ? scales->byte[i] : largest;
    if (largest <= 127)
        return true;
    for (unsigned i = 0; i < TILE; i++) /* zeros become the largest */
        for (unsigned j = 0; j < TILE; j += 16)
            least = _mm256_min_epu16(least, _mm256_sub_epi16(load(tile->u[i] + j), _mm256_set1_epi16(1)));
    store(lanes, least);
    for (unsigned i = 0; i < 16; i++)
        /* The exponent of 2^(byte - 277) is byte - 150; a subnormal's is 0, however small it is. */
        if (lanes[i] >> 7 <= (largest > 149 ? largest - 149 : 0))
            return false;
    return true;
}

/* False: nothing was written. */
static inline bool quantize_bits(const struct mxq_task *task, struct bits bits, struct tile *tile, uint64_t row0,
                                 uint64_t col0, bool rowwise, bool columnwise)
{
    const struct mxq_recipe *recipe = task->recipe;
    struct scales row_scales, col_scales;

    if (recipe->ties == MXQ_TIES_EVEN)
        prepare_tile(bits, true, tile);
    else
        prepare_tile(bits, false, tile);
    mxq_settle_amax(recipe, tile->row_max);
    mxq_settle_amax(recipe, tile->col_max);
    if (rowwise && !(find_scales(recipe, tile->row_max, &row_scales) && signs_are_plain(recipe, tile, &row_scales)))
        return false;
    if (columnwise && !(find_scales(recipe, tile->col_max, &col_scales) && signs_are_plain(recipe, tile, &col_scales)))
        return false;
    if (rowwise)
        encode_direction(task, MXQ_ROWWISE, bits, tile, &row_scales, row0, col0 / TILE);
    if (columnwise)
        encode_direction(task, MXQ_COLUMNWISE, bits, tile, &col_scales, col0, row0 / TILE);
    return true;
}

/* ---------------------------------------------------------------------------------------------- other types */

/* FP32 patterns of 8 values to 16-bit lanes with sticky bits, in two steps: this leaves them in 32-bit lanes. */
static inline __m256i make_sticky(__m256i bits)
{
    const __m256i low = _mm256_and_si256(bits, _mm256_set1_epi32(0xffff));
    const __m256i is_exact = _mm256_cmpeq_epi32(low, _mm256_setzero_si256());

    return _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_andnot_si256(is_exact, _mm256_set1_epi32(1)));
}

static inline __m256 load_8(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
{
    const uint64_t index = row * matrix->row_stride + col;

    if (matrix->dtype == MXQ_F32)
        return _mm256_loadu_ps((const float *)matrix->data + index);
    if (matrix->dtype == MXQ_F16)
        return _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)matrix->data + index)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)matrix->data + index))),
        16));
}

/* Two vectors of FP32 to one of sticky bits. */
static inline __m256i narrow(__m256 a, __m256 b)
{
    const __m256i packed =
        _mm256_packus_epi32(make_sticky(_mm256_castps_si256(a)), make_sticky(_mm256_castps_si256(b)));

    return _mm256_permute4x64_epi64(packed, 0xd8);
}

/* A full tile of BF16 is used where it is; another type becomes sticky bits first. */
static struct bits make_bits(const struct mxq_matrix *matrix, struct tile *tile)
{
    struct bits bits = {(const uint16_t *)matrix->data, matrix->row_stride};

    if (matrix->dtype == MXQ_BF16)
        return bits;
    for (unsigned r = 0; r < TILE; r++) {
        store(tile->x[r], narrow(load_8(matrix, r, 0), load_8(matrix, r, 8)));
        store(tile->x[r] + 16, narrow(load_8(matrix, r, 16), load_8(matrix, r, 24)));
    }
    bits.x = tile->x[0];
    bits.stride = TILE;
    return bits;
}

/* ---------------------------------------------------------------------------------------------- Hadamard */

static inline __m256 flip_signs(__m256 x, uint32_t signs, unsigned first)
{
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)(signs >> first)), bit);
    const __m256i clear = _mm256_cmpeq_epi32(set, _mm256_setzero_si256());

    return _mm256_xor_ps(x, _mm256_castsi256_ps(_mm256_andnot_si256(clear, _mm256_set1_epi32((int)0x80000000u))));
}

/* (a, b) to (a + b, a - b) inside a vector: partner has each value's partner, minus is set at the b places. */
static inline __m256 butterfly(__m256 x, __m256 partner, __m256 minus)
{
    return _mm256_add_ps(partner, _mm256_xor_ps(x, minus));
}

/* 16 values of a row in two vectors. */
static inline void transform_row(__m256 *low, __m256 *high)
{
    const __m256 minus1 = _mm256_castsi256_ps(_mm256_set1_epi64x((long long)0x8000000000000000u));
    const __m256 minus2 =
        _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, INT32_MIN, INT32_MIN, 0, 0, INT32_MIN, INT32_MIN));
    const __m256 minus4 =
        _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, 0, 0, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN));
    __m256 v[2] = {*low, *high};

    for (unsigned i = 0; i < 2; i++) {
        v[i] = butterfly(v[i], _mm256_permute_ps(v[i], 0xb1), minus1);
        v[i] = butterfly(v[i], _mm256_permute_ps(v[i], 0x4e), minus2);
        v[i] = butterfly(v[i], _mm256_permute2f128_ps(v[i], v[i], 1), minus4);
    }
    *low = _mm256_mul_ps(_mm256_add_ps(v[0], v[1]), _mm256_set1_ps(0.25f));
    *high = _mm256_mul_ps(_mm256_sub_ps(v[0], v[1]), _mm256_set1_ps(0.25f));
}

static struct bits transform_rows(const struct mxq_matrix *matrix, uint32_t signs, struct tile *tile)
{
    const struct bits bits = {tile->x[0], TILE};

    for (unsigned r = 0; r < TILE; r++) {
        for (unsigned c = 0; c < TILE; c += 16) {
            __m256 low = flip_signs(load_8(matrix, r, c), signs, c);
            __m256 high = flip_signs(load_8(matrix, r, c + 8), signs, c + 8);
            transform_row(&low, &high);
            store(tile->x[r] + c, narrow(low, high));
        }
    }
    return bits;
}

/* 16 rows of 8 columns. */
static inline void transform_col(__m256 v[16])
{
    for (unsigned stride = 1; stride < 16; stride *= 2) {
        for (unsigned i = 0; i < 16; i++) {
            if (i & stride)
                continue;
            const __m256 a = v[i];
            const __m256 b = v[i + stride];
            v[i] = _mm256_add_ps(a, b);
            v[i + stride] = _mm256_sub_ps(a, b);
        }
    }
    for (unsigned i = 0; i < 16; i++)
        v[i] = _mm256_mul_ps(v[i], _mm256_set1_ps(0.25f));
}

static struct bits transform_cols(const struct mxq_matrix *matrix, uint32_t signs, struct tile *tile)
{
    const struct bits bits = {tile->x[0], TILE};

    for (unsigned r = 0; r < TILE; r += 16) {
        for (unsigned c = 0; c < TILE; c += 16) {
            __m256 v[2][16];
            for (unsigned i = 0; i < 16; i++) {
                const __m256 flip = _mm256_castsi256_ps(_mm256_set1_epi32((int)((signs >> (r + i) & 1) << 31)));
                v[0][i] = _mm256_xor_ps(load_8(matrix, r + i, c), flip);
                v[1][i] = _mm256_xor_ps(load_8(matrix, r + i, c + 8), flip);
            }
            transform_col(v[0]);
            transform_col(v[1]);
            for (unsigned i = 0; i < 16; i++)
                store(tile->x[r + i] + c, narrow(v[0][i], v[1][i]));
        }
    }
    return bits;
}

/* ---------------------------------------------------------------------------------------------- squares */

/* Each direction has a transform of its own. window: the 32 x 32 values. */
static bool quantize_transformed(const struct mxq_task *square, const struct mxq_matrix *window, struct tile *tile,
                                 uint64_t row0, uint64_t col0)
{
    const uint32_t signs = square->recipe->hadamard_signs[0];
    bool nonfinite = false;

    if (square->target[MXQ_ROWWISE].wanted) {
        const struct bits bits = transform_rows(window, signs, tile);
        if (!quantize_bits(square, bits, tile, row0, col0, true, false))
            nonfinite |= mxq_quantize_tile(square, MXQ_ROWWISE, row0, col0);
    }
    if (square->target[MXQ_COLUMNWISE].wanted) {
        const struct bits bits = transform_cols(window, signs, tile);
        if (!quantize_bits(square, bits, tile, row0, col0, false, true))
            nonfinite |= mxq_quantize_tile(square, MXQ_COLUMNWISE, row0, col0);
    }
    return nonfinite;
}

static bool quantize_by_scalar(const struct mxq_task *square, uint64_t row0, uint64_t col0)
{
    bool nonfinite = false;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (square->target[d].wanted)
            nonfinite |= mxq_quantize_tile(square, d, row0, col0);
    return nonfinite;
}

/* 32 x 32 values at (row0, col0) of the square; returns whether there is an infinity or a NaN. */
static bool quantize_window(const struct mxq_task *square, const struct mxq_matrix *window, struct tile *tile,
                            uint64_t row0, uint64_t col0)
{
    const bool rowwise = square->target[MXQ_ROWWISE].wanted;
    const bool columnwise = square->target[MXQ_COLUMNWISE].wanted;

    if (square->recipe->hadamard_nelems != 0)
        return quantize_transformed(square, window, tile, row0, col0);
    if (quantize_bits(square, make_bits(window, tile), tile, row0, col0, rowwise, columnwise))
        return false;
    return quantize_by_scalar(square, row0, col0);
}

static uint64_t at_most_tile(uint64_t n)
{
    return n < TILE ? n : TILE;
}

/* A tile that the matrix ends in: filled up with zeros. */
static bool quantize_cut_tile(const struct mxq_task *square, struct tile *tile, uint64_t row0, uint64_t col0)
{
    const struct mxq_matrix *matrix = square->matrix;
    const size_t elem = matrix->dtype == MXQ_F32 ? 4 : 2;
    const uint64_t rows = at_most_tile(matrix->rows - row0);
    const uint64_t cols = at_most_tile(matrix->cols - col0);
    uint32_t values[TILE * TILE] = {0};
    const struct mxq_matrix window = {values, matrix->dtype, TILE, TILE, TILE};

    /* This sign rule gives a code to a zero, and those that fill up are to have none. */
    if (square->recipe->sign == MXQ_SIGN_NONPOSITIVE && square->recipe->hadamard_nelems == 0)
        return quantize_by_scalar(square, row0, col0);
    for (uint64_t r = 0; r < rows; r++)
        memcpy((char *)values + r * TILE * elem,
               (const char *)matrix->data + ((row0 + r) * matrix->row_stride + col0) * elem, cols * elem);
    return quantize_window(square, &window, tile, row0, col0);
}

/* Tiles that come between asking for values and using them. */
#define AHEAD 6

/*
 * Asks for the tile AHEAD tiles after the one at (row, col), or behind the last of the square for the next square's, into
 * the L2: see avx512.c.
 */
static void ask_for_tile(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
{
    const size_t elem = matrix->dtype == MXQ_F32 ? 4 : 2;
    const char *from;

    col += (uint64_t)AHEAD * TILE;
    if (col >= MXQ_SQUARE_NELEMS) {
        col -= MXQ_SQUARE_NELEMS;
        row += TILE;
    }
    if (row >= MXQ_SQUARE_NELEMS) {
        row -= MXQ_SQUARE_NELEMS;
        col += MXQ_SQUARE_NELEMS;
    }
    from = (const char *)matrix->data + (row * matrix->row_stride + col) * elem;
    for (unsigned r = 0; r < TILE; r++)
        for (size_t at = 0; at < TILE * elem; at += 64)
            _mm_prefetch(from + r * matrix->row_stride * elem + at, _MM_HINT_T1);
}

static bool quantize_square(const struct mxq_square_work *work, const struct mxq_task *square)
{
    const struct mxq_matrix *matrix = square->matrix;
    const size_t elem = matrix->dtype == MXQ_F32 ? 4 : 2;
    struct tile tile;
    bool nonfinite = false;

    (void)work;
    for (uint64_t row = 0; row < matrix->rows; row += TILE) {
        for (uint64_t col = 0; col < matrix->cols; col += TILE) {
            const struct mxq_matrix window = {(const char *)matrix->data + (row * matrix->row_stride + col) * elem,
                                              matrix->dtype, TILE, TILE, matrix->row_stride};
            ask_for_tile(matrix, row, col);
            if (matrix->rows - row >= TILE && matrix->cols - col >= TILE)
                nonfinite |= quantize_window(square, &window, &tile, row, col);
            else
                nonfinite |= quantize_cut_tile(square, &tile, row, col);
        }
    }
    return nonfinite;
}

static bool quantize_panel(const struct mxq_task *task)
{
    const struct mxq_square_work work = {quantize_square, mxq_put_units, mxq_put_scales};

    return mxq_quantize_squares(task, &work);
}

static bool runs_here(void)
{
    return mxq_cpu_has("avx2") && mxq_cpu_has("f16c");
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

#endif /* __x86_64__ */

/* The compiler's vectors are good for a quarter more speed than without this file's flags. */
static uint64_t sum_run(const struct mxq_measured_run *run, struct mxq_lanes *lanes)
{
    return mxq_sum_run_in_c(run, lanes);
}

const struct mxq_kernel mxq_kernel_avx2 = {
    .name = "avx2",
    .summary = "AVX2 and F16C, tiles of 32 x 32",
    .runs_here = runs_here,
    .takes = mxq_recipe_is_for_squares,
    .quantize_panel = quantize_panel,
    .sum_run = sum_run,
};
