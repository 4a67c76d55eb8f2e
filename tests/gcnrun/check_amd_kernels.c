/*
 * check_amd_kernels - holds the GPU kernels, as AMD's compiler makes them, against `scalar`, byte for byte, with no GPU
 *
 * For each architecture: no instruction that the executor does not know, and no spills; every kernel with every layout,
 * every profile, and random cases (sizes, strides, alignments, recipes, values); what they cost, against limits. Then
 * kernels with one fault each, which these cases must find; how they do is said behind each.
 *
 *   check_amd_kernels DIRECTORY [NCASES [SEED]]     at the top of the source tree; DIRECTORY: where files may be made
 */
#include "gcnrun/amd_cost.h"
#include "gcnrun/toolchain.h"
#include "kernels/mxq_internal.h"
#include "unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_NELEMS 20000

static const char *directory;
static unsigned ncases = 60;
static uint64_t first_seed = 1;
static char error[4000];
static char text[2000];
static char description[1000];

/* ---- what the compiler made */

/* The kernel of one type, with or without transform, for plain recipes or all: 0 to 11. */
static struct amd_case make_kernel_case(unsigned index)
{
    struct amd_case c = {.rows = 64, .cols = 64, .stride = 64, .dtype = index / 4};

    mxq_init_options(&c.options, NULL);
    c.options.recipe.hadamard_nelems = index & 1 ? 16 : 0;
    c.options.recipe.ties = index & 2 ? MXQ_TIES_AWAY : MXQ_TIES_EVEN;
    return c;
}

static void check_spills(enum gcn_arch arch, struct gcn *gcn)
{
    char name[120];

    snprintf(name, sizeof(name), "%s: no kernel spills registers to memory", gcn_arch_name(arch));
    for (unsigned i = 0; i < 4 * MXQ_NUM_DTYPES; i++) {
        const struct amd_case c = make_kernel_case(i);
        struct gcn_resources r = {0, 0, 0, 0, 0};
        if (!gcn_find_kernel(gcn, amd_kernel_name(&c), &r) || r.scratch_nbytes != 0) {
            CHECK_FAIL(name, "%s: %u bytes of scratch a lane, %u vector registers", amd_kernel_name(&c),
                       r.scratch_nbytes, r.nvgprs);
            return;
        }
    }
    CHECK_PASS(name);
}

static void check_code(enum gcn_arch arch, struct gcn *gcn)
{
    const char *unknown;
    char name[120];

    snprintf(name, sizeof(name), "%s: all instructions of the kernels are known", gcn_arch_name(arch));
    if (gcn_count_unknown(gcn, 0, &unknown) == 0)
        CHECK_PASS(name);
    else
        CHECK_FAIL(name, "%s", unknown);
    check_spills(arch, gcn);
}

/* ---- cases */

static bool run(struct gcn *gcn, const struct amd_case *c)
{
    const bool good = amd_run_case(gcn, c, text, sizeof(text));

    if (!good)
        amd_describe_case(c, description, sizeof(description));
    return good;
}

/* Every kernel (type, transform, plain or any recipe) with every layout and pattern, in a matrix with ragged tiles. */
static bool run_kernels(struct gcn *gcn)
{
    for (unsigned i = 0; i < MXQ_NUM_DTYPES * 2 * 2 * 2 * AMD_NUM_PATTERNS; i++) {
        struct amd_case c = {.rows = 96, .cols = 288, .stride = 288, .profile = "default", .seed = i};
        mxq_init_options(&c.options, NULL);
        c.pattern = i % AMD_NUM_PATTERNS;
        c.dtype = i / AMD_NUM_PATTERNS % MXQ_NUM_DTYPES;
        c.options.recipe.hadamard_nelems = i / AMD_NUM_PATTERNS / MXQ_NUM_DTYPES & 1 ? 16 : 0;
        c.options.recipe.ties = i / AMD_NUM_PATTERNS / MXQ_NUM_DTYPES & 2 ? MXQ_TIES_AWAY : MXQ_TIES_EVEN;
        for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
            c.options.layout[b] = i / AMD_NUM_PATTERNS / MXQ_NUM_DTYPES & 4 ? MXQ_LINEAR : MXQ_AITER;
        if (!run(gcn, &c))
            return false;
    }
    return true;
}

