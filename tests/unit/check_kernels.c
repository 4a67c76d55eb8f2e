/*
 * check_kernels - holds every variant against the scalar definition, byte for byte
 *
 * Reference and variant get identical copies of an input that lies between two inaccessible pages and cannot be written,
 * and poisoned output buffers between two inaccessible pages, which are compared whole. Buffers start at any address that
 * their elements allow. Inputs are chosen (ties, zeros, subnormals, the largest values, infinities, NaNs, tails of 1 to
 * 31, primes) as well as random. The harness itself is checked with mutants: variants with one fault each, which it must
 * find.
 *
 *   check_kernels [--list] [--digest] [--bench] [--seed N] [--rounds N] [--kernel NAME]
 */
#include "kernels/mxq_block.h"
#include "kernels/mxq_internal.h"
#include "unit/check.h"
#include "unit/kernel_mutants.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t random_state;
static uint64_t seed = 1;
static unsigned nrounds = 400;

/* splitmix64: every state is good, so a seed printed by a failure can simply be given back. */
static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static unsigned pick(unsigned n)
{
    return (unsigned)(next_random() % n);
}

/* ---------------------------------------------------------------------------------------------- guarded memory */

struct guarded {
    uint8_t *map;
    size_t map_nbytes;
    uint8_t *bytes; /* nbytes of them, touching one of the two inaccessible pages but for the slack */
    size_t nbytes;
    uint8_t *slack; /* bytes that must stay as they are; so the others can start at any address */
    size_t slack_nbytes;
};

#define SLACK_BYTE 0xc3

static size_t page_nbytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static struct guarded allocate_guarded(size_t nbytes, bool touch_end, size_t slack_nbytes)
{
    const size_t page = page_nbytes();
    const size_t inner = (nbytes + slack_nbytes + page - 1) / page * page;
    struct guarded g = {NULL, inner + 2 * page, NULL, nbytes, NULL, slack_nbytes};

    g.map = mmap(NULL, g.map_nbytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || (inner != 0 && mprotect(g.map + page, inner, PROT_READ | PROT_WRITE) != 0)) {
        perror("check_kernels: mmap");
        exit(2);
    }
    g.bytes = g.map + page + (touch_end ? inner - nbytes - slack_nbytes : slack_nbytes);
    g.slack = touch_end ? g.bytes + nbytes : g.bytes - slack_nbytes;
    memset(g.slack, SLACK_BYTE, slack_nbytes);
    return g;
}

static bool slack_is_intact(const struct guarded *g)
{
    for (size_t i = 0; i < g->slack_nbytes; i++)
        if (g->slack[i] != SLACK_BYTE)
            return false;
    return true;
}

static void free_guarded(struct guarded *g)
{
    munmap(g->map, g->map_nbytes);
}

static void make_readonly(const struct guarded *g)
{
    if (g->map_nbytes > 2 * page_nbytes())
        mprotect(g->map + page_nbytes(), g->map_nbytes - 2 * page_nbytes(), PROT_READ);
}

static sigjmp_buf crash_jump;
static volatile sig_atomic_t crash_expected;

static void handle_crash(int signum)
{
    if (crash_expected)
        siglongjmp(crash_jump, 1);
    signal(signum, SIG_DFL);
    raise(signum);
}

static void catch_crashes(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handle_crash;
    action.sa_flags = SA_NODEFER;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* ---------------------------------------------------------------------------------------------- inputs */

enum pattern {
    PATTERN_BITS,      /* any bits at all */
    PATTERN_NORMAL,    /* a few binades, as weights have */
    PATTERN_TIES,      /* midpoints between codes, and their neighbours */
    PATTERN_EDGES,     /* zeros, subnormals, largest values, infinities, NaNs, among ordinary ones */
    PATTERN_FINITE,    /* the same without infinities and NaNs */
    PATTERN_ZEROS,     /* only +0 and -0, but for a few */
    PATTERN_AMAX,      /* 1.5, 1.75 times powers of two, and their neighbours */
    PATTERN_SCATTERED, /* a few binades, and rarely an infinity, a NaN, a huge or a tiny value */
    PATTERN_VANISHING, /* moderate values, and subnormals that scaling rounds to zero */
    NUM_PATTERNS
};

static uint32_t pick_f32_edge(bool finite)
{
    static const uint32_t edges[] = {0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x00000003, 0x00000004, 0x007fffff,
                                     0x00800000, 0x00800001, 0x01000000, 0x01400000, 0x01400001, 0x017fffff, 0x7f7fffff,
                                     0xff7fffff, 0x7f600000, 0x7f5fffff, 0x3f800000, 0xbf800000, 0x40c00000, 0x00010000,
                                     0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff};
    const unsigned nfinite = NELEMS(edges) - 6;

    return edges[pick(finite ? nfinite : NELEMS(edges))];
}

static uint32_t pick_f32(enum pattern pattern)
{
    static const float midpoints[] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, 6.0f, 4.0f};
    const uint32_t sign = (uint32_t)pick(2) << 31;

    switch (pattern) {
    case PATTERN_BITS:
        return (uint32_t)next_random();
    case PATTERN_TIES:
        return sign | (mxq_f32_bits(midpoints[pick(NELEMS(midpoints))]) + pick(3) - 1);
    case PATTERN_EDGES:
    case PATTERN_FINITE:
        if (pick(4) == 0)
            return pick_f32_edge(pattern == PATTERN_FINITE);
        return sign | pick(255) << 23 | ((uint32_t)next_random() & MXQ_F32_FRACTION);
    case PATTERN_ZEROS:
        return sign | (pick(200) == 0 ? 1u << pick(31) : 0);
    case PATTERN_SCATTERED:
        if (pick(1500) == 0)
            return pick_f32_edge(false);
        return sign | (118 + pick(10)) << 23 | ((uint32_t)next_random() & MXQ_F32_FRACTION);
    case PATTERN_VANISHING:
        if (pick(4) == 0)
            return sign | 1u << pick(23);
        return sign | (127 + pick(3)) << 23 | ((uint32_t)next_random() & MXQ_F32_FRACTION);
    case PATTERN_AMAX:
        return sign | ((pick(255) << 23 | (2 + pick(2)) << 21) + pick(3) - 1);
    default: /* PATTERN_NORMAL */
        return sign | (118 + pick(10)) << 23 | ((uint32_t)next_random() & MXQ_F32_FRACTION);
    }
}

