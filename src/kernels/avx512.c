/*
 * avx512.c - the variant for AVX-512 with VBMI: tiles of 32 x 32 values, both directions from one look at the input
 *
 * A value travels as 16 bits with a sticky lowest bit, and what is rare is left to the scalar code, as in avx2.c.
 *
 * Codes: let u be the magnitude bits, plus one where bit 6 is set and ties go to even. u less the bits of the block's
 * scale, plus 288, saturated at 0, is a number below 672 that passes a multiple of 32 where a value passes a midpoint
 * between codes. Five bits of it and the sign are an index into a table of 64 bytes, which is what one VPERMB looks up;
 * the table also says which codes have a sign. Two rows share a vector from there on, one in the even and one in the odd
 * bytes, so that half as many vectors are looked up, and a second table with the codes shifted by four spares the joining
 * of nibbles along columns.
 *
 * Memory decides more than arithmetic. Values are read where they are, once, and kept as a tile in the L1: staging whole
 * strips first cost more than it saved, because a burst of reading and a burst of computing do not overlap. What comes AHEAD
 * tiles later is asked for into the L2 only: rows a power of two apart share one set of the L1 and would push each other
 * out, and such requests do not hold up the loads. Large outputs are stored as whole lines past the caches, which spares
 * reading them first. Measured on a Zen 4 with 2 threads, 8192 x 8192 BF16, as a fraction of memcpy's rate: 0.45 staged,
 * 0.67 read in place, 0.8 to 0.9 with requests into the L2, squares and scales that are written when complete.
 *
 * What is short, and where the time goes there (cycles for a tile of 1024 values that is in the cache, both directions;
 * 150 to prepare it, 255 to encode it, 490 with loads and stores from and to the L2):
 * - Linear buffers, 0.5 to 0.6: another 80 to bring rows together, and then the runs are 128 bytes where a buffer's rows
 *   are a power of two apart, which memory takes at half the rate of 256 (28 against 41 GB/s, one thread). Squares of 512
 *   made it no better, and writing a little after each strip instead of all at the end of a square made it worse.
 * - Hadamard, 0.2 to 0.3: about 1,500 more. A butterfly of 16 FP32 values is a shuffle and an addition, a transform in two
 *   directions has eight for each 16 values, and the processor starts one of either a cycle.
 */
#include "kernels/square.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TILE 32

/* Small functions with constant arguments: each call is a case of its own. */
#define INLINE static inline __attribute__((always_inline))

/* Magnitudes from here on are left to the scalar code: infinities, NaNs and what the even rule calls huge. */
#define LARGEST_BITS 0x7f60

/* Scale bytes below this have subnormal midpoints. */
#define SMALLEST_BYTE 3

/* Tiles that come between asking for values and using them. */
#define AHEAD 6

/* Outputs that reach over more than this are not going to be found in the caches by whoever reads them next. */
#define PAST_NBYTES ((uint64_t)3 << 20)

/* Keeps a value in a register: loading it anew for each use, as compilers like to, is what the load ports have no room for. */
INLINE __m512i hold(__m512i v)
{
    __asm__("" : "+v"(v));
    return v;
}

/* A tile of values as 16 bits, and what both directions need of them. */
struct tile {
    _Alignas(64) uint16_t w[TILE][TILE]; /* sign, and magnitude plus one where a midpoint between codes goes up */
    __m512i amax[MXQ_NUM_DIRECTIONS];    /* the largest magnitudes of its rows, and of its columns */
};

/* ---------------------------------------------------------------------------------------------- scales */

/* What 32 blocks are scaled by: their bytes, and what is taken from u; 16-bit lanes in the order of the blocks. */
struct scales {
    __m512i byte;
    __m512i base;
};

/* The largest of each of 8 vectors, in their order, in every 128 bits: what remains is to join these. */
INLINE __m512i max_of_8(const __m512i v[8])
{
    __m512i a[4], b[2];

    for (unsigned i = 0; i < 4; i++)
        a[i] = _mm512_max_epu16(_mm512_unpacklo_epi16(v[i], v[i + 4]), _mm512_unpackhi_epi16(v[i], v[i + 4]));
    for (unsigned i = 0; i < 2; i++)
        b[i] = _mm512_max_epu16(_mm512_unpacklo_epi16(a[i], a[i + 2]), _mm512_unpackhi_epi16(a[i], a[i + 2]));
    return _mm512_max_epu16(_mm512_unpacklo_epi16(b[0], b[1]), _mm512_unpackhi_epi16(b[0], b[1]));
}

/* From max_of_8() of rows 0 to 7, 8 to 15, 16 to 23 and 24 to 31 to the largest of each of 32 rows. */
INLINE __m512i join_max(const __m512i v[4])
{
    __m512i two[2];

    for (unsigned i = 0; i < 2; i++)
        two[i] = _mm512_max_epu16(_mm512_shuffle_i64x2(v[2 * i], v[2 * i + 1], 0x44),
                                  _mm512_shuffle_i64x2(v[2 * i], v[2 * i + 1], 0xee));
    return _mm512_max_epu16(_mm512_shuffle_i64x2(two[0], two[1], 0x88), _mm512_shuffle_i64x2(two[0], two[1], 0xdd));
}

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

/* What mxq_settle_amax() does. */
INLINE __m512i settle_amax(const struct mxq_recipe *recipe, __m512i amax)
{
    const unsigned least = recipe->amax_floor >> 16 | ((recipe->amax_floor & 0xffff) != 0);
    unsigned even, odd;

    amax = _mm512_max_epu16(amax, _mm512_set1_epi16((short)least));
    if (recipe->block == MXQ_BLOCK_1X32)
        return amax;
    even = _mm512_reduce_max_epu32(_mm512_and_si512(amax, _mm512_set1_epi32(0xffff)));
    odd = _mm512_reduce_max_epu32(_mm512_srli_epi32(amax, 16));
    return _mm512_set1_epi16((short)(even > odd ? even : odd));
}