/* Every profile with values that find its edges. */
static bool run_profiles(struct gcn *gcn)
{
    for (size_t p = 0; mxq_get_profile(p) != NULL; p++) {
        if (!mxq_recipe_is_common(&mxq_get_profile(p)->recipe))
            continue;
        for (unsigned i = 0; i < MXQ_NUM_DTYPES * AMD_NUM_PATTERNS; i++) {
            struct amd_case c = {.rows = 33, .cols = 65, .stride = 67, .profile = mxq_get_profile(p)->name, .seed = i};
            mxq_init_options(&c.options, mxq_get_profile(p));
            c.pattern = i % AMD_NUM_PATTERNS;
            c.dtype = i / AMD_NUM_PATTERNS;
            if (!run(gcn, &c))
                return false;
        }
    }
    return true;
}

static bool run_random(struct gcn *gcn)
{
    for (uint64_t seed = first_seed; seed < first_seed + ncases; seed++) {
        const struct amd_case c = amd_pick_case(seed, MAX_NELEMS);
        if (!run(gcn, &c))
            return false;
    }
    return true;
}

static void check_cases(enum gcn_arch arch, struct gcn *gcn)
{
    static const struct {
        const char *name;
        bool (*run)(struct gcn *gcn);
    } groups[] = {
        {"every kernel, layout and kind of values gives the bytes of scalar", run_kernels},
        {"every profile gives the bytes of scalar", run_profiles},
        {"random sizes, strides, alignments and recipes give the bytes of scalar", run_random},
    };

    for (size_t i = 0; i < NELEMS(groups); i++) {
        char name[160];
        snprintf(name, sizeof(name), "%s: %s", gcn_arch_name(arch), groups[i].name);
        if (groups[i].run(gcn))
            CHECK_PASS(name);
        else
            CHECK_FAIL(name, "%s\n# %s", description, text);
    }
}

/* ---- costs */

/* The first cost that is above its limit, or AMD_NUM_COSTS. */
static unsigned find_excess(enum gcn_arch arch, enum mxq_dtype dtype, bool hadamard, const double costs[AMD_NUM_COSTS])
{
    unsigned k = 0;

    while (k < AMD_NUM_COSTS && costs[k] <= amd_cost_limit(arch, dtype, hadamard, k))
        k++;
    return k;
}

/* Every kernel for plain recipes. */
static void check_costs(enum gcn_arch arch, struct gcn *gcn)
{
    char name[120];

    snprintf(name, sizeof(name), "%s: no kernel costs more than it did", gcn_arch_name(arch));
    for (unsigned i = 0; i < 2 * MXQ_NUM_DTYPES; i++) {
        double costs[AMD_NUM_COSTS];
        if (!amd_measure(gcn, i / 2, i & 1, costs, text, sizeof(text))) {
            CHECK_FAIL(name, "%s", text);
            return;
        }
        const unsigned k = find_excess(arch, i / 2, i & 1, costs);
        if (k < AMD_NUM_COSTS) {
            CHECK_FAIL(name, "%s%s: %.3f %s", mxq_dtype_name(i / 2), i & 1 ? ", transformed" : "", costs[k],
                       amd_cost_name(k));
            return;
        }
    }
    CHECK_PASS(name);
}

/* A kernel that gives the right bytes, but with every cost above its limit. */
static void check_dear_kernel(enum gcn_arch arch)
{
    struct gcn *gcn = amd_compile(arch, "-DMUTANT_COST -Itests/gcnrun/mutants", directory, error, sizeof(error));
    double costs[AMD_NUM_COSTS];

    for (unsigned k = 0; k < AMD_NUM_COSTS; k++) {
        char name[160];
        snprintf(name, sizeof(name), "%s: kernels with more %s are found out", gcn_arch_name(arch), amd_cost_name(k));
        if (gcn == NULL || !amd_measure(gcn, MXQ_BF16, false, costs, text, sizeof(text)))
            CHECK_FAIL(name, "%.600s", gcn == NULL ? error : text);
        else if (costs[k] <= amd_cost_limit(arch, MXQ_BF16, false, k))
            CHECK_FAIL(name, "%.3f passes", costs[k]);
        else
            CHECK_PASS(name);
    }
    gcn_close(gcn);
}