/* The same value or a neighbour in the smaller type; what does not fit becomes whatever its bits say. */
static uint16_t narrow(uint32_t bits, enum mxq_dtype dtype)
{
    const uint32_t exponent = bits >> 23 & 255;

    if (dtype == MXQ_BF16)
        return (uint16_t)(bits >> 16);
    if (exponent < 113 || exponent > 142) /* out of the normal range: spread over subnormals, infinities and NaNs */
        return (uint16_t)((bits >> 16 & 0x8000) | (exponent > 142 ? 0x7c00 : 0) | (bits >> 13 & 0x3ff));
    return (uint16_t)((bits >> 16 & 0x8000) | (exponent - 112) << 10 | (bits >> 13 & 0x3ff));
}

/* How many binades all values move up, so that a pattern is seen at many scales. */
static int pick_shift(enum pattern pattern)
{
    switch (pattern) {
    case PATTERN_TIES:
    case PATTERN_NORMAL:
        return (int)pick(200) - 100;
    case PATTERN_VANISHING:
        return (int)pick(22);
    default:
        return 0;
    }
}

static uint32_t shift_binades(uint32_t x, int shift)
{
    const int exponent = (int)(x >> 23 & 255);

    if (exponent == 0 || exponent + shift < 1 || exponent + shift > 250)
        return x;
    return x + ((uint32_t)shift << 23);
}

static void fill_input(uint8_t *bytes, size_t nelems, enum mxq_dtype dtype, enum pattern pattern)
{
    const int shift = pick_shift(pattern);

    for (size_t i = 0; i < nelems; i++) {
        const uint32_t x = shift_binades(pick_f32(pattern), shift);
        if (dtype == MXQ_F32)
            memcpy(bytes + 4 * i, &x, 4);
        else
            memcpy(bytes + 2 * i, &(uint16_t){narrow(x, dtype)}, 2);
    }
}

/* ---------------------------------------------------------------------------------------------- one case */

struct test_case {
    uint64_t rows;
    uint64_t cols;
    uint64_t stride;
    enum mxq_dtype dtype;
    enum pattern pattern;
    struct mxq_options options;
    bool touch_end;    /* which of the two inaccessible pages the buffers touch, */
    unsigned slack[2]; /* but for so many elements of the input and bytes of the outputs */
    char label[32];
};

static uint64_t pick_size(void)
{
    static const uint16_t sizes[] = {1,  2,  3,  15, 16,  17,  31,  32,  33,  37,  47,
                                     63, 64, 65, 96, 101, 127, 128, 160, 255, 256, 257};

    return pick(3) == 0 ? 1 + pick(300) : sizes[pick(NELEMS(sizes))];
}

static void pick_switches(struct mxq_options *options)
{
    struct mxq_recipe *recipe = &options->recipe;

    recipe->scale = pick(MXQ_SCALE_RCEIL + 1);
    recipe->ties = pick(MXQ_TIES_ZERO + 1);
    recipe->sign = pick(MXQ_NUM_SIGNS);
    recipe->zero_byte = (uint8_t)next_random();
    recipe->underflow = pick(MXQ_NUM_UNDERFLOWS);
    recipe->sixth = pick(MXQ_NUM_SIXTHS);
    recipe->huge_byte = (uint8_t)(253 + pick(3));
    recipe->infinity_byte = (uint8_t)(253 + pick(3));
    recipe->nan_poisons = pick(2);
    recipe->nan_fills = pick(2);
    recipe->nan_code = (uint8_t)pick(16);
    recipe->nan_keeps_sign = pick(2);
}

/* Signs that are those of every block, or not. */
static void pick_transform(struct mxq_recipe *recipe, unsigned nelems)
{
    const uint32_t signs = pick(2) ? (uint32_t)next_random() : 0;
    const bool repeat = nelems <= 16 || pick(2);

    recipe->hadamard_nelems = nelems;
    for (unsigned i = 0; i < MXQ_HADAMARD_NWORDS; i++)
        recipe->hadamard_signs[i] = repeat ? signs : (uint32_t)next_random();
}