/* False: one of the blocks is not for this variant. */
INLINE bool find_scales(const struct mxq_recipe *recipe, __m512i amax, struct scales *scales)
{
    const __m512i rounded = _mm512_add_epi16(amax, _mm512_set1_epi16(carry_of(recipe->scale)));
    const __mmask32 zero = _mm512_testn_epi16_mask(amax, amax);
    const __mmask32 small = _mm512_cmplt_epu16_mask(rounded, _mm512_set1_epi16((SMALLEST_BYTE + 2) << 7));
    const __mmask32 large = _mm512_cmpge_epu16_mask(amax, _mm512_set1_epi16(LARGEST_BITS));
    /* Midpoints that go up exactly when passed are at a multiple of 32, the others one above. */
    const __m512i to_base = _mm512_set1_epi16((short)(-288 + (recipe->ties != MXQ_TIES_AWAY)));
    __m512i byte = _mm512_sub_epi16(_mm512_srli_epi16(rounded, 7), _mm512_set1_epi16(2));

    /* Codes of zeros are zeros under any ordinary scale. */
    byte = _mm512_mask_mov_epi16(byte, zero, _mm512_set1_epi16(127));
    scales->base = _mm512_add_epi16(_mm512_slli_epi16(byte, 7), to_base);
    scales->byte = _mm512_mask_mov_epi16(byte, zero, _mm512_set1_epi16(recipe->zero_byte));
    return (large | (small & ~zero)) == 0;
}

/*
 * The rules that look at the sign of the scaled value need it not to vanish in FP32 unless it is 0: no value but 0 of
 * 2^(byte - 277) or less. Sticky bits cannot tell such small numbers apart, so whoever has one is left out.
 */
static bool signs_are_plain(const struct mxq_recipe *recipe, const struct tile *tile, __m512i bytes)
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff);
    __m512i least = _mm512_set1_epi16(-1);
    unsigned even, odd, largest;

    if (recipe->sign == MXQ_SIGN_KEEP || recipe->sign == MXQ_SIGN_DROP)
        return true;
    even = _mm512_reduce_max_epu32(_mm512_and_si512(bytes, _mm512_set1_epi32(0xff)));
    odd = _mm512_reduce_max_epu32(_mm512_srli_epi32(bytes, 16));
    largest = even > odd ? even : odd;
    if (largest < 128)
        return true;
    for (unsigned i = 0; i < TILE; i++) /* zeros become the largest */
        least = _mm512_min_epu16(
            least, _mm512_sub_epi16(_mm512_and_si512(_mm512_load_si512(tile->w[i]), magnitude), _mm512_set1_epi16(1)));
    /* The exponent of 2^(byte - 277) is byte - 150; a subnormal's is 0, however small it is. */
    return _mm512_cmple_epu16_mask(_mm512_srli_epi16(least, 7),
                                   _mm512_set1_epi16((short)(largest > 149 ? largest - 149 : 0))) == 0;
}

/* ---------------------------------------------------------------------------------------------- codes */

/* The code at each index: five bits that count multiples of 32, bit 5 the sign. */
struct tables {
    __m512i low;  /* in the low nibble */
    __m512i high; /* in the high one */
};

INLINE struct tables make_tables(enum mxq_sign rule)
{
    static const uint8_t magnitude[32] = {0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5,
                                          6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    const __m512i positive = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)magnitude));
    const __mmask64 upper = (__mmask64)0xffffffff00000000u;
    const __mmask64 nonzero = rule == MXQ_SIGN_DROP ? _mm512_test_epi8_mask(positive, positive) : ~(__mmask64)0;
    struct tables t;

    t.low = _mm512_mask_add_epi8(positive, upper & nonzero, positive, _mm512_set1_epi8(8));
    t.high = _mm512_slli_epi16(t.low, 4);
    return t;
}

/* a in the even bytes, b in the odd ones. */
INLINE __m512i merge(__m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi64(a, b, _mm512_set1_epi16(0x00ff), 0xe4);
}

/* Two rows of u to indices: a in the even bytes and b in the odd ones, bit 5 of signs of which is set for negatives. */
INLINE __m512i find_indices(__m512i a, __m512i base_a, __m512i b, __m512i base_b, __m512i signs)
{
    const __m512i merged =
        merge(_mm512_srli_epi16(_mm512_subs_epu16(a, base_a), 5), _mm512_slli_epi16(_mm512_subs_epu16(b, base_b), 3));

    return _mm512_ternarylogic_epi64(merged, signs, _mm512_set1_epi8(0x20), 0xf8); /* merged | (signs & 0x20) */
}

INLINE __m512i merge_signs(__m512i a, __m512i b)
{
    return merge(_mm512_srli_epi16(a, 10), _mm512_srli_epi16(b, 2));
}

/* ---------------------------------------------------------------------------------------------- stores */

/* How the units of a tile are stored. */
enum storing {
    STORE_APART,    /* each by itself */
    STORE_TOGETHER, /* four at once */
    STORE_PAST,     /* four at once, past the caches */
};

/* Where units of a tile go: unit i of its 32 at data + (i / 16) * far + (i % 16) * near. */
struct places {
    uint8_t *data;
    uint64_t near;
    uint64_t far;
    enum storing how;
};

