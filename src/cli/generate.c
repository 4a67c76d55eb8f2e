/* generate.c - tensors that are made up, as mxfp4q(5), GENERATOR, specifies them */
#include "cli/generate.h"

#include <string.h>

#define TILE 32

static const char *const pattern_names[MXQ_NUM_PATTERNS] = {
    "uniform", "normal", "lognormal", "ties", "edges", "edges-finite", "zeros", "ramp", "outlier",
};

const char *mxq_pattern_name(enum mxq_pattern pattern)
{
    return (unsigned)pattern < MXQ_NUM_PATTERNS ? pattern_names[pattern] : NULL;
}

/* ---- random words */

#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

/* The output function of SplitMix64. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t random_word(const struct mxq_generator *generator, unsigned stream, uint64_t n)
{
    return mix(generator->key[stream] + (n + 1) * GOLDEN_GAMMA);
}

/* ---- floating-point numbers as bits */

struct format {
    unsigned fraction_nbits;
    int least;  /* the smallest subnormal is 2^least */
    int lowest; /* first target of the edges, see there */
    unsigned ntargets;
    uint32_t infinity;
    uint32_t sign;
};

static const struct format formats[MXQ_NUM_DTYPES] = {
    [MXQ_BF16] = {7, -133, -7, 260, 0x7f80, 0x8000},
    [MXQ_F16] = {10, -24, 102, 39, 0x7c00, 0x8000},
    [MXQ_F32] = {23, -149, -23, 276, 0x7f800000, 0x80000000},
};

static int floor_log2(uint64_t m)
{
    return 63 - __builtin_clzll(m);
}

/* m >> shift, rounded to nearest, ties to even; m is below 2^63. */
static uint64_t shift_and_round(uint64_t m, int shift)
{
    uint64_t half, rest, n;

    if (shift > 63)
        return 0;
    half = UINT64_C(1) << (shift - 1);
    rest = m & (2 * half - 1);
    n = m / half / 2;
    return n + (rest > half || (rest == half && n % 2 == 1));
}

/* The bits of the number nearest to m * 2^e, ties to even; m is below 2^63. */
static uint32_t encode_magnitude(const struct format *format, uint64_t m, int e)
{
    int unit; /* the last bit of the result stands for 2^unit */
    uint64_t n;

    if (m == 0)
        return 0;
    unit = floor_log2(m) + e - (int)format->fraction_nbits;
    if (unit < format->least)
        unit = format->least;
    n = unit > e ? shift_and_round(m, unit - e) : m << (e - unit);
    /* From the second binade on n has its leading bit, which counts one more; so does a carry out of the fraction. */
    n += (uint64_t)(unit - format->least) << format->fraction_nbits;
    return n < format->infinity ? (uint32_t)n : format->infinity;
}

static uint32_t with_sign(const struct format *format, bool negative, uint32_t magnitude)
{
    return negative ? magnitude | format->sign : magnitude;
}

static uint32_t encode_signed(const struct format *format, int64_t m, int e)
{
    return with_sign(format, m < 0, encode_magnitude(format, m < 0 ? -(uint64_t)m : (uint64_t)m, e));
}

/* ---- places */

/* One element, and the tile of 32 x 32 it is in, which is smaller at the end of a row or column. */
struct place {
    const struct mxq_generator *generator;
    const struct format *format;
    uint64_t index;
    uint64_t row;
    uint64_t col;
};

static uint64_t tile_size(uint64_t position, uint64_t total)
{
    const uint64_t left = total - position / TILE * TILE;

    return left < TILE ? left : TILE;
}

static uint64_t tile_number(const struct place *p)
{
    return p->row / TILE * ((p->generator->cols + TILE - 1) / TILE) + p->col / TILE;
}

/* One element of each row and column of a full tile; of a smaller one, one of each line along its longer side. */
static bool is_peak(const struct place *p, uint64_t shift)
{
    const uint64_t width = tile_size(p->col, p->generator->cols);
    const uint64_t height = tile_size(p->row, p->generator->rows);
    const uint64_t x = p->col % TILE;
    const uint64_t y = p->row % TILE;

    return width <= height ? (y + shift) % width == x : (x + shift) % height == y;
}

/* ---- patterns */

