/* dispatch.c - the only file that lists variants, and that asks what this machine can run */
#include "kernels/mxq_internal.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define HAVE_CPUID 1
#endif

/* Slowest first: the last that runs here is chosen. */
static const struct mxq_kernel *const kernels[] = {
    &mxq_kernel_scalar,
    &mxq_kernel_avx2,
};

#define NKERNELS (sizeof(kernels) / sizeof(kernels[0]))

const struct mxq_kernel *mxq_get_kernel(size_t index)
{
    return index < NKERNELS ? kernels[index] : NULL;
}

const char *mxq_kernel_name(const struct mxq_kernel *kernel)
{
    return kernel->name;
}

const char *mxq_kernel_summary(const struct mxq_kernel *kernel)
{
    return kernel->summary;
}

bool mxq_kernel_runs_here(const struct mxq_kernel *kernel)
{
    return kernel->runs_here();
}

static const struct mxq_kernel *find_fastest(void)
{
    for (size_t i = NKERNELS; i-- > 0;)
        if (kernels[i]->runs_here())
            return kernels[i];
    return NULL;
}

static const struct mxq_kernel *find_named(const char *name)
{
    for (size_t i = 0; i < NKERNELS; i++)
        if (strcmp(kernels[i]->name, name) == 0 && kernels[i]->runs_here())
            return kernels[i];
    return NULL;
}

enum mxq_status mxq_select_kernel(const char *name, const struct mxq_kernel **kernel)
{
    if (name == NULL)
        name = getenv("MXFP4Q_KERNEL");
    *kernel = name == NULL || *name == '\0' ? find_fastest() : find_named(name);
    return *kernel != NULL ? MXQ_OK : MXQ_ERR_KERNEL;
}

/* ---- CPU features */

struct feature {
    const char *name;
    unsigned leaf;
    char reg;
    unsigned bit;
    unsigned xcr0; /* bits of XCR0: register state that the system must save for the feature to be usable */
};

#define XCR0_YMM 0x06u
#define XCR0_ZMM 0xe6u

static const struct feature features[] = {
    {"ssse3", 1, 'c', 9, 0},
    {"sse4.1", 1, 'c', 19, 0},
    {"avx2", 7, 'b', 5, XCR0_YMM},
    {"f16c", 1, 'c', 29, XCR0_YMM},
    {"avx512f", 7, 'b', 16, XCR0_ZMM},
    {"avx512bw", 7, 'b', 30, XCR0_ZMM},
    {"avx512vl", 7, 'b', 31, XCR0_ZMM},
    {"avx512vbmi", 7, 'c', 1, XCR0_ZMM},
};

#define NFEATURES (sizeof(features) / sizeof(features[0]))

#ifdef HAVE_CPUID
static unsigned read_xcr0(void)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static bool has_feature(const struct feature *feature)
{
    unsigned a, b, c, d, reg;

    if (!__get_cpuid_count(feature->leaf, 0, &a, &b, &c, &d))
        return false;
    reg = feature->reg == 'b' ? b : c;
    return reg >> feature->bit & 1 && (read_xcr0() & feature->xcr0) == feature->xcr0;
}
#else
static bool has_feature(const struct feature *feature)
{
    (void)feature;
    return false;
}
#endif

const char *mxq_get_cpu_feature(size_t index, bool *present)
{
    if (index >= NFEATURES)
        return NULL;
    *present = has_feature(&features[index]);
    return features[index].name;
}

bool mxq_cpu_has(const char *feature)
{
    for (size_t i = 0; i < NFEATURES; i++)
        if (strcmp(features[i].name, feature) == 0)
            return has_feature(&features[i]);
    return false;
}