INLINE struct places find_places(const struct mxq_target *target, uint64_t row, uint64_t block, bool past)
{
    struct places p;
    const uint64_t address = (uintptr_t)target->data | target->data_pitch;

    p.data = target->data + mxq_data_offset(target->data_layout, target->data_pitch, row, block);
    p.near = target->data_layout == MXQ_LINEAR ? target->data_pitch : MXQ_UNIT_NBYTES;
    p.far = target->data_layout == MXQ_LINEAR ? 16 * target->data_pitch : target->data_pitch;
    p.how = target->data_layout == MXQ_LINEAR ? STORE_APART : past && address % 64 == 0 ? STORE_PAST : STORE_TOGETHER;
    return p;
}

/* Units i to i + 3; i is a multiple of 4. */
INLINE void store_units(const struct places *p, unsigned i, __m512i units)
{
    uint8_t *at = p->data + i / 16 * p->far + i % 16 * p->near;

    if (p->how == STORE_PAST) {
        _mm512_stream_si512((void *)at, units);
    } else if (p->how == STORE_TOGETHER) {
        _mm512_storeu_si512(at, units);
    } else {
        _mm_storeu_si128((void *)at, _mm512_castsi512_si128(units));
        _mm_storeu_si128((void *)(at + p->near), _mm512_extracti32x4_epi32(units, 1));
        _mm_storeu_si128((void *)(at + 2 * p->near), _mm512_extracti32x4_epi32(units, 2));
        _mm_storeu_si128((void *)(at + 3 * p->near), _mm512_extracti32x4_epi32(units, 3));
    }
}

/* The bytes of a tile. In AITER's layout two rows that are 16 apart share 16 bits, of every second pair of bytes. */
INLINE void store_scales(const struct mxq_target *target, uint64_t row, uint64_t block, __m512i bytes)
{
    uint8_t *at = target->scale + mxq_scale_offset(target->scale_layout, target->scale_pitch, row, block);
    uint16_t byte[TILE];

    if (target->scale_layout == MXQ_AITER) {
        const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(bytes));
        const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(bytes, 1)), 8);
        const unsigned shift = (unsigned)(block % 8 / 4 * 16);
        const __m512i pairs = _mm512_sll_epi32(_mm512_or_si512(low, high), _mm_cvtsi32_si128((int)shift));
        uint8_t *line = at - shift / 8; /* the other pairs are those of the block 4 before or after this one */
        const __m512i others =
            _mm512_andnot_si512(_mm512_set1_epi32((int)(0xffffu << shift)), _mm512_loadu_si512(line));
        _mm512_storeu_si512(line, _mm512_or_si512(others, pairs));
        return;
    }
    _mm512_storeu_si512(byte, bytes);
    for (unsigned i = 0; i < TILE; i++)
        at[i * target->scale_pitch] = (uint8_t)byte[i];
}

/* ---------------------------------------------------------------------------------------------- a tile */

/* 4 rows of u and the signs of two pairs of them. */
struct quad {
    __m512i u[4];
    __m512i signs02;
    __m512i signs13;
};

INLINE struct quad load_quad(const struct tile *tile, unsigned row)
{
    struct quad q;
    __m512i w[4];

    for (unsigned i = 0; i < 4; i++) {
        w[i] = hold(_mm512_load_si512(tile->w[row + i]));
        q.u[i] = _mm512_and_si512(w[i], _mm512_set1_epi16(0x7fff));
    }
    q.signs02 = merge_signs(w[0], w[2]);
    q.signs13 = merge_signs(w[1], w[3]);
    return q;
}

/* Two bytes of the units of 32 columns. */
INLINE __m512i encode_cols(const struct quad *q, __m512i base, struct tables t)
{
    const __m512i even = find_indices(q->u[0], base, q->u[2], base, q->signs02);
    const __m512i odd = find_indices(q->u[1], base, q->u[3], base, q->signs13);

    return _mm512_or_si512(_mm512_permutexvar_epi8(even, t.low), _mm512_permutexvar_epi8(odd, t.high));
}

/*
 * Codes of two rows in alternate bytes; to a byte of each row's unit in the lower half of 32 bits. The multiplication is a
 * shift that keeps clear of the ports which the look-ups need.
 */
INLINE __m512i join_neighbours(__m512i codes)
{
    return _mm512_madd_epi16(codes, _mm512_set1_epi32(0x00100001));
}

/* The units of 4 rows, of which base[] has the bases in both halves of 32 bits. */
INLINE __m512i encode_rows(const struct quad *q, const uint32_t base[4], struct tables t)
{
    const __m512i order =
        _mm512_set_epi8(125, 121, 117, 113, 109, 105, 101, 97, 93, 89, 85, 81, 77, 73, 69, 65, 61, 57, 53, 49, 45, 41,
                        37, 33, 29, 25, 21, 17, 13, 9, 5, 1, 124, 120, 116, 112, 108, 104, 100, 96, 92, 88, 84, 80, 76,
                        72, 68, 64, 60, 56, 52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0);
    __m512i b[4];
    __m512i even, odd;

    for (unsigned i = 0; i < 4; i++)
        b[i] = _mm512_set1_epi32((int)base[i]);
    even = find_indices(q->u[0], b[0], q->u[2], b[2], q->signs02);
    odd = find_indices(q->u[1], b[1], q->u[3], b[3], q->signs13);
    return _mm512_permutex2var_epi8(join_neighbours(_mm512_permutexvar_epi8(even, t.low)), order,
                                    join_neighbours(_mm512_permutexvar_epi8(odd, t.low)));
}