static uint32_t make_uniform(const struct place *p)
{
    const int64_t u = (int64_t)(random_word(p->generator, 0, p->index) >> 32);
    const int64_t m = 3 * (2 * u + 1) - (INT64_C(1) << 34);
    const uint32_t bits = encode_signed(p->format, m, -33);

    /* Rounding may reach the bounds, which are not in the range. */
    if (bits == encode_signed(p->format, 1, 0) || bits == encode_signed(p->format, -1, 1))
        return bits - 1;
    return bits;
}

/* The sum of twelve uniform numbers, less its mean: 2^32 standard deviations of 1, at most 6 of them. */
static int64_t draw_normal(const struct place *p)
{
    int64_t sum = -6 * INT64_C(0xffffffff);

    for (unsigned k = 0; k < 6; k++) {
        const uint64_t word = random_word(p->generator, 0, 6 * p->index + k);
        sum += (int64_t)(word >> 32) + (int64_t)(word & 0xffffffff);
    }
    return sum;
}

static uint32_t make_normal(const struct place *p)
{
    return encode_signed(p->format, draw_normal(p), -32);
}

/* One column in every 64 is larger, by this power of two. */
static int column_exponent(const struct place *p)
{
    const uint64_t group = p->col / 64;
    const uint64_t left = p->generator->cols - 64 * group;
    const uint64_t word = random_word(p->generator, 2, group);

    return p->col % 64 == word % (left < 64 ? left : 64) ? 3 + (int)(word >> 62) : 0;
}

/* 2^g, but with the fraction of g as the fraction of the number. */
static uint32_t make_lognormal(const struct place *p)
{
    /* All of it is made positive, so that dividing and shifting round down: g + 16. */
    const uint64_t g = ((uint64_t)(3 * draw_normal(p) + (INT64_C(32) << 32)) >> 1) - (UINT64_C(2) << 32);
    const int exponent = (int)(g >> 32) - 16 + column_exponent(p);
    const bool negative = random_word(p->generator, 1, p->index) & 1;

    return with_sign(p->format, negative,
                     encode_magnitude(p->format, (UINT64_C(1) << 32) + (g & 0xffffffff), exponent - 32));
}

/* Magnitudes of E2M1 and what lies midway between them, in quarters. */
static const uint8_t code_quarters[8] = {0, 2, 4, 6, 8, 12, 16, 24};
static const uint8_t tie_quarters[7] = {1, 3, 5, 7, 10, 14, 20};

static uint32_t make_ties(const struct place *p)
{
    const uint64_t tile = random_word(p->generator, 0, tile_number(p));
    const uint64_t word = random_word(p->generator, 1, p->index);
    const int exponent = (int)(tile & 15) - 8;
    const bool low_peak = tile >> 4 & 1;
    const bool negative = word & 1;
    uint32_t bits;

    if (is_peak(p, tile >> 8 & 31))
        return with_sign(p->format, negative, encode_magnitude(p->format, low_peak ? 4 : 6, exponent));
    bits = encode_magnitude(p->format, tie_quarters[(word >> 32) % (low_peak ? 6 : 7)], exponent - 2);
    if ((word >> 1 & 3) == 2)
        bits++;
    else if ((word >> 1 & 3) == 3)
        bits--;
    return with_sign(p->format, negative, bits);
}

static uint32_t make_outlier(const struct place *p)
{
    const uint64_t tile = random_word(p->generator, 1, tile_number(p));
    uint64_t word;

    if (!is_peak(p, tile >> 8 & 31))
        return make_normal(p);
    word = random_word(p->generator, 2, p->index);
    return with_sign(p->format, word & 1,
                     encode_magnitude(p->format, (UINT64_C(1) << 32) + (word >> 32), (int)(word >> 1 & 7) + 5 - 32));
}

static uint32_t make_zero(const struct place *p)
{
    (void)p;
    return 0;
}

static uint32_t make_ramp(const struct place *p)
{
    return encode_signed(p->format, (int64_t)(p->index % 8191) - 4095, -10);
}

/* ---- edges: a cycle of tiles, each with 32 items along its rows and its columns */

#define NUM_SPECIALS 12
#define NUM_NONFINITES 13

/* Every code and every tie of a block whose scale byte is to be target (with most rules), in both signs. */
static uint32_t target_magnitude(const struct format *format, int target, unsigned item)
{
    if (item / 2 == 15)
        return 1;
    return encode_magnitude(format, item / 2 < 8 ? code_quarters[item / 2] : tie_quarters[item / 2 - 8], target - 129);
}