/* What not every variant computes itself. */
static void pick_rarities(struct mxq_recipe *recipe)
{
    static const uint32_t floors[] = {0x2edbe6ff, 0x01600000, 1, 0x3f800000, 0x7f7fffff};

    recipe->block = pick(MXQ_NUM_BLOCKS);
    recipe->amax_floor = pick(2) ? floors[pick(NELEMS(floors))] : 0;
    recipe->scale = pick(MXQ_NUM_SCALE_RULES);
    if (pick(2)) {
        recipe->ties = MXQ_TIES_STOCHASTIC;
        recipe->seed = next_random();
    }
}

/* Large transforms need rows that are a multiple of theirs. */
static void settle_transform(struct test_case *c)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        while (c->options.wanted[d] && !mxq_recipe_fits(&c->options.recipe, d == MXQ_ROWWISE ? c->cols : c->rows))
            c->options.recipe.hadamard_nelems /= 2;
}

static void pick_options(struct test_case *c)
{
    size_t nprofiles = 0;
    const struct mxq_profile *profile;

    while (mxq_get_profile(nprofiles) != NULL)
        nprofiles++;
    profile = mxq_get_profile(pick((unsigned)nprofiles));
    mxq_init_options(&c->options, profile);
    snprintf(c->label, sizeof(c->label), "%s", profile->name);
    if (pick(2)) {
        pick_switches(&c->options);
        snprintf(c->label, sizeof(c->label), "random switches");
    }
    pick_transform(&c->options.recipe, pick(4) == 0 ? 16u << pick(4) : 0);
    if (pick(6) == 0)
        pick_rarities(&c->options.recipe);
    c->options.pad_fill = (uint8_t)next_random();
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        c->options.layout[b] = pick(MXQ_NUM_LAYOUTS);
    if (pick(3) == 0)
        c->options.wanted[pick(2)] = false;
}

static struct test_case pick_case(void)
{
    struct test_case c;

    memset(&c, 0, sizeof(c));
    pick_options(&c);
    c.rows = pick_size();
    c.cols = pick_size();
    c.stride = c.cols + (pick(2) ? pick(70) : 0);
    c.dtype = pick(MXQ_NUM_DTYPES);
    c.pattern = pick(NUM_PATTERNS);
    c.touch_end = pick(2);
    for (unsigned i = 0; i < 2; i++)
        c.slack[i] = pick(2) ? pick(64) : 0;
    return c;
}

static void describe_case(const struct test_case *c, char *text, size_t nbytes)
{
    const struct mxq_recipe *r = &c->options.recipe;

    snprintf(text, nbytes,
             "seed %" PRIu64 ": %" PRIu64 "x%" PRIu64 " stride %" PRIu64
             " %s pattern %d, %s (scale %s ties %s sign %s zero "
             "%u underflow %s hadamard %u/%08x %08x, seed %" PRIx64 " block %s floor %08x), wanted %d%d, layouts "
             "%d%d%d%d, end %d slack %u %u",
             seed, c->rows, c->cols, c->stride, mxq_dtype_name(c->dtype), (int)c->pattern, c->label,
             mxq_scale_rule_name(r->scale), mxq_ties_name(r->ties), mxq_sign_name(r->sign), r->zero_byte,
             mxq_underflow_name(r->underflow), r->hadamard_nelems, (unsigned)r->hadamard_signs[0],
             (unsigned)r->hadamard_signs[1], r->seed, mxq_block_name(r->block), (unsigned)r->amax_floor,
             c->options.wanted[0], c->options.wanted[1], (int)c->options.layout[0], (int)c->options.layout[1],
             (int)c->options.layout[2], (int)c->options.layout[3], c->touch_end, c->slack[0], c->slack[1]);
}

struct outputs {
    struct guarded buffer[MXQ_NUM_BUFFERS];
    bool nonfinite;
    bool crashed;
    enum mxq_status status;
};

static struct outputs allocate_outputs(const struct mxq_plan *plan, uint8_t poison, bool touch_end, unsigned slack)
{
    struct outputs out;

    memset(&out, 0, sizeof(out));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        out.buffer[b] = allocate_guarded(plan->extent[b].nbytes, touch_end, slack);
        memset(out.buffer[b].bytes, poison, plan->extent[b].nbytes);
    }
    return out;
}

static void free_outputs(struct outputs *out)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        free_guarded(&out->buffer[b]);
}

static void run_whole(const struct mxq_plan *plan, const struct mxq_kernel *kernel, const struct mxq_matrix *matrix,
                      struct outputs *out)
{
    uint8_t *bytes[MXQ_NUM_BUFFERS];

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        bytes[b] = out->buffer[b].bytes;
    crash_expected = 1;
    if (sigsetjmp(crash_jump, 1) == 0)
        out->status = mxq_quantize(plan, kernel, matrix, bytes, &out->nonfinite);
    else
        out->crashed = true;
    crash_expected = 0;
}

/* Says where two results differ first; false when they do not. */
static bool find_difference(const struct outputs *want, const struct outputs *got, char *text, size_t nbytes)
{
    if (got->crashed || got->status != MXQ_OK) {
        snprintf(text, nbytes, "%s",
                 got->crashed ? "touched memory outside its buffers" : mxq_describe_status(got->status));
        return true;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        if (!slack_is_intact(&got->buffer[b])) {
            snprintf(text, nbytes, "wrote beside %s", mxq_buffer_name(b));
            return true;
        }
        for (size_t i = 0; i < want->buffer[b].nbytes; i++) {
            if (want->buffer[b].bytes[i] == got->buffer[b].bytes[i])
                continue;
            snprintf(text, nbytes, "%s byte %zu of %zu: want %02x, got %02x", mxq_buffer_name(b), i,
                     want->buffer[b].nbytes, want->buffer[b].bytes[i], got->buffer[b].bytes[i]);
            return true;
        }
    }
    snprintf(text, nbytes, "nonfinite: want %d, got %d", want->nonfinite, got->nonfinite);
    return want->nonfinite != got->nonfinite;
}

