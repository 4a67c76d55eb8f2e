/* check_cpu - which CPU features count as usable, and what is selected when they do not */
#include "kernels/mxq_internal.h"
#include "unit/check.h"

#include <stdlib.h>
#include <string.h>

#define NELEMS(array) (sizeof(array) / sizeof((array)[0]))

#define HIDE "MXFP4Q_CPU_FEATURES_OFF"

/* ---------------------------------------------------------------------------------------------- made-up words */

/* Intel's and AMD's manuals (CPUID), and Linux' elf_hwcaps for arm64. */
static const struct {
    const char *name;
    enum mxq_cpu_word word;
    uint32_t mask;
    uint32_t state; /* XCR0: 1 x87, 2 SSE, 4 upper halves of YMM, 0x20 mask registers, 0x40 and 0x80 ZMM */
} facts[] = {
    {"ssse3", MXQ_CPU_LEAF1_ECX, 0x00000200, 0},         {"sse4.1", MXQ_CPU_LEAF1_ECX, 0x00080000, 0},
    {"f16c", MXQ_CPU_LEAF1_ECX, 0x20000000, 0x06},       {"avx2", MXQ_CPU_LEAF7_EBX, 0x00000020, 0x06},
    {"avx512f", MXQ_CPU_LEAF7_EBX, 0x00010000, 0xe6},    {"avx512dq", MXQ_CPU_LEAF7_EBX, 0x00020000, 0xe6},
    {"avx512bw", MXQ_CPU_LEAF7_EBX, 0x40000000, 0xe6},   {"avx512vl", MXQ_CPU_LEAF7_EBX, 0x80000000, 0xe6},
    {"avx512vbmi", MXQ_CPU_LEAF7_ECX, 0x00000002, 0xe6}, {"asimd", MXQ_CPU_HWCAP, 0x00000002, 0},
};

static bool is_fact(const char *name)
{
    for (size_t i = 0; i < NELEMS(facts); i++)
        if (strcmp(facts[i].name, name) == 0)
            return true;
    return false;
}

static void check_every_feature_is_known(void)
{
    const char *name;
    bool present;
    bool good = true;

    for (size_t i = 0; (name = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        good = good && is_fact(name);
    CHECK(good, "this check knows every feature that is listed");
}

/* One bit set, and all but one. */
static void check_each_bit(void)
{
    bool good = true;

    for (size_t bit = 0; bit < NELEMS(facts); bit++) {
        for (size_t i = 0; i < NELEMS(facts); i++) {
            struct mxq_cpu one = {{0}, 0xe7};
            struct mxq_cpu others = {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}, 0xe7};
            one.word[facts[bit].word] = facts[bit].mask;
            others.word[facts[bit].word] &= ~facts[bit].mask;
            good = good && mxq_cpu_words_have(&one, facts[i].name) == (i == bit);
            good = good && mxq_cpu_words_have(&others, facts[i].name) == (i != bit);
        }
    }
    CHECK(good, "each feature depends on its own bit");
}

static void check_register_state(void)
{
    bool good = true;

    for (uint32_t xcr0 = 0; xcr0 < 0x400; xcr0++) {
        const struct mxq_cpu cpu = {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}, xcr0};
        for (size_t i = 0; i < NELEMS(facts); i++)
            good = good && mxq_cpu_words_have(&cpu, facts[i].name) == ((~xcr0 & facts[i].state) == 0);
    }
    CHECK(good, "a feature whose registers the system does not save is absent");
}

static void check_unknown_feature(void)
{
    const struct mxq_cpu cpu = {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}, UINT32_MAX};

    CHECK(!mxq_cpu_words_have(&cpu, "avx") && !mxq_cpu_words_have(&cpu, "") && !mxq_cpu_has("avx1024"),
          "a feature that nobody knows is absent");
}

/* ---------------------------------------------------------------------------------------------- hiding */

/* Whether, with this list, exactly the listed feature number `hidden` is away of those that are there without it. */
static bool hides_only(const char *list, size_t hidden)
{
    const char *name;
    bool before, after;

    unsetenv(HIDE);
    for (size_t i = 0; (name = mxq_get_cpu_feature(i, &before)) != NULL; i++) {
        setenv(HIDE, list, 1);
        mxq_get_cpu_feature(i, &after);
        if (after != (before && i != hidden) || mxq_cpu_has(name) != after)
            return false;
        unsetenv(HIDE);
    }
    return true;
}