/* From two bytes of 32 columns in each vector to 16 bytes of four columns. */
INLINE void store_transposed(const struct places *places, const __m512i v[8])
{
    const __m512i words_low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38,
                                               6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i words_high = _mm512_add_epi16(words_low, _mm512_set1_epi16(16));
    const __m512i dwords_low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i dwords_high = _mm512_add_epi32(dwords_low, _mm512_set1_epi32(8));
    const __m512i qwords_low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
    const __m512i qwords_high = _mm512_add_epi64(qwords_low, _mm512_set1_epi64(4));
    __m512i a[2][4], b[4][2];

    for (unsigned i = 0; i < 4; i++) {
        a[0][i] = _mm512_permutex2var_epi16(v[2 * i], words_low, v[2 * i + 1]);
        a[1][i] = _mm512_permutex2var_epi16(v[2 * i], words_high, v[2 * i + 1]);
    }
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < 2; j++) {
            b[2 * i][j] = _mm512_permutex2var_epi32(a[i][2 * j], dwords_low, a[i][2 * j + 1]);
            b[2 * i + 1][j] = _mm512_permutex2var_epi32(a[i][2 * j], dwords_high, a[i][2 * j + 1]);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        store_units(places, 8 * i, _mm512_permutex2var_epi64(b[i][0], qwords_low, b[i][1]));
        store_units(places, 8 * i + 4, _mm512_permutex2var_epi64(b[i][0], qwords_high, b[i][1]));
    }
}

/* What the codes of all tiles are made with. */
struct encoder {
    const struct mxq_recipe *recipe;
    struct tables tables;
    __m512i ties;        /* the bit of a magnitude that makes a midpoint go up, or none */
    __m512i flips[2];    /* Hadamard: the sign bits that are flipped first, of 16 FP32 values each, */
    uint32_t flip[TILE]; /* and one by one, from where a load spreads them */
    bool past;           /* the outputs are too much for the caches */
};

INLINE struct encoder make_encoder(const struct mxq_recipe *recipe, bool past)
{
    struct encoder e;

    e.recipe = recipe;
    e.tables = make_tables(recipe->sign);
    e.ties = _mm512_set1_epi16(recipe->ties == MXQ_TIES_EVEN ? 0x40 : 0);
    for (unsigned i = 0; i < 2; i++)
        e.flips[i] = _mm512_maskz_set1_epi32((__mmask16)(recipe->hadamard_signs[0] >> 16 * i), INT32_MIN);
    for (unsigned i = 0; i < TILE; i++)
        e.flip[i] = (recipe->hadamard_signs[0] >> i & 1) << 31;
    e.past = past;
    return e;
}

/* Both halves of 32 bits are the base of a row. */
INLINE void spread_bases(__m512i base, uint32_t to[TILE])
{
    const __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(base));
    const __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(base, 1));

    _mm512_store_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(low, 16)));
    _mm512_store_si512(to + 16, _mm512_or_si512(high, _mm512_slli_epi32(high, 16)));
}

INLINE void encode_tile(const struct encoder *e, const struct tile *tile, const __m512i bases[MXQ_NUM_DIRECTIONS],
                        const struct places places[MXQ_NUM_DIRECTIONS], bool rowwise, bool columnwise)
{
    _Alignas(64) uint32_t base[TILE];
    __m512i v[8];

    if (rowwise)
        spread_bases(bases[MXQ_ROWWISE], base);
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        const struct quad q = load_quad(tile, 4 * i);
        if (columnwise)
            v[i] = encode_cols(&q, bases[MXQ_COLUMNWISE], e->tables);
        if (rowwise)
            store_units(&places[MXQ_ROWWISE], 4 * i, encode_rows(&q, base + 4 * i, e->tables));
    }
    if (columnwise)
        store_transposed(&places[MXQ_COLUMNWISE], v);
}

/* ---------------------------------------------------------------------------------------------- values to 16 bits */

/* Two vectors of FP32 to one of sticky bits. */
INLINE __m512i narrow(__m512i a, __m512i b)
{
    const __m512i lower = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                                           24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i upper = _mm512_or_si512(lower, _mm512_set1_epi16(1));
    const __m512i rest = _mm512_permutex2var_epi16(a, lower, b);

    return _mm512_or_si512(_mm512_permutex2var_epi16(a, upper, b), _mm512_min_epu16(rest, _mm512_set1_epi16(1)));
}

INLINE __m512i widen(enum mxq_dtype dtype, __m256i values)
{
    if (dtype == MXQ_F16)
        return _mm512_castps_si512(_mm512_cvtph_ps(values));
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16);
}

/* 32 values, or as many as the mask says and zeros, as sticky bits. */
INLINE __m512i load_sticky(enum mxq_dtype dtype, const char *from, __mmask32 valid)
{
    __m512i x;

    if (dtype == MXQ_F32)
        return narrow(_mm512_maskz_loadu_epi32((__mmask16)valid, from),
                      _mm512_maskz_loadu_epi32((__mmask16)(valid >> 16), from + 64));
    x = _mm512_maskz_loadu_epi16(valid, from);
    if (dtype == MXQ_BF16)
        return x;
    return narrow(widen(MXQ_F16, _mm512_castsi512_si256(x)), widen(MXQ_F16, _mm512_extracti64x4_epi64(x, 1)));
}

/* Zeros with the sign that their code is to have, where the rule does not look at the input's sign bit alone. */
INLINE __m512i settle_zeros(enum mxq_sign rule, __m512i x, __mmask32 valid)
{
    const __mmask32 zero = _mm512_testn_epi16_mask(x, _mm512_set1_epi16(0x7fff));

    if (rule == MXQ_SIGN_VALUE)
        return _mm512_maskz_mov_epi16(~zero, x);
    if (rule == MXQ_SIGN_NONPOSITIVE)
        return _mm512_mask_set1_epi16(x, zero & valid, INT16_MIN);
    return x;
}

INLINE __mmask32 first_lanes(uint64_t n)
{
    return n >= 32 ? ~(__mmask32)0 : ((__mmask32)1 << n) - 1;
}