static struct guarded make_input(const struct test_case *c, struct mxq_matrix *matrix)
{
    const size_t elem = mxq_dtype_nbytes(c->dtype);
    const size_t nelems = (size_t)((c->rows - 1) * c->stride + c->cols);
    struct guarded input = allocate_guarded(nelems * elem, c->touch_end, c->slack[0] * elem);

    fill_input(input.bytes, nelems, c->dtype, c->pattern);
    make_readonly(&input);
    *matrix = (struct mxq_matrix){input.bytes, c->dtype, c->rows, c->cols, c->stride};
    return input;
}

/* True when kernel makes what the scalar one makes; two poisons, so that no poison can be mistaken for a result. */
static bool case_holds(const struct mxq_kernel *kernel, struct test_case *c, char *why, size_t nbytes)
{
    static const uint8_t poison[2] = {0xa5, 0x5a};
    struct mxq_plan plan;
    struct mxq_matrix matrix;
    struct guarded input = make_input(c, &matrix);
    struct outputs want;
    bool differs = false;

    settle_transform(c);
    if (mxq_make_plan(&plan, &c->options, c->rows, c->cols) != MXQ_OK) {
        snprintf(why, nbytes, "no plan");
        free_guarded(&input);
        return false;
    }
    want = allocate_outputs(&plan, poison[0], c->touch_end, 0);
    run_whole(&plan, &mxq_kernel_scalar, &matrix, &want);
    for (unsigned i = 0; i < NELEMS(poison) && !differs; i++) {
        struct outputs got = allocate_outputs(&plan, poison[i], c->touch_end, c->slack[1]);
        run_whole(&plan, kernel, &matrix, &got);
        differs = find_difference(&want, &got, why, nbytes);
        free_outputs(&got);
    }
    free_outputs(&want);
    free_guarded(&input);
    return !differs;
}

/* ---------------------------------------------------------------------------------------------- checks of a variant */

static void report_case(const struct mxq_kernel *kernel, const char *behaviour, const struct test_case *failed,
                        const char *why)
{
    char text[512];
    char name[128];

    snprintf(name, sizeof(name), "%s equals scalar: %s", kernel->name, behaviour);
    if (failed == NULL) {
        CHECK_PASS(name);
        return;
    }
    describe_case(failed, text, sizeof(text));
    CHECK_FAIL(name, "%s; %s", why, text);
}

static void check_random_cases(const struct mxq_kernel *kernel)
{
    char why[256];

    random_state = seed;
    for (unsigned i = 0; i < nrounds; i++) {
        struct test_case c = pick_case();
        if (!case_holds(kernel, &c, why, sizeof(why))) {
            report_case(kernel, "random recipes, shapes, layouts and inputs", &c, why);
            return;
        }
    }
    report_case(kernel, "random recipes, shapes, layouts and inputs", NULL, NULL);
}

/* Tails of every two lengths, behind no tile or behind some. */
static void check_tails(const struct mxq_kernel *kernel)
{
    const char *behaviour = "tails of every two lengths from 1 to 31";
    char why[256];

    random_state = seed + 1;
    for (unsigned n = 0; n < 31 * 31; n++) {
        struct test_case c = pick_case();
        c.rows = 32 * pick(3) + 1 + n / 31;
        c.cols = 32 * pick(3) + 1 + n % 31;
        c.stride = c.cols + pick(3);
        if (!case_holds(kernel, &c, why, sizeof(why))) {
            report_case(kernel, behaviour, &c, why);
            return;
        }
    }
    report_case(kernel, behaviour, NULL, NULL);
}

/* Primes at both sides of what a variant may do at once, each with another at random. */
static void check_primes(const struct mxq_kernel *kernel)
{
    static const uint16_t primes[] = {2,  3,  5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,   61,  67,
                                      71, 97, 101, 127, 131, 251, 257, 263, 509, 521, 541, 769, 1021, 1031};
    const char *behaviour = "sizes that are primes";
    char why[256];

    random_state = seed + 5;
    for (unsigned n = 0; n < 2 * NELEMS(primes); n++) {
        struct test_case c = pick_case();
        const uint64_t size = primes[n / 2];
        const uint64_t other = primes[pick(size < 500 ? NELEMS(primes) : NELEMS(primes) / 2)];
        c.rows = n % 2 ? size : other;
        c.cols = n % 2 ? other : size;
        c.stride = c.cols + pick(2) * 29;
        if (!case_holds(kernel, &c, why, sizeof(why))) {
            report_case(kernel, behaviour, &c, why);
            return;
        }
    }
    report_case(kernel, behaviour, NULL, NULL);
}

