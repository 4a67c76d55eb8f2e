/*
 * check_random - holds random bits to the vectors of their authors, and stochastic rounding to real numbers and statistics
 *
 * Codes are first compared with what the definition says about real numbers, one by one. The statistics then look at what
 * no single code shows: means of decoded values, and whether neighbours are independent. They are themselves checked with
 * roundings that have one fault each, which they must find. Everything is computed from fixed seeds: a check that passes
 * once passes always.
 */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"
#include "unit/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

/* ---------------------------------------------------------------------------------------------- the generator */

static void check_vectors(void)
{
    /* kat_vectors of Random123, philox4x32 10: counter, key, words */
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t words[4];
    } vectors[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         0xffffffffffffffffu,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         0x299f31d0a4093822u,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    bool good = true;

    for (size_t i = 0; i < NELEMS(vectors); i++) {
        uint32_t words[4];
        memcpy(words, vectors[i].counter, sizeof(words));
        mxq_philox4x32(vectors[i].key, words);
        good = good && memcmp(words, vectors[i].words, sizeof(words)) == 0;
    }
    CHECK(good, "Philox4x32-10 gives the published vectors");
}

static void check_signs(void)
{
    static const uint32_t want[MXQ_HADAMARD_NWORDS] = {0x07071c12, 0x428264b6, 0x3909104b, 0x6da2bda2};
    uint32_t signs[MXQ_HADAMARD_NWORDS];

    mxq_draw_hadamard_signs(1, signs);
    CHECK(memcmp(signs, want, sizeof(want)) == 0, "signs are drawn from stream 1, as mxfp4q(5) says");
}

/* ---------------------------------------------------------------------------------------------- one code */