/* The part of a matrix that is a tile: up to 32 rows and columns from (row, col) on. */
struct window {
    const char *from;
    size_t pitch_nbytes;
    unsigned rows;
    __mmask32 cols;
};

INLINE struct window find_window(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
{
    const size_t elem = matrix->dtype == MXQ_F32 ? 4 : 2;
    struct window w;

    w.from = (const char *)matrix->data + (row * matrix->row_stride + col) * elem;
    w.pitch_nbytes = matrix->row_stride * elem;
    w.rows = matrix->rows - row < TILE ? (unsigned)(matrix->rows - row) : TILE;
    w.cols = first_lanes(matrix->cols - col);
    return w;
}

/* ---------------------------------------------------------------------------------------------- Hadamard */

/* 16 FP32 values, or as many as the mask says and zeros. */
INLINE __m512 load_floats(enum mxq_dtype dtype, const char *from, __mmask16 valid)
{
    if (dtype == MXQ_F32)
        return _mm512_maskz_loadu_ps(valid, from);
    return _mm512_castsi512_ps(widen(dtype, _mm256_maskz_loadu_epi16(valid, from)));
}

INLINE __m512 flip(__m512 x, __m512i signs)
{
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(x), signs));
}

/*
 * (a, b) to (a + b, a - b) inside a vector: partner has each value's partner, minus is set at the b places. A product
 * with 1 or -1 is exact, so the sum is rounded once, as the definition does.
 */
INLINE __m512 butterfly(__m512 x, __m512 partner, __mmask16 minus)
{
    const __m512 one = _mm512_mask_mov_ps(_mm512_set1_ps(1.0f), minus, _mm512_set1_ps(-1.0f));

    return _mm512_fmadd_ps(x, one, partner);
}

/* 16 values of a row. */
INLINE __m512 transform_16(__m512 x)
{
    x = butterfly(x, _mm512_permute_ps(x, 0xb1), 0xaaaa);
    x = butterfly(x, _mm512_permute_ps(x, 0x4e), 0xcccc);
    x = butterfly(x, _mm512_shuffle_f32x4(x, x, 0xb1), 0xf0f0);
    x = butterfly(x, _mm512_shuffle_f32x4(x, x, 0x4e), 0xff00);
    return _mm512_mul_ps(x, _mm512_set1_ps(0.25f));
}

/* 32 values of a row, transformed, as sticky bits. */
INLINE __m512i transform_row(const struct encoder *e, enum mxq_dtype dtype, const char *from, __mmask32 valid)
{
    const size_t elem = dtype == MXQ_F32 ? 4 : 2;
    const __m512 low = load_floats(dtype, from, (__mmask16)valid);
    const __m512 high = load_floats(dtype, from + 16 * elem, (__mmask16)(valid >> 16));

    return narrow(_mm512_castps_si512(transform_16(flip(low, e->flips[0]))),
                  _mm512_castps_si512(transform_16(flip(high, e->flips[1]))));
}

/* 16 rows of 16 columns, transformed along the columns. */
INLINE void transform_cols_16(__m512 v[16])
{
#pragma GCC unroll 4
    for (unsigned stride = 1; stride < 16; stride *= 2) {
#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; i++) {
            if (i & stride)
                continue;
            const __m512 a = v[i];
            const __m512 b = v[i + stride];
            v[i] = _mm512_add_ps(a, b);
            v[i + stride] = _mm512_sub_ps(a, b);
        }
    }
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; i++)
        v[i] = _mm512_mul_ps(v[i], _mm512_set1_ps(0.25f));
}

/* The columns of a window, transformed, as sticky bits. */
INLINE void transform_cols(const struct encoder *e, enum mxq_dtype dtype, const struct window *window,
                           struct tile *tile)
{
    const size_t elem = dtype == MXQ_F32 ? 4 : 2;

    for (unsigned r = 0; r < TILE; r += 16) {
        for (unsigned c = 0; c < TILE; c += 16) {
            __m512 v[16];
#pragma GCC unroll 16
            for (unsigned i = 0; i < 16; i++) {
                const __mmask16 valid = (__mmask16)(r + i < window->rows ? window->cols >> c : 0);
                const char *from = window->from + (r + i) * window->pitch_nbytes + c * elem;
                v[i] = flip(load_floats(dtype, from, valid), _mm512_set1_epi32((int)e->flip[r + i]));
            }
            transform_cols_16(v);
#pragma GCC unroll 8
            for (unsigned i = 0; i < 16; i += 2) {
                const __m512i two = narrow(_mm512_castps_si512(v[i]), _mm512_castps_si512(v[i + 1]));
                _mm256_store_si256((__m256i *)(void *)&tile->w[r + i][c], _mm512_castsi512_si256(two));
                _mm256_store_si256((__m256i *)(void *)&tile->w[r + i + 1][c], _mm512_extracti64x4_epi64(two, 1));
            }
        }
    }
}

/* ---------------------------------------------------------------------------------------------- preparing a tile */

/* Asks for a row of values of the tile that comes AHEAD tiles later. */
struct asking {
    const char *from;
    size_t pitch_nbytes;
};

INLINE void ask_for_row(const struct asking *asking, unsigned row, bool wide)
{
    const char *at = asking->from + row * asking->pitch_nbytes;

    _mm_prefetch(at, _MM_HINT_T1);
    if (wide)
        _mm_prefetch(at + 64, _MM_HINT_T1);
}

