/* selftest_cases.c - which matrices mxfp4q selftest quantizes, and how */
#include "cli/selftest.h"

#include "kernels/layout.h"
#include "kernels/mxq_gpu.h"

#include <string.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

/* ---- random numbers */

/* splitmix64: every state is good, so a state can be made of a seed and the number of a case. */
uint64_t mxq_selftest_next(struct mxq_selftest_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

unsigned mxq_selftest_pick(struct mxq_selftest_random *random, unsigned n)
{
    return (unsigned)((mxq_selftest_next(random) >> 32) * n >> 32);
}

static unsigned pick(struct mxq_selftest_case *c, unsigned n)
{
    return mxq_selftest_pick(&c->random, n);
}

/* ---- what a case is where nothing else is chosen */

/* Profiles that GPUs take, by their number among these. Kernels of CPUs leave what they do not take to scalar. */
static const struct mxq_profile *get_profile(unsigned index)
{
    const struct mxq_profile *profile;

    for (size_t i = 0; (profile = mxq_get_profile(i)) != NULL; i++)
        if (mxq_gpu_takes(&profile->recipe) && index-- == 0)
            return profile;
    return NULL;
}

static unsigned count_profiles(void)
{
    unsigned n = 0;

    while (get_profile(n) != NULL)
        n++;
    return n;
}

/* Sizes at both sides of what kernels do at once. */
static uint64_t pick_size(struct mxq_selftest_case *c)
{
    static const uint16_t sizes[] = {1,  2,  3,  15, 16,  17,  31,  32,  33,  37,  47,
                                     63, 64, 65, 96, 101, 127, 128, 160, 255, 256, 257};

    return pick(c, 3) == 0 ? 1 + pick(c, 300) : sizes[pick(c, NELEMS(sizes))];
}

static void take_profile(struct mxq_selftest_case *c, unsigned index)
{
    c->profile = get_profile(index);
    mxq_init_options(&c->options, c->profile);
}

static void pick_switches(struct mxq_selftest_case *c)
{
    struct mxq_recipe *recipe = &c->options.recipe;

    c->profile = NULL;
    recipe->scale = pick(c, MXQ_SCALE_RCEIL + 1);
    recipe->ties = pick(c, MXQ_TIES_ZERO + 1);
    recipe->sign = pick(c, MXQ_NUM_SIGNS);
    recipe->zero_byte = (uint8_t)pick(c, 256);
    recipe->underflow = pick(c, MXQ_NUM_UNDERFLOWS);
    recipe->sixth = pick(c, MXQ_NUM_SIXTHS);
    recipe->huge_byte = (uint8_t)(253 + pick(c, 3));
    recipe->infinity_byte = (uint8_t)(253 + pick(c, 3));
    recipe->nan_poisons = pick(c, 2);
    recipe->nan_fills = pick(c, 2);
    recipe->nan_code = (uint8_t)pick(c, 16);
    recipe->nan_keeps_sign = pick(c, 2);
}

static void pick_hadamard(struct mxq_selftest_case *c, bool hadamard)
{
    const uint32_t signs = hadamard && pick(c, 2) ? (uint32_t)mxq_selftest_next(&c->random) : 0;

    c->options.recipe.hadamard_nelems = hadamard ? 16 : 0;
    for (unsigned i = 0; i < MXQ_HADAMARD_NWORDS; i++)
        c->options.recipe.hadamard_signs[i] = signs;
}

static void set_size(struct mxq_selftest_case *c, uint64_t rows, uint64_t cols, unsigned gap)
{
    c->rows = rows;
    c->cols = cols;
    c->row_stride = cols + gap;
}

/* Layouts, directions, and where buffers begin. */
static void pick_places(struct mxq_selftest_case *c)
{
    c->options.pad_fill = (uint8_t)pick(c, 256);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        c->options.layout[b] = pick(c, MXQ_NUM_LAYOUTS);
    if (pick(c, 3) == 0)
        c->options.wanted[pick(c, 2)] = false;
    c->element_offset = pick(c, 2) ? pick(c, 64) : 0;
    c->byte_offset = pick(c, 2) ? pick(c, 64) : 0;
}

static void make_random(struct mxq_selftest_case *c, unsigned n)
{
    (void)n;
    take_profile(c, pick(c, count_profiles()));
    if (pick(c, 2))
        pick_switches(c);
    pick_hadamard(c, pick(c, 4) == 0);
    pick_places(c);
    set_size(c, pick_size(c), pick_size(c), pick(c, 2) ? pick(c, 70) : 0);
    c->dtype = pick(c, MXQ_NUM_DTYPES);
    c->pattern = pick(c, MXQ_SELFTEST_MIXED + 1);
}

/* ---- what is chosen */

/* Tails of every two lengths, behind no tile or behind some. */
static void make_tails(struct mxq_selftest_case *c, unsigned n)
{
    make_random(c, n);
    set_size(c, 32 * pick(c, 3) + 1 + n / 31, 32 * pick(c, 3) + 1 + n % 31, pick(c, 3));
}

static const uint16_t primes[] = {2,  3,  5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,   61,  67,
                                  71, 97, 101, 127, 131, 251, 257, 263, 509, 521, 541, 769, 1021, 1031};

static void make_primes(struct mxq_selftest_case *c, unsigned n)
{
    const uint64_t size = primes[n / 2];
    uint64_t other;

    make_random(c, n);
    other = primes[pick(c, size < 500 ? NELEMS(primes) : NELEMS(primes) / 2)];
    set_size(c, n % 2 ? size : other, n % 2 ? other : size, pick(c, 2) * 29);
}

#define NUM_INPUTS (MXQ_SELFTEST_MIXED * MXQ_NUM_DTYPES)

/* Every profile on every kind of input. */
static void make_profiles(struct mxq_selftest_case *c, unsigned n)
{
    make_random(c, n);
    take_profile(c, n / NUM_INPUTS);
    pick_places(c);
    pick_hadamard(c, pick(c, 4) == 0);
    c->pattern = n % MXQ_SELFTEST_MIXED;
    c->dtype = n / MXQ_SELFTEST_MIXED % MXQ_NUM_DTYPES;
}

/* The digits of n: type, layouts of scales and of codes, directions, transform. */
#define NUM_COMBINATIONS (MXQ_NUM_DTYPES * MXQ_NUM_LAYOUTS * MXQ_NUM_LAYOUTS * 3 * 2)

static void make_combinations(struct mxq_selftest_case *c, unsigned n)
{
    make_random(c, n);
    take_profile(c, n / NUM_COMBINATIONS);
    n %= NUM_COMBINATIONS;
    set_size(c, 33 + pick(c, 64), 33 + pick(c, 64), pick(c, 4));
    c->dtype = n % MXQ_NUM_DTYPES;
    n /= MXQ_NUM_DTYPES;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        c->options.layout[b] = mxq_is_scale(b) ? n % MXQ_NUM_LAYOUTS : n / MXQ_NUM_LAYOUTS % MXQ_NUM_LAYOUTS;
    n /= MXQ_NUM_LAYOUTS * MXQ_NUM_LAYOUTS;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        c->options.wanted[d] = n % 3 != d;
    pick_hadamard(c, n / 3 != 0);
}

/* All patterns of 16 bits with every profile, as BF16 and FP16, in order and scattered over the blocks. */
static void make_all_bits(struct mxq_selftest_case *c, unsigned n)
{
    make_random(c, n);
    take_profile(c, n / 4);
    pick_places(c);
    c->options.wanted[MXQ_ROWWISE] = c->options.wanted[MXQ_COLUMNWISE] = true;
    set_size(c, 256, 256, 0);
    c->dtype = n % 2 ? MXQ_F16 : MXQ_BF16;
    c->pattern = n / 2 % 2 ? MXQ_SELFTEST_SCATTERED : MXQ_SELFTEST_ASCENDING;
}

static void make_panels(struct mxq_selftest_case *c, unsigned n)
{
    make_random(c, n);
    set_size(c, 257 + pick(c, 444), 257 + pick(c, 644), pick(c, 2));
    c->panel_rows = (uint64_t)MXQ_PANEL_ALIGN * (1 + pick(c, 2));
    c->panel_cols = (uint64_t)MXQ_PANEL_ALIGN * (1 + pick(c, 3));
}

static void make_large(struct mxq_selftest_case *c, unsigned n)
{
    (void)n;
    take_profile(c, 0);
    set_size(c, 4096, 4160, 0);
    c->dtype = MXQ_BF16;
    c->pattern = MXQ_SELFTEST_MIXED;
}

struct group {
    const char *name;
    unsigned ncases;
    bool each_profile; /* so many of each */
    void (*make)(struct mxq_selftest_case *c, unsigned n);
};

static const struct group groups[] = {
    {"tails", 31 * 31, false, make_tails},
    {"primes", 2 * NELEMS(primes), false, make_primes},
    {"profiles", NUM_INPUTS, true, make_profiles},
    {"combinations", NUM_COMBINATIONS, true, make_combinations},
    {"all bits", 4, true, make_all_bits},
    {"panels", 24, false, make_panels},
    {"large", 1, false, make_large},
};

static unsigned count_cases(const struct group *group)
{
    return group->each_profile ? group->ncases * count_profiles() : group->ncases;
}

uint64_t mxq_count_selftest_cases(void)
{
    uint64_t ncases = 0;

    for (size_t i = 0; i < NELEMS(groups); i++)
        ncases += count_cases(&groups[i]);
    return ncases;
}

void mxq_make_selftest_case(uint64_t seed, uint64_t number, struct mxq_selftest_case *c)
{
    uint64_t n = number - 1;

    memset(c, 0, sizeof(*c));
    c->seed = seed;
    c->number = number;
    c->random.state = seed;
    c->random.state = mxq_selftest_next(&c->random) + number;
    c->random.state = mxq_selftest_next(&c->random);
    for (size_t i = 0; i < NELEMS(groups); i++) {
        const unsigned ncases = count_cases(&groups[i]);
        if (n < ncases) {
            c->group = groups[i].name;
            groups[i].make(c, (unsigned)n);
            return;
        }
        n -= ncases;
    }
    c->group = "random";
    make_random(c, 0);
}

const char *mxq_selftest_pattern_name(unsigned pattern)
{
    static const char *const names[] = {"bits", "normal", "ties",      "edges", "edges-finite",  "zeros",
                                        "amax", "rare",   "vanishing", "mixed", "all-ascending", "all-scattered"};

    return pattern < NELEMS(names) ? names[pattern] : NULL;
}