static void check_every_profile(const struct mxq_kernel *kernel)
{
    const char *behaviour = "every profile on every kind of input";
    const struct mxq_profile *profile;
    char why[256];

    random_state = seed + 2;
    for (size_t i = 0; (profile = mxq_get_profile(i)) != NULL; i++) {
        for (unsigned n = 0; n < 2 * NUM_PATTERNS * MXQ_NUM_DTYPES; n++) {
            struct test_case c = pick_case();
            mxq_init_options(&c.options, profile);
            snprintf(c.label, sizeof(c.label), "%s", profile->name);
            c.pattern = n % NUM_PATTERNS;
            c.dtype = n / NUM_PATTERNS % MXQ_NUM_DTYPES;
            if (!case_holds(kernel, &c, why, sizeof(why))) {
                report_case(kernel, behaviour, &c, why);
                return;
            }
        }
    }
    report_case(kernel, behaviour, NULL, NULL);
}

/* Case n of a profile: its digits are the type, the two layouts, the directions and the transform. */
#define NUM_COMBINATIONS (MXQ_NUM_DTYPES * MXQ_NUM_LAYOUTS * MXQ_NUM_LAYOUTS * 3 * 2)

static struct test_case pick_combination(const struct mxq_profile *profile, unsigned n)
{
    struct test_case c = pick_case();

    mxq_init_options(&c.options, profile);
    snprintf(c.label, sizeof(c.label), "%s", profile->name);
    c.rows = 33 + pick(64);
    c.cols = 33 + pick(64);
    c.stride = c.cols + pick(4);
    c.dtype = n % MXQ_NUM_DTYPES;
    n /= MXQ_NUM_DTYPES;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        c.options.layout[b] = mxq_is_scale(b) ? n % MXQ_NUM_LAYOUTS : n / MXQ_NUM_LAYOUTS % MXQ_NUM_LAYOUTS;
    n /= MXQ_NUM_LAYOUTS * MXQ_NUM_LAYOUTS;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        c.options.wanted[d] = n % 3 != d;
    pick_transform(&c.options.recipe, n / 3 != 0 ? 16 : 0);
    return c;
}

static void check_every_combination(const struct mxq_kernel *kernel)
{
    const char *behaviour = "every profile with every type, layout, direction and transform";
    const struct mxq_profile *profile;
    char why[256];

    random_state = seed + 6;
    for (size_t i = 0; (profile = mxq_get_profile(i)) != NULL; i++) {
        for (unsigned n = 0; n < NUM_COMBINATIONS; n++) {
            struct test_case c = pick_combination(profile, n);
            if (!case_holds(kernel, &c, why, sizeof(why))) {
                report_case(kernel, behaviour, &c, why);
                return;
            }
        }
    }
    report_case(kernel, behaviour, NULL, NULL);
}

/* All 65,536 patterns of a 16-bit type, at every place of a block in turn, with every recipe switch. */
static void check_all_patterns(const struct mxq_kernel *kernel)
{
    char why[256];

    random_state = seed + 3;
    for (unsigned n = 0; n < 12; n++) {
        struct test_case c = pick_case();
        struct mxq_plan plan;
        struct outputs want, got;
        uint16_t *elements = malloc(65536 * sizeof(*elements));
        struct mxq_matrix matrix = {elements, n % 2 ? MXQ_F16 : MXQ_BF16, 256, 256, 256};
        bool differs;
        for (unsigned i = 0; i < 65536; i++)
            elements[i] = (uint16_t)(n < 6 ? i : i * 40503u); /* neighbours together, and scattered */
        mxq_make_plan(&plan, &c.options, 256, 256);
        want = allocate_outputs(&plan, 0xa5, false, 0);
        got = allocate_outputs(&plan, 0x5a, false, 0);
        run_whole(&plan, &mxq_kernel_scalar, &matrix, &want);
        run_whole(&plan, kernel, &matrix, &got);
        differs = find_difference(&want, &got, why, sizeof(why));
        free_outputs(&want);
        free_outputs(&got);
        free(elements);
        if (differs) {
            c.rows = c.cols = c.stride = 256;
            report_case(kernel, "all 65,536 patterns of BF16 and FP16", &c, why);
            return;
        }
    }
    report_case(kernel, "all 65,536 patterns of BF16 and FP16", NULL, NULL);
}

/* ---------------------------------------------------------------------------------------------- panels */

/* Quantizes one panel into gathered buffers, as a caller with bounded memory does, and puts the runs in place. */
static enum mxq_status run_panel(const struct mxq_plan *plan, const struct mxq_kernel *kernel,
                                 const struct mxq_matrix *whole, const struct mxq_panel *panel, struct outputs *out)
{
    const size_t elem = mxq_dtype_nbytes(whole->dtype);
    const uint8_t *first = (const uint8_t *)whole->data + (panel->row0 * whole->row_stride + panel->col0) * elem;
    const struct mxq_matrix matrix = {first, whole->dtype, panel->rows, panel->cols, whole->row_stride};
    struct mxq_share share[MXQ_NUM_BUFFERS];
    struct guarded gathered[MXQ_NUM_BUFFERS];
    struct mxq_destination to[MXQ_NUM_BUFFERS];
    enum mxq_status status;
    bool nonfinite = false;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        mxq_locate_share(plan, panel, b, &share[b]);
        gathered[b] = allocate_guarded(share[b].nruns * share[b].run_nbytes, pick(2), 0);
        memset(gathered[b].bytes, 0x3c, gathered[b].nbytes);
        to[b] = (struct mxq_destination){gathered[b].bytes, share[b].run_nbytes};
    }
    status = mxq_quantize_panel(plan, kernel, panel, &matrix, to, &nonfinite);
    out->nonfinite |= nonfinite;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        for (uint64_t run = 0; run < share[b].nruns; run++)
            memcpy(out->buffer[b].bytes + share[b].offset + run * share[b].pitch_nbytes,
                   gathered[b].bytes + run * share[b].run_nbytes, share[b].run_nbytes);
        free_guarded(&gathered[b]);
    }
    return status;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void run_panels(const struct mxq_plan *plan, const struct mxq_kernel *kernel, const struct mxq_matrix *whole,
                       struct outputs *out)
{
    const uint64_t high = (uint64_t)MXQ_PANEL_ALIGN * (1 + pick(2));
    const uint64_t wide = (uint64_t)MXQ_PANEL_ALIGN * (1 + pick(3));