/* Takes in row i; *cols is the largest of each column so far. Returns the magnitudes. */
INLINE __m512i add_row(struct tile *tile, unsigned i, __m512i x, __m512i ties, __m512i *cols)
{
    const __m512i magnitude = _mm512_and_si512(x, _mm512_set1_epi16(0x7fff));
    const __m512i up = _mm512_min_epu16(_mm512_and_si512(x, ties), _mm512_set1_epi16(1));

    *cols = _mm512_max_epu16(*cols, magnitude);
    _mm512_store_si512(tile->w[i], _mm512_add_epi16(x, up));
    return magnitude;
}

/* What a tile is made of. */
enum origin {
    FROM_PLAIN, /* values that need nothing done to them */
    FROM_VALUES,
    FROM_ROWS,   /* values, transformed along the rows */
    FROM_COLUMNS /* what transform_cols() has left in the tile */
};

INLINE __m512i get_row(const struct encoder *e, enum origin origin, enum mxq_dtype dtype, const char *from,
                       __mmask32 valid, const struct tile *tile, unsigned row)
{
    const __mmask32 all = ~(__mmask32)0;

    if (origin == FROM_ROWS)
        return settle_zeros(e->recipe->sign, transform_row(e, dtype, from, valid), all);
    if (origin == FROM_COLUMNS)
        return settle_zeros(e->recipe->sign, _mm512_load_si512(tile->w[row]), all);
    if (origin == FROM_PLAIN) /* whole rows of BF16, and zeros keep their signs */
        return _mm512_loadu_si512(from);
    return settle_zeros(e->recipe->sign, load_sticky(dtype, from, valid), valid);
}

INLINE void prepare_tile(const struct encoder *e, enum origin origin, enum mxq_dtype dtype, const struct window *window,
                         const struct asking *asking, struct tile *tile)
{
    const __m512i ties = hold(e->ties);
    __m512i cols = _mm512_setzero_si512();
    __m512i m[4];

    for (unsigned i = 0; i < 4; i++) {
        __m512i v[8];
#pragma GCC unroll 8
        for (unsigned j = 0; j < 8; j++) {
            const unsigned row = 8 * i + j;
            const __mmask32 valid = row < window->rows ? window->cols : 0;
            const char *from = window->from + row * window->pitch_nbytes;
            const __m512i x = hold(get_row(e, origin, dtype, from, valid, tile, row));
            ask_for_row(asking, row, dtype == MXQ_F32);
            v[j] = add_row(tile, row, x, ties, &cols);
        }
        m[i] = max_of_8(v);
    }
    tile->amax[MXQ_ROWWISE] = join_max(m);
    tile->amax[MXQ_COLUMNWISE] = cols;
}

static bool is_whole(const struct window *window)
{
    return window->rows == TILE && window->cols == ~(__mmask32)0;
}

/* A function for each type, so that each is compiled by itself; the case of most BF16 matrices has one of its own. */
static void prepare_bf16(const struct encoder *e, const struct window *window, const struct asking *asking,
                         struct tile *tile)
{
    const bool keep = e->recipe->sign == MXQ_SIGN_KEEP || e->recipe->sign == MXQ_SIGN_DROP;

    if (keep && is_whole(window))
        prepare_tile(e, FROM_PLAIN, MXQ_BF16, window, asking, tile);
    else
        prepare_tile(e, FROM_VALUES, MXQ_BF16, window, asking, tile);
}

static void prepare_values(const struct encoder *e, enum mxq_dtype dtype, const struct window *window,
                           const struct asking *asking, struct tile *tile)
{
    if (dtype == MXQ_BF16)
        prepare_bf16(e, window, asking, tile);
    else if (dtype == MXQ_F16)
        prepare_tile(e, FROM_VALUES, MXQ_F16, window, asking, tile);
    else
        prepare_tile(e, FROM_VALUES, MXQ_F32, window, asking, tile);
}

static void prepare_rows(const struct encoder *e, enum mxq_dtype dtype, const struct window *window,
                         const struct asking *asking, struct tile *tile)
{
    const struct window whole = {window->from, window->pitch_nbytes, TILE, ~(__mmask32)0};

    if (dtype == MXQ_BF16 && is_whole(window))
        prepare_tile(e, FROM_ROWS, MXQ_BF16, &whole, asking, tile);
    else if (dtype == MXQ_BF16)
        prepare_tile(e, FROM_ROWS, MXQ_BF16, window, asking, tile);
    else if (dtype == MXQ_F16)
        prepare_tile(e, FROM_ROWS, MXQ_F16, window, asking, tile);
    else
        prepare_tile(e, FROM_ROWS, MXQ_F32, window, asking, tile);
}

static void prepare_cols(const struct encoder *e, enum mxq_dtype dtype, const struct window *window,
                         const struct asking *asking, struct tile *tile)
{
    const struct window whole = {window->from, window->pitch_nbytes, TILE, ~(__mmask32)0};

    if (dtype == MXQ_BF16 && is_whole(window))
        transform_cols(e, MXQ_BF16, &whole, tile);
    else if (dtype == MXQ_BF16)
        transform_cols(e, MXQ_BF16, window, tile);
    else if (dtype == MXQ_F16)
        transform_cols(e, MXQ_F16, window, tile);
    else
        transform_cols(e, MXQ_F32, window, tile);
    prepare_tile(e, FROM_COLUMNS, dtype, window, asking, tile);
}

/* ---------------------------------------------------------------------------------------------- squares */

struct job {
    struct mxq_square_work work;
    struct encoder encoder;
};

/* A tile on its way. */
struct pending {
    struct tile tile;
    struct scales scales[MXQ_NUM_DIRECTIONS];
    uint64_t row;
    uint64_t col;
    bool good; /* no block is left to the scalar code */
};