static void check_hiding(void)
{
    static const char *const around[][2] = {
        {"", ""}, {"", ","}, {",", ""}, {"nonsense,", ",avx"}, {"avx512,", ",avx2x"}};
    const char *name;
    bool present;
    bool good = true;

    for (size_t i = 0; (name = mxq_get_cpu_feature(i, &present)) != NULL; i++) {
        for (size_t k = 0; k < NELEMS(around); k++) {
            char list[64];
            snprintf(list, sizeof(list), "%s%s%s", around[k][0], name, around[k][1]);
            good = good && hides_only(list, i);
        }
    }
    CHECK(good, "a feature is hidden by its whole name, and no other with it");
    CHECK(hides_only("", SIZE_MAX) && hides_only("avx,avx512,AVX2,avx2 ", SIZE_MAX), "other words hide nothing");
    unsetenv(HIDE);
}

/* ---------------------------------------------------------------------------------------------- selection */

#define ROWS 70
#define COLS 100
#define NBYTES 65536

struct result {
    uint8_t bytes[MXQ_NUM_BUFFERS][NBYTES];
};

static bool make_result(const struct mxq_kernel *kernel, struct result *result)
{
    static float values[ROWS * COLS];
    const struct mxq_matrix matrix = {values, MXQ_F32, ROWS, COLS, COLS};
    struct mxq_options options;
    struct mxq_plan plan;
    uint8_t *out[MXQ_NUM_BUFFERS];

    for (unsigned i = 0; i < ROWS * COLS; i++)
        values[i] = (float)((int)(i * 2654435761u >> 8 & 0xffff) - 32768) / (float)(1 + i % 1000);
    memset(result, 0xa5, sizeof(*result));
    mxq_init_options(&options, NULL);
    if (mxq_make_plan(&plan, &options, ROWS, COLS) != MXQ_OK)
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        if (plan.extent[b].nbytes > NBYTES)
            return false;
        out[b] = result->bytes[b];
    }
    return mxq_quantize(&plan, kernel, &matrix, out, NULL) == MXQ_OK;
}

/* Whether what is selected, by name or without one, runs and makes the same bytes, whatever is hidden now. */
static bool selection_is_sound(const struct result *want)
{
    static struct result got;
    const struct mxq_kernel *kernel, *chosen;
    bool good = mxq_select_kernel(NULL, &chosen) == MXQ_OK && mxq_kernel_runs_here(chosen);

    good = good && make_result(NULL, &got) && memcmp(want, &got, sizeof(got)) == 0;
    for (size_t i = 0; (kernel = mxq_get_kernel(i)) != NULL; i++) {
        const struct mxq_kernel *named;
        const bool runs = mxq_kernel_runs_here(kernel);
        const enum mxq_status status = mxq_select_kernel(mxq_kernel_name(kernel), &named);
        good = good && status == (runs ? MXQ_OK : MXQ_ERR_KERNEL);
        good =
            good && (!runs || (named == kernel && make_result(kernel, &got) && memcmp(want, &got, sizeof(got)) == 0));
    }
    return good;
}

/* A list of all features. */
static const char *all_features(void)
{
    static char list[512];
    const char *name;
    bool present;

    list[0] = '\0';
    for (size_t i = 0; (name = mxq_get_cpu_feature(i, &present)) != NULL; i++)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", i > 0 ? "," : "", name);
    return list;
}

static void check_selection(void)
{
    static struct result want;
    const struct mxq_kernel *fastest, *kernel;
    const char *name;
    bool present;
    bool needed = false;
    bool good = make_result(mxq_get_kernel(0), &want) && selection_is_sound(&want);

    good = good && mxq_select_kernel(NULL, &fastest) == MXQ_OK;
    for (size_t i = 0; (name = mxq_get_cpu_feature(i, &present)) != NULL; i++) {
        setenv(HIDE, name, 1);
        good = good && selection_is_sound(&want) && mxq_select_kernel(NULL, &kernel) == MXQ_OK;
        needed |= good && kernel != fastest;
    }
    CHECK(good, "without any one feature, what is selected runs and makes the same bytes");
    CHECK(good && (needed || fastest == mxq_get_kernel(0)), "what is fastest needs at least one feature");
    setenv(HIDE, all_features(), 1);
    CHECK(mxq_select_kernel(NULL, &kernel) == MXQ_OK && kernel == mxq_get_kernel(0) && selection_is_sound(&want),
          "without all features scalar is selected");
    unsetenv(HIDE);
}

int main(void)
{
    unsetenv("MXFP4Q_KERNEL");
    unsetenv(HIDE);
    check_every_feature_is_known();
    check_each_bit();
    check_register_state();
    check_unknown_feature();
    check_hiding();
    check_selection();
    return check_finish();
}
