/*
 * amd_report - what the GPU kernels cost on AMD's chips, counted without a clock, and the bounds that follow
 *
 * Runs each kernel on a matrix of ordinary values, both directions, in AITER's layout, checks its bytes, and prints for
 * each architecture what a value costs. Bounds are those of a chip that does one thing at a time at its peak; what a real
 * one reaches is below the smallest of them.
 *
 *   amd_report DIRECTORY [KERNEL]
 *
 * DIRECTORY: where files may be made; run it at the top of the source tree. KERNEL: of this one alone, and the opcodes it
 * spends its time on.
 */
#include "gcnrun/amd_cost.h"
#include "gcnrun/toolchain.h"

#include <stdio.h>
#include <string.h>
#define ROWS 512u
#define COLS 1024u
#define WAVES_PER_BLOCK 4

/*
 * Sources: AMD's data sheets of Instinct MI250X, MI300X and MI355X for clocks and memory; "AMD GPU specifications" of the
 * ROCm documentation for compute units and LDS; MI250X as the sum of its two dies.
 */
static const struct chip {
    const char *name;
    double ncus;
    double ghz;
    double memory_gbytes; /* a second */
    unsigned lds_nbytes;  /* of a compute unit */
} chips[GCN_NUM_ARCHS] = {
    [GCN_GFX90A] = {"MI250X", 220, 1.7, 3276.8, 65536},
    [GCN_GFX942] = {"MI300X", 304, 2.1, 5300, 65536},
    [GCN_GFX950] = {"MI355X", 256, 2.4, 8000, 163840},
};

/* ---- occupancy */

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Waves that a SIMD holds: 8 at most, 512 vector registers in steps of 8, 800 scalar ones in steps of 16, LDS. */
static unsigned find_waves(const struct chip *chip, const struct gcn_resources *r)
{
    const unsigned vgprs = (r->nvgprs + 7) / 8 * 8;
    const unsigned sgprs = (r->nsgprs + 15) / 16 * 16;
    unsigned waves = 8;

    if (vgprs > 0)
        waves = smaller(waves, 512 / vgprs);
    if (sgprs > 0)
        waves = smaller(waves, 800 / sgprs);
    if (r->lds_nbytes > 0)
        waves = smaller(waves, chip->lds_nbytes / r->lds_nbytes * WAVES_PER_BLOCK / 4);
    return waves;
}

/* ---- sums */

#define NUM_STREAMS (1 + MXQ_NUM_BUFFERS)

struct cost {
    double moved;              /* bytes, merged by workgroup */
    double wanted;             /* bytes that have to move */
    double share[NUM_STREAMS]; /* of the 64-byte segments touched: what was asked for; input, then outputs */
    double share128;           /* the same of 128 bytes, of the input */
};