/* The scales of the wanted directions, and whether they are good. */
INLINE void find_all_scales(const struct encoder *e, const bool wanted[MXQ_NUM_DIRECTIONS], struct pending *p)
{
    p->good = true;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        p->good &= find_scales(e->recipe, settle_amax(e->recipe, p->tile.amax[d]), &p->scales[d]) || !wanted[d];
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS && p->good; d++)
        p->good = !wanted[d] || signs_are_plain(e->recipe, &p->tile, p->scales[d].byte);
}

INLINE void encode_pending(const struct encoder *e, const struct mxq_task *square, const struct pending *p,
                           bool rowwise, bool columnwise)
{
    const bool wanted[MXQ_NUM_DIRECTIONS] = {rowwise, columnwise};
    struct places places[MXQ_NUM_DIRECTIONS] = {{0}};
    const __m512i bases[MXQ_NUM_DIRECTIONS] = {p->scales[0].base, p->scales[1].base};

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const uint64_t row = d == MXQ_ROWWISE ? p->row : p->col;
        const uint64_t block = (d == MXQ_ROWWISE ? p->col : p->row) / TILE;
        if (!wanted[d])
            continue;
        places[d] = find_places(&square->target[d], row, block, e->past);
        store_scales(&square->target[d], row, block, p->scales[d].byte);
    }
    encode_tile(e, &p->tile, bases, places, rowwise, columnwise);
}

static bool quantize_by_scalar(const struct mxq_task *square, uint64_t row0, uint64_t col0)
{
    bool nonfinite = false;

    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (square->target[d].wanted)
            nonfinite |= mxq_quantize_tile(square, d, row0, col0);
    return nonfinite;
}

/* Stores the results of a tile; returns whether it has an infinity or a NaN. */
INLINE bool finish_tile(const struct encoder *e, const struct mxq_task *square, const struct pending *p)
{
    if (!p->good)
        return quantize_by_scalar(square, p->row, p->col);
    if (!square->target[MXQ_COLUMNWISE].wanted)
        encode_pending(e, square, p, true, false);
    else if (!square->target[MXQ_ROWWISE].wanted)
        encode_pending(e, square, p, false, true);
    else
        encode_pending(e, square, p, true, true);
    return false;
}

/* The tile AHEAD tiles after the one at (row, col), in the order of quantize_square(); behind the last, the next square. */
INLINE struct asking find_asking(const struct mxq_matrix *matrix, uint64_t row, uint64_t col)
{
    const size_t elem = matrix->dtype == MXQ_F32 ? 4 : 2;
    struct asking a;

    col += (uint64_t)AHEAD * TILE;
    if (col >= MXQ_SQUARE_NELEMS) {
        col -= MXQ_SQUARE_NELEMS;
        row += TILE;
    }
    if (row >= MXQ_SQUARE_NELEMS) {
        row -= MXQ_SQUARE_NELEMS;
        col += MXQ_SQUARE_NELEMS;
    }
    a.pitch_nbytes = matrix->row_stride * elem;
    a.from = (const char *)matrix->data + row * a.pitch_nbytes + col * elem;
    return a;
}

/*
 * Each tile is prepared before the one before it is encoded: finding scales is a long chain of few instructions, which
 * would hold up what depends on it.
 */
static bool quantize_plain(const struct encoder *e, const struct mxq_task *square)
{
    const bool wanted[MXQ_NUM_DIRECTIONS] = {square->target[0].wanted, square->target[1].wanted};
    struct pending pending[2];
    unsigned n = 0;
    bool nonfinite = false;

    for (uint64_t row = 0; row < square->matrix->rows; row += TILE) {
        for (uint64_t col = 0; col < square->matrix->cols; col += TILE, n++) {
            const struct asking asking = find_asking(square->matrix, row, col);
            const struct window window = find_window(square->matrix, row, col);
            struct pending *p = &pending[n % 2];
            p->row = row;
            p->col = col;
            prepare_values(e, square->matrix->dtype, &window, &asking, &p->tile);
            if (n > 0)
                nonfinite |= finish_tile(e, square, &pending[1 - n % 2]);
            find_all_scales(e, wanted, p);
        }
    }
    return finish_tile(e, square, &pending[1 - n % 2]) || nonfinite;
}

/* With a transform each direction has values of its own. */
static bool quantize_transformed(const struct encoder *e, const struct mxq_task *square, enum mxq_direction direction,
                                 uint64_t row, uint64_t col)
{
    const bool wanted[MXQ_NUM_DIRECTIONS] = {direction == MXQ_ROWWISE, direction == MXQ_COLUMNWISE};
    const struct asking asking = find_asking(square->matrix, row, col);
    const struct window window = find_window(square->matrix, row, col);
    struct pending p;

    p.row = row;
    p.col = col;
    if (direction == MXQ_ROWWISE)
        prepare_rows(e, square->matrix->dtype, &window, &asking, &p.tile);
    else
        prepare_cols(e, square->matrix->dtype, &window, &asking, &p.tile);
    find_all_scales(e, wanted, &p);
    if (!p.good)
        return mxq_quantize_tile(square, direction, row, col);
    if (direction == MXQ_ROWWISE)
        encode_pending(e, square, &p, true, false);
    else
        encode_pending(e, square, &p, false, true);
    return false;
}

static bool quantize_square(const struct mxq_square_work *work, const struct mxq_task *square)
{
    const struct encoder *e = &((const struct job *)(const void *)work)->encoder;
    bool nonfinite = false;

    if (e->recipe->hadamard_nelems == 0)
        return quantize_plain(e, square);
    for (uint64_t row = 0; row < square->matrix->rows; row += TILE)
        for (uint64_t col = 0; col < square->matrix->cols; col += TILE)
            for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
                if (square->target[d].wanted)
                    nonfinite |= quantize_transformed(e, square, d, row, col);
    return nonfinite;
}