    for (uint64_t row = 0; row < plan->rows && out->status == MXQ_OK; row += high) {
        for (uint64_t col = 0; col < plan->cols && out->status == MXQ_OK; col += wide) {
            const struct mxq_panel panel = {row, col, smaller(high, plan->rows - row), smaller(wide, plan->cols - col)};
            out->status = run_panel(plan, kernel, whole, &panel, out);
        }
    }
}

static void check_panels(const struct mxq_kernel *kernel)
{
    const char *behaviour = "panels tile every buffer, padding included";
    char why[256];

    random_state = seed + 4;
    for (unsigned i = 0; i < nrounds / 8 + 4; i++) {
        struct test_case c = pick_case();
        struct mxq_plan plan;
        struct mxq_matrix matrix;
        struct guarded input;
        struct outputs want, got;
        bool differs;
        c.rows = 1 + pick(700);
        c.cols = 1 + pick(900);
        c.stride = c.cols + pick(2);
        input = make_input(&c, &matrix);
        settle_transform(&c);
        mxq_make_plan(&plan, &c.options, c.rows, c.cols);
        want = allocate_outputs(&plan, 0xa5, true, 0);
        got = allocate_outputs(&plan, 0x5a, true, 0);
        run_whole(&plan, &mxq_kernel_scalar, &matrix, &want);
        run_panels(&plan, kernel, &matrix, &got);
        differs = find_difference(&want, &got, why, sizeof(why));
        free_outputs(&want);
        free_outputs(&got);
        free_guarded(&input);
        if (differs) {
            report_case(kernel, behaviour, &c, why);
            return;
        }
    }
    report_case(kernel, behaviour, NULL, NULL);
}

static void check_kernel(const struct mxq_kernel *kernel)
{
    check_random_cases(kernel);
    check_tails(kernel);
    check_primes(kernel);
    check_every_profile(kernel);
    check_every_combination(kernel);
    check_all_patterns(kernel);
    check_panels(kernel);
}

/* ---------------------------------------------------------------------------------------------- mutants */

static void check_mutants(void)
{
    const struct mxq_kernel *mutant;

    for (size_t i = 0; (mutant = mxq_get_mutant(i)) != NULL; i++) {
        const unsigned limit = 20 * nrounds; /* some faults show in one case of some hundreds */
        char name[160];
        char why[256];
        bool found = false;
        snprintf(name, sizeof(name), "the harness finds a variant that %s", mutant->summary);
        random_state = seed;
        for (unsigned n = 0; n < limit && !found; n++) {
            struct test_case c = pick_case();
            found = !case_holds(mutant, &c, why, sizeof(why));
        }
        if (found)
            CHECK_PASS(name);
        else
            CHECK_FAIL(name, "not found in %u cases, seed %" PRIu64, limit, seed);
    }
}

/* ---------------------------------------------------------------------------------------------- the definition */

/* What a scale rule means, said with frexp() instead of bit fields. amax is normal and not huge. */
static int expected_byte(enum mxq_scale_rule rule, double amax)
{
    int exponent;
    const double mantissa = 2.0 * frexp(amax, &exponent); /* [1, 2) */

    exponent += 126; /* so that amax = mantissa * 2^(exponent - 127) */
    switch (rule) {
    case MXQ_SCALE_FLOOR:
        return exponent - 2;
    case MXQ_SCALE_CEIL:
        return exponent - 2 + (mantissa > 1.0);
    case MXQ_SCALE_RCEIL:
        return exponent - 2 + (mantissa > 1.5);
    case MXQ_SCALE_EVEN_ABOVE:
        return exponent - 2 + (mantissa > 1.75);
    case MXQ_SCALE_NEARLOG: /* amax = 6 * 2^-0.5 * 2^k is where the nearest changes; squares are exact */
        return exponent - 3 + (mantissa * mantissa >= 1.125);
    default:
        return exponent - 2 + (mantissa >= 1.75);
    }
}

static void check_scale_rules(void)
{
    struct mxq_recipe recipe = mxq_get_profile(0)->recipe;
    unsigned failures = 0;

    for (unsigned rule = 0; rule < MXQ_NUM_SCALE_RULES; rule++) {
        recipe.scale = rule;
        for (uint32_t bits = 4u << 23; bits < 0x7f600000u; bits += 0x1235u) {
            const struct mxq_amax amax = {bits, false};
            failures += mxq_find_scale(&recipe, amax).byte != expected_byte(rule, (double)mxq_f32_value(bits));
        }
    }
    if (failures == 0)
        CHECK_PASS("scale bytes are what the rules say about real numbers");
    else
        CHECK_FAIL("scale bytes are what the rules say about real numbers", "%u differ", failures);
}