/* The target of tile n of the targets: the first is 127, and after the largest comes the lowest. */
static int nth_target(const struct format *format, uint64_t n)
{
    return format->lowest + (int)((127 - format->lowest + (int)n) % (int)format->ntargets);
}

static uint32_t special_magnitude(const struct format *format, unsigned number)
{
    const uint32_t normal = UINT32_C(1) << format->fraction_nbits; /* the smallest */
    const uint32_t four = encode_magnitude(format, 4, 0);
    const uint32_t six = encode_magnitude(format, 6, 0);
    const uint32_t seven = encode_magnitude(format, 7, 0);
    const uint32_t magnitudes[NUM_SPECIALS] = {0,     1,         2,       normal - 1, normal,   format->infinity - 1,
                                               seven, seven - 1, six + 1, four,       four + 1, four - 1};

    return magnitudes[number];
}

/* An infinity, a quiet, a signalling and a full NaN: each alone with either sign, then nothing else; then two at once. */
static uint32_t nonfinite_magnitude(const struct format *format, unsigned number, unsigned item)
{
    const uint32_t fraction = (UINT32_C(1) << format->fraction_nbits) - 1;
    const uint32_t kinds[4] = {format->infinity, format->infinity + fraction / 2 + 1, format->infinity + 1,
                               format->infinity + fraction};

    if (number == NUM_NONFINITES - 1 && item < 2)
        return kinds[item];
    if (number < NUM_NONFINITES - 1 && (number % 3 == 2 || item == number % 3))
        return kinds[number / 3];
    return target_magnitude(format, 127, item);
}

static uint32_t edge_magnitude(const struct place *p, unsigned item)
{
    const unsigned nnonfinites = p->generator->pattern == MXQ_PATTERN_EDGES ? NUM_NONFINITES : 0;
    uint64_t entry = tile_number(p) % (p->format->ntargets + NUM_SPECIALS + nnonfinites);

    if (entry == 0)
        return target_magnitude(p->format, 127, item);
    entry -= 1;
    if (entry < NUM_SPECIALS)
        return special_magnitude(p->format, (unsigned)entry);
    entry -= NUM_SPECIALS;
    if (entry < nnonfinites)
        return nonfinite_magnitude(p->format, (unsigned)entry, item);
    return target_magnitude(p->format, nth_target(p->format, entry - nnonfinites + 1), item);
}

static uint32_t make_edge(const struct place *p)
{
    const unsigned item = (unsigned)((p->row + p->col) % TILE);

    return with_sign(p->format, item % 2 == 1, edge_magnitude(p, item));
}

/* ---- the generator */

static uint32_t (*const makers[MXQ_NUM_PATTERNS])(const struct place *) = {
    make_uniform, make_normal, make_lognormal, make_ties, make_edge, make_edge, make_zero, make_ramp, make_outlier,
};

void mxq_init_generator(struct mxq_generator *generator, enum mxq_pattern pattern, uint64_t seed, enum mxq_dtype dtype,
                        uint64_t rows, uint64_t cols)
{
    memset(generator, 0, sizeof(*generator));
    generator->pattern = pattern;
    generator->dtype = dtype;
    generator->rows = rows;
    generator->cols = cols;
    for (unsigned stream = 0; stream < MXQ_NUM_STREAMS; stream++)
        generator->key[stream] = mix(mix(seed) + 16 * (uint64_t)pattern + stream);
}

void mxq_generate(const struct mxq_generator *generator, uint64_t first, uint64_t nelems, uint8_t *bytes)
{
    const size_t elem_nbytes = mxq_dtype_nbytes(generator->dtype);
    struct place p = {generator, &formats[generator->dtype], first, 0, 0};

    if (nelems == 0)
        return;
    p.row = first / generator->cols;
    p.col = first % generator->cols;
    for (; p.index < first + nelems; p.index++) {
        const uint32_t bits = makers[generator->pattern](&p);
        for (size_t b = 0; b < elem_nbytes; b++)
            *bytes++ = (uint8_t)(bits >> 8 * b);
        if (++p.col == generator->cols) {
            p.col = 0;
            p.row++;
        }
    }
}