static double divide(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* The first streams of a case are the input, which is read, and the four outputs, which are written. */
static struct cost sum_up(const struct amd_case *c, const struct gcn_counters *n)
{
    struct cost cost = {.wanted = amd_wanted_nbytes(c), .moved = amd_moved_nbytes(n)};

    for (unsigned i = 0; i < NUM_STREAMS; i++) {
        const struct gcn_stream *s = &n->stream[i];
        const struct gcn_traffic *t = i == 0 ? &s->read : &s->written;
        cost.share[i] = divide((double)t->nbytes, 64.0 * (double)t->nlines);
        if (i == 0)
            cost.share128 = divide((double)t->nbytes, 128.0 * (double)t->nlines128);
    }
    return cost;
}

/* ---- the table */

static void print_heading(enum gcn_arch arch)
{
    const struct chip *chip = &chips[arch];

    printf("\n%s (%s: %.0f CUs, %.1f GHz, %.0f GB/s, %u KiB of LDS a CU)\n", gcn_arch_name(arch), chip->name,
           chip->ncus, chip->ghz, chip->memory_gbytes, chip->lds_nbytes / 1024);
    printf("%-26s|%6s%6s%6s%7s%6s%6s |%6s%5s |%5s%6s%5s%5s%5s%5s |%7s%6s%6s |%5s%5s%6s%6s |%7s%7s%7s\n", "kernel",
           "VALU", "SALU", "LDS", "global", "flat", "other", "bytes", "x", "in", "in128", "rd", "rs", "cd", "cs",
           "cycles", "read%", "writ%", "VGPR", "SGPR", "LDS", "waves", "memory", "VALU", "LDS");
}

/* Instructions of waves are lanes of instructions, divided by 64. Bounds: 10^9 values a second, both directions. */
static void print_row(enum gcn_arch arch, const char *kernel, const struct cost *cost, const struct gcn_counters *n,
                      const struct gcn_resources *r)
{
    const struct chip *chip = &chips[arch];
    const double values = (double)ROWS * COLS;
    const double scale = 64.0 / (2 * values);
    const double valu = (double)n->ninstructions[GCN_VALU] * scale;
    const double other = (double)(n->ninstructions[GCN_SMEM] + n->ninstructions[GCN_CONTROL]) * scale;
    const double global = (double)n->ninstructions[GCN_GLOBAL] * scale;
    const double flat = (double)n->ninstructions[GCN_FLAT] * scale;
    const double lds = (double)(n->lds_read.ncycles + n->lds_written.ncycles) / values;

    printf("%-26s|%6.2f%6.2f%6.2f%7.2f%6.2f%6.2f |", kernel, valu, (double)n->ninstructions[GCN_SALU] * scale,
           (double)n->ninstructions[GCN_LDS] * scale, global, flat, other);
    printf("%6.3f%5.2f |%5.2f%6.2f%5.2f%5.2f%5.2f%5.2f |", cost->moved / values, divide(cost->moved, cost->wanted),
           cost->share[0], cost->share128, cost->share[1], cost->share[2], cost->share[3], cost->share[4]);
    printf("%7.4f%6.1f%6.1f |%5u%5u%6u%6u |", lds,
           100 * divide((double)n->lds_read.nconflicts, (double)n->lds_read.ncycles),
           100 * divide((double)n->lds_written.nconflicts, (double)n->lds_written.ncycles), r->nvgprs, r->nsgprs,
           r->lds_nbytes, find_waves(chip, r));
    printf("%7.0f%7.0f%7.0f\n", chip->memory_gbytes / (cost->moved / values), chip->ncus * 64 * chip->ghz / (2 * valu),
           divide(chip->ncus * chip->ghz, lds));
}

/* Instructions for 64 values and one direction. */
static void print_frequent(const struct gcn *gcn)
{
    struct gcn_frequency list[40];
    const size_t n = gcn_list_frequent(gcn, list, sizeof(list) / sizeof(list[0]));

    for (size_t i = 0; i < n; i++)
        printf("    %-26s %6.2f\n", list[i].opcode, (double)list[i].ninstructions * 64.0 / (2.0 * ROWS * COLS));
}

static bool report_kernel(enum gcn_arch arch, struct gcn *gcn, enum mxq_dtype dtype, bool hadamard, bool plain,
                          const char *only)
{
    struct amd_case c = {.rows = ROWS, .cols = COLS, .stride = COLS, .dtype = dtype, .profile = "report"};
    struct gcn_resources resources;
    char text[2000];

    mxq_init_options(&c.options, NULL);
    c.options.recipe.hadamard_nelems = hadamard ? 16 : 0;
    c.options.recipe.ties = plain ? MXQ_TIES_EVEN : MXQ_TIES_AWAY;
    if (only != NULL && strcmp(only, amd_kernel_name(&c)) != 0)
        return true;
    gcn_reset_counters(gcn);
    if (!gcn_find_kernel(gcn, amd_kernel_name(&c), &resources) || !amd_run_case(gcn, &c, text, sizeof(text))) {
        printf("%-26s %s\n", amd_kernel_name(&c), text);
        return false;
    }
    const struct cost cost = sum_up(&c, gcn_counters(gcn));
    print_row(arch, amd_kernel_name(&c), &cost, gcn_counters(gcn), &resources);
    if (only != NULL)
        print_frequent(gcn);
    return true;
}

/* only: NULL, or the one kernel that is wanted. */
static bool report_arch(enum gcn_arch arch, const char *directory, const char *only)
{
    char error[4000];
    struct gcn *gcn = amd_compile(arch, "", directory, error, sizeof(error));
    bool good = gcn != NULL;

    if (gcn == NULL) {
        printf("%s: %s\n", gcn_arch_name(arch), error);
        return false;
    }
    print_heading(arch);
    for (unsigned i = 0; i < 4 * MXQ_NUM_DTYPES; i++)
        good &= report_kernel(arch, gcn, i / 4, i & 2, !(i & 1), only);
    gcn_close(gcn);
    return good;
}

int main(int argc, char **argv)
{
    const char *reason = toolchain_missing();
    bool good = true;

    if (argc != 2 && argc != 3) {
        fputs("usage: amd_report DIRECTORY [KERNEL]\n", stderr);
        return 2;
    }
    if (reason != NULL) {
        fprintf(stderr, "amd_report: %s\n", reason);
        return 2;
    }
    printf(
        "%u x %u values, default recipe, both directions, AITER's layout. Columns:\n"
        "  instructions for 64 values and one direction; bytes moved for a value, and times the bytes that must move;\n"
        "  share of the segments of 64 bytes that each access touches which it asked for: input (and of 128 bytes),\n"
        "  rowwise data and scale, columnwise data and scale; cycles of the LDS banks for a value, and how many percent\n"
        "  of them conflicts add; registers and LDS, waves on a SIMD; bounds in 10^9 values a second by memory, vector\n"
        "  unit and LDS, each at its peak and nothing else waiting\n",
        ROWS, COLS);
    for (unsigned arch = 0; arch < GCN_NUM_ARCHS; arch++)
        good &= report_arch(arch, argv[1], argc > 2 ? argv[2] : NULL);
    return good ? 0 : 1;
}