/* The nearest magnitude by distances between real numbers, the tie decided last. */
static int expected_code(enum mxq_ties ties, double v)
{
    static const double grid[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    int best = 0;

    if (v > 6)
        v = 6;
    for (int i = 1; i < 8; i++) {
        const double closer = fabs(v - grid[best]) - fabs(v - grid[i]);
        const bool up = ties == MXQ_TIES_AWAY || (ties == MXQ_TIES_EVEN && i % 2 == 0);
        if (closer > 0 || (closer >= 0 && up))
            best = i;
    }
    return best;
}

static void check_codes(void)
{
    struct mxq_recipe recipe = mxq_get_profile(0)->recipe;
    unsigned failures = 0;

    recipe.sign = MXQ_SIGN_KEEP;
    for (unsigned ties = 0; ties < MXQ_TIES_STOCHASTIC; ties++) {
        recipe.ties = ties;
        for (unsigned byte = 0; byte < 255; byte++) {
            const struct mxq_thresholds t = mxq_find_thresholds(ties, (uint8_t)byte);
            for (uint32_t bits = 0; bits < MXQ_F32_INFINITY; bits += 0x10000u) {
                const double v = ldexp((double)mxq_f32_value(bits), 127 - (int)byte);
                failures += mxq_encode_value(&recipe, bits, &t) != expected_code(ties, v);
                failures += mxq_encode_value(&recipe, bits | MXQ_F32_SIGN, &t) != (8 | expected_code(ties, v));
            }
        }
    }
    if (failures == 0)
        CHECK_PASS("codes of all BF16 values under all scale bytes are the nearest ones");
    else
        CHECK_FAIL("codes of all BF16 values under all scale bytes are the nearest ones", "%u differ", failures);
}

static void check_widening(void)
{
    unsigned failures = 0;

    for (unsigned i = 0; i < 0x7c00; i++) {
        const int exponent = (int)(i >> 10);
        const double value = exponent == 0 ? ldexp(i, -24) : ldexp(1024 + (i & 1023), exponent - 25);
        failures += (double)mxq_f32_value(mxq_widen_f16((uint16_t)i)) != value;
        failures += (double)mxq_f32_value(mxq_widen_f16((uint16_t)(i | 0x8000))) != -value;
    }
    failures += mxq_widen_f16(0x7c00) != MXQ_F32_INFINITY;
    failures += mxq_widen_f16(0xfe01) != 0xffc02000u;
    if (failures == 0)
        CHECK_PASS("FP16 is widened exactly");
    else
        CHECK_FAIL("FP16 is widened exactly", "%u differ", failures);
}

static void check_overflow(void)
{
    struct mxq_options options;
    struct mxq_plan plan;
    bool good;

    mxq_init_options(&options, NULL);
    good = mxq_make_plan(&plan, &options, UINT64_MAX, UINT64_MAX) == MXQ_ERR_OVERFLOW &&
           mxq_make_plan(&plan, &options, UINT64_MAX, 1) == MXQ_ERR_OVERFLOW &&
           mxq_make_plan(&plan, &options, 1, UINT64_MAX - 7) == MXQ_ERR_OVERFLOW &&
           mxq_make_plan(&plan, &options, (uint64_t)1 << 33, (uint64_t)1 << 29) == MXQ_OK &&
           plan.extent[MXQ_ROWWISE_DATA].nbytes == (uint64_t)1 << 61;
    if (good)
        CHECK_PASS("sizes beyond 63 bits are refused and smaller ones are not");
    else
        CHECK_FAIL("sizes beyond 63 bits are refused and smaller ones are not", "wrong status");
}

static void check_bad_arguments(void)
{
    static const uint16_t elements[4] = {0};
    const struct mxq_matrix matrix = {elements, MXQ_BF16, 2, 2, 2};
    const struct mxq_panel beyond = {0, 0, 3, 2};
    const struct mxq_panel unaligned = {1, 0, 1, 2};
    uint8_t bytes[16 * 256] = {0};
    uint8_t *out[MXQ_NUM_BUFFERS] = {bytes, bytes, bytes, NULL};
    struct mxq_options options;
    struct mxq_plan plan;
    struct mxq_share share;
    const struct mxq_kernel *kernel;
    bool good;

    mxq_init_options(&options, NULL);
    good = mxq_make_plan(&plan, &options, 2, 2) == MXQ_OK;
    good = good && mxq_quantize(&plan, NULL, &matrix, out, NULL) == MXQ_ERR_ARGUMENT;
    good = good && mxq_locate_share(&plan, &beyond, MXQ_ROWWISE_DATA, &share) == MXQ_ERR_PANEL;
    good = good && mxq_locate_share(&plan, &unaligned, MXQ_ROWWISE_DATA, &share) == MXQ_ERR_PANEL;
    good = good && mxq_select_kernel("no-such-kernel", &kernel) == MXQ_ERR_KERNEL;
    options.wanted[0] = options.wanted[1] = false;
    good = good && mxq_make_plan(&plan, &options, 2, 2) == MXQ_ERR_ARGUMENT;
    if (good)
        CHECK_PASS("wrong arguments get a status");
    else
        CHECK_FAIL("wrong arguments get a status", "one did not");
}

/* ---------------------------------------------------------------------------------------------- digest */

/* FNV-1a of all that a variant makes of the random cases; machines and compilers must agree on it. */
static void print_digest(const struct mxq_kernel *kernel)
{
    uint64_t hash = 0xcbf29ce484222325u;

    random_state = seed;
    for (unsigned n = 0; n < nrounds; n++) {
        struct test_case c = pick_case();
        struct mxq_plan plan;
        struct mxq_matrix matrix;
        struct guarded input = make_input(&c, &matrix);
        struct outputs out;
        settle_transform(&c);
        mxq_make_plan(&plan, &c.options, c.rows, c.cols);
        out = allocate_outputs(&plan, 0xa5, c.touch_end, c.slack[1]);
        run_whole(&plan, kernel, &matrix, &out);
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            for (size_t i = 0; i < out.buffer[b].nbytes; i++)
                hash = (hash ^ out.buffer[b].bytes[i]) * 0x100000001b3u;
        free_outputs(&out);
        free_guarded(&input);
    }
    printf("%016" PRIx64 "\n", hash);
}

/* ---------------------------------------------------------------------------------------------- bench */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t nvalues)
{
    qsort(values, nvalues, sizeof(*values), compare_doubles);
    return values[nvalues / 2];
}