static const double grid[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

/* What the definition says, in real numbers: FP64 holds all that occurs here. */
static int expected_code(double v, uint32_t u)
{
    int lower = 7;

    if (v >= 6)
        return 7;
    while (grid[lower] > v)
        lower--;
    return lower + (u < (v - grid[lower]) / (grid[lower + 1] - grid[lower]) * 0x1p32);
}

/* Random bits on both sides of where the answer changes, and elsewhere. */
static uint32_t pick_bits(double v, unsigned n, uint32_t random)
{
    int lower = 7;
    double change;

    while (grid[lower] > v)
        lower--;
    change = lower == 7 ? 0 : (v - grid[lower]) / (grid[lower + 1] - grid[lower]) * 0x1p32;
    switch (n) {
    case 0:
        return 0;
    case 1:
        return 0xffffffff;
    case 2:
    case 3:
    case 4:
        return (uint32_t)(uint64_t)change + n - 3;
    default:
        return random;
    }
}

static void check_codes(void)
{
    const char *name = "stochastic codes are what the definition says about real numbers";
    uint32_t words[4];

    for (uint32_t i = 0; i < 40000; i++) {
        mxq_random_words(17, 5, i, words);
        const uint32_t magnitude = (words[0] & 0x7fffffff) % MXQ_F32_INFINITY;
        const int exponent = (int)(magnitude >> 23);
        /* Most scale bytes near the value, so that it is neither saturated nor tiny; some far away. */
        const int near_byte = exponent - 2 + (int)(words[1] % (i % 4 == 0 ? 60 : 8)) - 2;
        const uint8_t byte = (uint8_t)(i % 32 == 0 ? words[2] % 255
                                                   : (unsigned)(near_byte < 0     ? 0
                                                                : near_byte > 254 ? 254
                                                                                  : near_byte));
        const double v = ldexp((double)mxq_f32_value(magnitude), 127 - (int)byte);
        for (unsigned n = 0; n < 6; n++) {
            const uint32_t u = pick_bits(v, n, words[3]);
            const int want = expected_code(v, u);
            const int got = mxq_round_stochastic(magnitude, byte, u);
            if (want != got) {
                CHECK_FAIL(name, "magnitude %08x, byte %u, bits %08x: want %d, got %d", (unsigned)magnitude, byte,
                           (unsigned)u, want, got);
                return;
            }
        }
    }
    CHECK_PASS(name);
}

/* ---------------------------------------------------------------------------------------------- places */

#define ROWS 70
#define COLS 301

static uint8_t code_at(const uint8_t *data, uint64_t pitch, uint64_t row, uint64_t i)
{
    return data[row * pitch + i / 2] >> i % 2 * 4 & 15;
}

/* Every element of a matrix is rounded by the bits of its number, in both directions, under a scale of 1. */
static bool places_hold(const struct mxq_kernel *kernel, const uint32_t *values)
{
    static uint8_t data[MXQ_NUM_DIRECTIONS][(ROWS + 1) * (COLS + 1)];
    static uint8_t scale[MXQ_NUM_DIRECTIONS][(ROWS + 1) * (COLS + 1)];
    uint8_t *const out[MXQ_NUM_BUFFERS] = {data[0], scale[0], data[1], scale[1]};
    const struct mxq_matrix matrix = {values, MXQ_F32, ROWS, COLS, COLS};
    struct mxq_options options;
    struct mxq_plan plan;
    bool good;

    mxq_init_options(&options, NULL);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = MXQ_LINEAR;
    options.recipe.ties = MXQ_TIES_STOCHASTIC;
    options.recipe.seed = 0x123456789abcdefu;
    options.recipe.block = MXQ_BLOCK_32X32;
    good = mxq_make_plan(&plan, &options, ROWS, COLS) == MXQ_OK &&
           mxq_quantize(&plan, kernel, &matrix, out, NULL) == MXQ_OK;
    for (uint64_t i = 0; i < ROWS * COLS && good; i++) {
        const uint8_t want = mxq_round_stochastic(values[i], 127, mxq_random_bits(options.recipe.seed, i));
        good = code_at(data[0], (COLS + 1) / 2, i / COLS, i % COLS) == want &&
               code_at(data[1], (ROWS + 1) / 2, i % COLS, i / COLS) == want;
    }
    return good;
}

static void check_places(void)
{
    static uint32_t values[ROWS * COLS];
    const struct mxq_kernel *kernel;
    char name[120];

    for (uint64_t i = 0; i < ROWS * COLS; i++) {
        const uint32_t u = mxq_random_bits(99, i);
        values[i] = mxq_f32_bits(6.0f * (float)(u >> 8) * 0x1p-24f);
        if (i % COLS % 32 == i / COLS % 32 % 13) /* in every tile, however ragged */
            values[i] = mxq_f32_bits(6.0f);
    }
    for (size_t k = 0; (kernel = mxq_get_kernel(k)) != NULL; k++) {
        snprintf(name, sizeof(name), "%s rounds every element by the bits of its number, in both directions",
                 mxq_kernel_name(kernel));
        if (mxq_kernel_runs_here(kernel))
            CHECK(places_hold(kernel, values), name);
        else
            CHECK_SKIP(name, "this CPU cannot run it");
    }
}

/* ---------------------------------------------------------------------------------------------- statistics */

/* How a magnitude below 6 is rounded under a scale of 1. */
typedef uint8_t (*rounding)(uint32_t magnitude, uint64_t seed, uint64_t place);

#define NVALUES 40
#define NPLACES 65536

struct statistics {
    double worst;      /* the largest |z| */
    double sum;        /* of z^2, */
    unsigned nsquares; /* of so many */
};

static void add_z(struct statistics *s, double z)
{
    s->worst = fabs(z) > s->worst ? fabs(z) : s->worst;
    s->sum += z * z;
    s->nsquares++;
}

/*
 * z: how many standard deviations a mean is off. A fair one is beyond 5 once in 1.7 million times; and the sum of n squares
 * is n, give or take a few times sqrt(2n): much less means numbers that are too even to be random.
 */
static bool is_fair(const struct statistics *s)
{
    const double n = (double)s->nsquares;

    return s->worst < 5 && fabs(s->sum - n) < 6 * sqrt(2 * n);
}

/* Values between all codes, none of them near one, and not those of any other test. */
static double value_of(unsigned n)
{
    const unsigned lower = n % 7;
    const double part = 0.03 + 0.94 * fmod(0.6180339887498949 * (n + 1), 1.0);

    return (double)(float)(grid[lower] + part * (grid[lower + 1] - grid[lower]));
}

/* The mean of decoded values against the value. */
static void look_at_means(rounding round, uint64_t seed, struct statistics *s)
{
    for (unsigned n = 0; n < NVALUES; n++) {
        const double v = value_of(n);
        const double low = grid[n % 7], gap = grid[n % 7 + 1] - low;
        const double p = (v - low) / gap;
        double sum = 0;
        for (uint64_t i = 0; i < NPLACES; i++)
            sum += grid[round(mxq_f32_bits((float)v), seed, (uint64_t)n * NPLACES + i)] - v;
        add_z(s, sum / (gap * sqrt(NPLACES * p * (1 - p))));
    }
}

/* Of a value midway, whether an element and the one some places later go the same way half of the time. */
static void look_at_neighbours(rounding round, uint64_t seed, struct statistics *s)
{
    static uint8_t up[NPLACES + 64];
    const uint32_t midway = mxq_f32_bits(0.25f);

    for (uint64_t i = 0; i < NELEMS(up); i++)
        up[i] = round(midway, seed, i);
    for (unsigned distance = 1; distance <= 64; distance++) {
        int same = 0;
        for (uint64_t i = 0; i < NPLACES; i++)
            same += up[i] == up[i + distance];
        add_z(s, (same - NPLACES / 2) / sqrt(NPLACES / 4.0));
    }
}

/* Two seeds that differ in one bit, or hardly, say nothing about each other. */
static void look_at_seeds(rounding round, struct statistics *s)
{
    const uint32_t midway = mxq_f32_bits(2.5f);

    for (unsigned bit = 0; bit < 64; bit++) {
        int same = 0;
        for (uint64_t i = 0; i < 4096; i++)
            same += round(midway, 1, i) == round(midway, 1 ^ (uint64_t)1 << bit, i);
        add_z(s, (same - 2048) / sqrt(1024.0));
    }
}

static struct statistics look_at(rounding round)
{
    static const uint64_t seeds[] = {0, 1, 0xdeadbeefcafef00du};
    struct statistics s = {0, 0, 0};

    for (size_t i = 0; i < NELEMS(seeds); i++) {
        look_at_means(round, seeds[i], &s);
        look_at_neighbours(round, seeds[i], &s);
    }
    look_at_seeds(round, &s);
    return s;
}

static uint8_t round_fairly(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    return mxq_round_stochastic(magnitude, 127, mxq_random_bits(seed, place));
}

static uint8_t round_to_nearest(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    const struct mxq_thresholds t = mxq_find_thresholds(MXQ_TIES_EVEN, 127);

    (void)seed;
    (void)place;
    return mxq_encode_value(&mxq_get_profile(0)->recipe, magnitude, &t);
}

static uint8_t round_with_1_percent(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    const uint32_t u = mxq_random_bits(seed, place);

    return mxq_round_stochastic(magnitude, 127, u - u / 100);
}

static uint8_t round_with_5_bits(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    return mxq_round_stochastic(magnitude, 127, mxq_random_bits(seed, place) & 0xf8000000);
}

/* As if 2 to 6 were one interval of codes apart like those below. */
static uint8_t round_with_wrong_gaps(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    const double v = (double)mxq_f32_value(magnitude);
    const double u = mxq_random_bits(seed, place) * 0x1p-32;

    return v < 4 ? round_fairly(magnitude, seed, place) : (uint8_t)(6 + (u < (v - 4) * (v - 4) / 4));
}

static uint8_t round_four_alike(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    return round_fairly(magnitude, seed, place / 4 * 4);
}

static uint8_t round_by_turns(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    return mxq_round_stochastic(magnitude, 127, (uint32_t)((place + seed) * 0x9e3779b97f4a7c15u >> 32));
}

static uint8_t round_with_half_the_seed(uint32_t magnitude, uint64_t seed, uint64_t place)
{
    return round_fairly(magnitude, (uint32_t)seed, place);
}

static void check_statistics(void)
{
    static const struct {
        const char *fault;
        rounding round;
    } mutants[] = {
        {"rounds to nearest", round_to_nearest},
        {"is 1 percent off", round_with_1_percent},
        {"has 5 random bits", round_with_5_bits},
        {"takes a wrong part of the way", round_with_wrong_gaps},
        {"has the same bits for four elements", round_four_alike},
        {"has numbers that are evenly spread", round_by_turns},
        {"leaves half of the seed out", round_with_half_the_seed},
    };
    struct statistics s = look_at(round_fairly);
    const char *name = "stochastic rounding has no bias, and neighbours and seeds are independent";
    char text[120];

    if (is_fair(&s))
        CHECK_PASS(name);
    else
        CHECK_FAIL(name, "largest deviation %.2f, sum of squares %.1f of %u", s.worst, s.sum, s.nsquares);
    for (size_t i = 0; i < NELEMS(mutants); i++) {
        s = look_at(mutants[i].round);
        snprintf(text, sizeof(text), "the statistics find a rounding that %s", mutants[i].fault);
        CHECK(!is_fair(&s), text);
    }
}

int main(void)
{
    check_vectors();
    check_signs();
    check_codes();
    check_places();
    check_statistics();
    return check_finish();
}