/* ---- wrong kernels */

static const struct mutant {
    const char *name;
    const char *flag;
} mutants[] = {
    {"values of the neighbouring lane", "-DMUTANT_LANE"},
    {"no barriers", "-DMUTANT_NO_BARRIER"},
    {"a barrier for half of the block", "-DMUTANT_BARRIER_FOR_SOME"},
    {"a tail that is one value longer", "-DMUTANT_TAIL"},
    {"a wrong bit in the shuffle of codes", "-DMUTANT_DATA_SHUFFLE"},
    {"a wrong bit in the shuffle of scales", "-DMUTANT_SCALE_SHUFFLE"},
    {"an amax of exponents alone", "-DMUTANT_AMAX"},
    {"an amax of pairs by exponents alone", "-DMUTANT_PAIR_AMAX"},
    {"an amax of pairs by their first lanes alone", "-DMUTANT_PAIR_LANE"},
};

static void check_mutant(enum gcn_arch arch, const struct mutant *mutant)
{
    char name[160];
    char flags[200];
    struct gcn *gcn;

    snprintf(name, sizeof(name), "%s: kernels with %s are found wrong", gcn_arch_name(arch), mutant->name);
    /* -O1 is wrong in the same places, and compiles in a third of the time. */
    snprintf(flags, sizeof(flags), "-O1 %s -Itests/gcnrun/mutants", mutant->flag);
    gcn = amd_compile(arch, flags, directory, error, sizeof(error));
    if (gcn == NULL) {
        CHECK_FAIL(name, "%.600s", error);
    } else if (run_kernels(gcn) && run_profiles(gcn) && run_random(gcn)) {
        CHECK_FAIL(name, "all cases passed");
    } else {
        CHECK_PASS(name);
        printf("# %.*s\n", (int)strcspn(text, "\n"), text);
    }
    gcn_close(gcn);
}

static void check_arch(enum gcn_arch arch)
{
    struct gcn *gcn = amd_compile(arch, "-Wall -Wextra", directory, error, sizeof(error));
    char name[120];

    snprintf(name, sizeof(name), "%s: the kernels compile without warnings", gcn_arch_name(arch));
    if (gcn != NULL && error[0] == '\0')
        CHECK_PASS(name);
    else
        CHECK_FAIL(name, "%.600s", error);
    if (gcn == NULL)
        return;
    check_code(arch, gcn);
    check_cases(arch, gcn);
    check_costs(arch, gcn);
    gcn_close(gcn);
}

int main(int argc, char **argv)
{
    const char *reason = toolchain_missing();

    if (argc < 2) {
        fputs("usage: check_amd_kernels DIRECTORY [NCASES [SEED]]\n", stderr);
        return 2;
    }
    directory = argv[1];
    if (argc > 2)
        ncases = (unsigned)strtoul(argv[2], NULL, 10);
    if (argc > 3)
        first_seed = strtoull(argv[3], NULL, 10);
    if (reason == NULL && access("src/kernels/hip_kernels.hip", R_OK) != 0)
        reason = "there is no src/kernels/hip_kernels.hip";
    if (reason != NULL)
        CHECK_SKIP("AMD's kernels on the CPU", reason);
    for (unsigned arch = 0; reason == NULL && arch < GCN_NUM_ARCHS; arch++)
        check_arch(arch);
    for (size_t i = 0; reason == NULL && i < NELEMS(mutants); i++)
        check_mutant(i % GCN_NUM_ARCHS, &mutants[i]);
    if (reason == NULL)
        check_dear_kernel(GCN_GFX942);
    return check_finish();
}