#define NTIMINGS 7

static void bench_kernel(const struct mxq_kernel *kernel, enum mxq_dtype dtype, uint64_t size)
{
    const size_t elem = mxq_dtype_nbytes(dtype);
    const size_t nbytes = (size_t)(size * size) * elem;
    struct mxq_options options;
    struct mxq_plan plan;
    uint8_t *out[MXQ_NUM_BUFFERS];
    uint8_t *input = malloc(nbytes);
    uint8_t *copy = malloc(nbytes);
    const struct mxq_matrix matrix = {input, dtype, size, size, size};
    double kernel_rate[NTIMINGS], copy_rate[NTIMINGS];
    double traffic = (double)nbytes;

    mxq_init_options(&options, NULL);
    mxq_make_plan(&plan, &options, size, size);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        out[b] = calloc(1, plan.extent[b].nbytes);
        traffic += (double)plan.extent[b].nbytes;
    }
    fill_input(input, nbytes / elem, dtype, PATTERN_NORMAL);
    memcpy(copy, input, nbytes);
    for (unsigned i = 0; i < NTIMINGS; i++) { /* in turn, so that a busy moment hits both */
        double start = now();
        memcpy(copy, input, nbytes);
        copy_rate[i] = 2.0 * (double)nbytes / (now() - start);
        start = now();
        mxq_quantize(&plan, kernel, &matrix, out, NULL);
        kernel_rate[i] = traffic / (now() - start);
    }
    printf("%-8s %-5s %" PRIu64 "x%" PRIu64 " both aiter, 1 thread: %7.3f GB/s, memcpy %7.3f GB/s, ratio %.4f\n",
           kernel->name, mxq_dtype_name(dtype), size, size, 1e-9 * median(kernel_rate, NTIMINGS),
           1e-9 * median(copy_rate, NTIMINGS), median(kernel_rate, NTIMINGS) / median(copy_rate, NTIMINGS));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        free(out[b]);
    free(input);
    free(copy);
}

/* ---------------------------------------------------------------------------------------------- main */

static void list_kernels(void)
{
    const struct mxq_kernel *kernel;

    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++)
        printf("%s %s\n", kernel->name, kernel->runs_here() ? "runs here" : "does not run here");
}

static void for_each_kernel(const char *only, void (*func)(const struct mxq_kernel *))
{
    const struct mxq_kernel *kernel;

    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++) {
        if (only != NULL && strcmp(only, kernel->name) != 0)
            continue;
        if (kernel->runs_here())
            func(kernel);
        else
            CHECK_SKIP(kernel->name, "this CPU cannot run it");
    }
}

static void bench_all_dtypes(const struct mxq_kernel *kernel)
{
    for (unsigned dtype = 0; dtype < MXQ_NUM_DTYPES; dtype++)
        bench_kernel(kernel, dtype, 2048);
}

static const struct option long_options[] = {
    {"list", no_argument, NULL, 'l'},
    {"bench", no_argument, NULL, 'b'},
    {"seed", required_argument, NULL, 's'},
    {"rounds", required_argument, NULL, 'r'},
    {"kernel", required_argument, NULL, 'k'},
    {"digest", no_argument, NULL, 'd'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char *argv[])
{
    const char *only = NULL;
    bool bench = false;
    bool digest = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (opt) {
        case 'l':
            list_kernels();
            return 0;
        case 'b':
            bench = true;
            break;
        case 'd':
            digest = true;
            break;
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 'r':
            nrounds = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 'k':
            only = optarg;
            break;
        default:
            return 2;
        }
    }
    if (bench) {
        for_each_kernel(only, bench_all_dtypes);
        return 0;
    }
    if (digest) {
        for_each_kernel(only, print_digest);
        return 0;
    }
    catch_crashes();
    printf("# seed %" PRIu64 "\n", seed);
    check_widening();
    check_scale_rules();
    check_codes();
    check_overflow();
    check_bad_arguments();
    check_mutants();
    for_each_kernel(only, check_kernel);
    return check_finish();
}