INLINE void store_line(bool past, uint8_t *to, __m512i v)
{
    if (past && (uintptr_t)to % 64 == 0)
        _mm512_stream_si512((void *)to, v);
    else
        _mm512_storeu_si512(to, v);
}

/* Four rows of four units each, from four vectors of one unit of each row. */
INLINE void put_units_4x4(bool past, uint8_t *to, uint64_t pitch, const uint8_t *from)
{
    const __m512i a = _mm512_load_si512(from);
    const __m512i b = _mm512_load_si512(from + 256);
    const __m512i c = _mm512_load_si512(from + 512);
    const __m512i d = _mm512_load_si512(from + 768);
    const __m512i ab_low = _mm512_shuffle_i64x2(a, b, 0x44);
    const __m512i ab_high = _mm512_shuffle_i64x2(a, b, 0xee);
    const __m512i cd_low = _mm512_shuffle_i64x2(c, d, 0x44);
    const __m512i cd_high = _mm512_shuffle_i64x2(c, d, 0xee);

    store_line(past, to, _mm512_shuffle_i64x2(ab_low, cd_low, 0x88));
    store_line(past, to + pitch, _mm512_shuffle_i64x2(ab_low, cd_low, 0xdd));
    store_line(past, to + 2 * pitch, _mm512_shuffle_i64x2(ab_high, cd_high, 0x88));
    store_line(past, to + 3 * pitch, _mm512_shuffle_i64x2(ab_high, cd_high, 0xdd));
}

static void put_units(const struct mxq_square_work *work, uint8_t *to, uint64_t pitch, const uint8_t *from)
{
    const bool past = ((const struct job *)(const void *)work)->encoder.past;

    for (unsigned row = 0; row < 16; row += 4)
        for (unsigned half = 0; half < 2; half++)
            put_units_4x4(past, to + row * pitch + 64 * half, pitch, from + 64 * row / 4 + 1024 * half);
}

/* The scales of 8 rows, row after row: of rows 0 to 7, or 8 to 15 (first is 32), or as many from 16 on (one more). */
INLINE __m512i gather_scales(const __m512i pairs[4], unsigned first)
{
    /* Where blocks 0, 1, 4 and 5 of a row are in the first two vectors: two rows that are 16 apart alternate. */
    const __m512i even = _mm512_set1_epi64(0x0000420200004000);
    const __m512i rows =
        _mm512_set_epi64(0x1c1c1c1c1c1c1c1c, 0x1818181818181818, 0x1414141414141414, 0x1010101010101010,
                         0x0c0c0c0c0c0c0c0c, 0x0808080808080808, 0x0404040404040404, 0);
    const __m512i index = _mm512_add_epi8(_mm512_add_epi8(even, rows), _mm512_set1_epi8((char)first));
    const __m512i low = _mm512_permutex2var_epi8(pairs[0], index, pairs[1]);
    const __m512i high = _mm512_permutex2var_epi8(pairs[2], _mm512_rol_epi32(index, 16), pairs[3]);

    return _mm512_mask_mov_epi16(low, 0xaaaaaaaau, high);
}

static void put_scales(const struct mxq_square_work *work, enum mxq_layout layout, uint8_t *to, uint64_t pitch,
                       const uint8_t *from)
{
    const bool past = ((const struct job *)(const void *)work)->encoder.past;
    _Alignas(64) uint8_t rows[MXQ_AITER_SCALE_GROUP][MXQ_SQUARE_BLOCKS];
    __m512i pairs[4];

    for (unsigned i = 0; i < 4; i++)
        pairs[i] = _mm512_load_si512(from + 64 * i);
    if (layout == MXQ_AITER) {
        for (unsigned i = 0; i < 4; i++)
            store_line(past, to + 64 * i, pairs[i]);
        return;
    }
    for (unsigned i = 0; i < 4; i++)
        _mm512_store_si512(rows[8 * i], gather_scales(pairs, i % 2 * 32 + i / 2));
    for (unsigned row = 0; row < MXQ_AITER_SCALE_GROUP; row++)
        memcpy(to + row * pitch, rows[row], MXQ_SQUARE_BLOCKS);
}

/* Bytes from the first to the last unit of one direction of the panel. */
static uint64_t find_reach(const struct mxq_task *task, enum mxq_direction direction)
{
    const struct mxq_target *target = &task->target[direction];
    const uint64_t rows = direction == MXQ_ROWWISE ? task->matrix->rows : task->matrix->cols;

    if (!target->wanted)
        return 0;
    return (target->data_layout == MXQ_LINEAR ? rows : rows / MXQ_AITER_DATA_GROUP) * target->data_pitch;
}

static bool quantize_panel(const struct mxq_task *task)
{
    const bool past = find_reach(task, MXQ_ROWWISE) + find_reach(task, MXQ_COLUMNWISE) > PAST_NBYTES;
    const struct job job = {{quantize_square, put_units, put_scales}, make_encoder(task->recipe, past)};
    const bool nonfinite = mxq_quantize_squares(task, &job.work);

    _mm_sfence(); /* stores past the caches are in no order with those that tell another thread of them */
    return nonfinite;
}

static bool runs_here(void)
{
    static const char *const features[] = {"avx2", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vbmi"};

    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
        if (!mxq_cpu_has(features[i]))
            return false;
    return true;
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

const struct mxq_kernel mxq_kernel_avx512 = {
    .name = "avx512",
    .summary = "AVX-512 with VBMI, tiles of 32 x 32",
    .runs_here = runs_here,
    .takes = mxq_recipe_is_for_squares,
    .quantize_panel = quantize_panel,
    .sum_run = mxq_sum_run_avx512,
};
