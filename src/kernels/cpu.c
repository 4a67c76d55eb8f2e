/* cpu.c - which features of the CPU can be used: it has them, the system saves their registers, and nobody hides them */
#include "kernels/mxq_internal.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

struct feature {
    const char *name;
    enum mxq_cpu_word word;
    unsigned bit;
    uint32_t xcr0; /* bits of XCR0: register state that the system must save for the feature to be usable */
};

#define XCR0_YMM 0x06u
#define XCR0_ZMM 0xe6u

/* x86: the names of the compilers' -m options. AArch64: the names in /proc/cpuinfo. */
static const struct feature features[] = {
    {"ssse3", MXQ_CPU_LEAF1_ECX, 9, 0},
    {"sse4.1", MXQ_CPU_LEAF1_ECX, 19, 0},
    {"avx2", MXQ_CPU_LEAF7_EBX, 5, XCR0_YMM},
    {"f16c", MXQ_CPU_LEAF1_ECX, 29, XCR0_YMM},
    {"avx512f", MXQ_CPU_LEAF7_EBX, 16, XCR0_ZMM},
    {"avx512bw", MXQ_CPU_LEAF7_EBX, 30, XCR0_ZMM},
    {"avx512dq", MXQ_CPU_LEAF7_EBX, 17, XCR0_ZMM},
    {"avx512vl", MXQ_CPU_LEAF7_EBX, 31, XCR0_ZMM},
    {"avx512vbmi", MXQ_CPU_LEAF7_ECX, 1, XCR0_ZMM},
    {"asimd", MXQ_CPU_HWCAP, 1, 0},
};

#define NFEATURES (sizeof(features) / sizeof(features[0]))

/* ---- what this machine says */

#if defined(__x86_64__) || defined(__i386__)
#define FIRST_WORD MXQ_CPU_LEAF1_ECX
#define LAST_WORD MXQ_CPU_LEAF7_ECX

static uint32_t read_xcr0(void)
{
    unsigned low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static struct mxq_cpu read_cpu(void)
{
    struct mxq_cpu cpu = {{0}, 0};
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d)) {
        cpu.word[MXQ_CPU_LEAF1_ECX] = c;
        if (c & bit_OSXSAVE)
            cpu.xcr0 = read_xcr0();
    }
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        cpu.word[MXQ_CPU_LEAF7_EBX] = b;
        cpu.word[MXQ_CPU_LEAF7_ECX] = c;
    }
    return cpu;
}
#else
#define FIRST_WORD MXQ_CPU_HWCAP
#define LAST_WORD MXQ_CPU_HWCAP

static struct mxq_cpu read_cpu(void)
{
    struct mxq_cpu cpu = {{0}, 0};

#if defined(__aarch64__) && defined(__linux__)
    cpu.word[MXQ_CPU_HWCAP] = (uint32_t)getauxval(AT_HWCAP);
#endif
    return cpu;
}
#endif

/* ---- decisions */

static bool has_feature(const struct mxq_cpu *cpu, const struct feature *feature)
{
    return cpu->word[feature->word] >> feature->bit & 1 && (cpu->xcr0 & feature->xcr0) == feature->xcr0;
}

bool mxq_cpu_words_have(const struct mxq_cpu *cpu, const char *feature)
{
    for (size_t i = 0; i < NFEATURES; i++)
        if (strcmp(features[i].name, feature) == 0)
            return has_feature(cpu, &features[i]);
    return false;
}

/* Whether a list of names with commas between them has this one. */
static bool is_listed(const char *list, const char *name)
{
    const size_t nbytes = strlen(name);

    while (list != NULL) {
        if (strncmp(list, name, nbytes) == 0 && (list[nbytes] == ',' || list[nbytes] == '\0'))
            return true;
        list = strchr(list, ',');
        if (list != NULL)
            list++;
    }
    return false;
}

bool mxq_cpu_has(const char *feature)
{
    const struct mxq_cpu cpu = read_cpu();

    return mxq_cpu_words_have(&cpu, feature) && !is_listed(getenv("MXFP4Q_CPU_FEATURES_OFF"), feature);
}

const char *mxq_get_cpu_feature(size_t index, bool *present)
{
    for (size_t i = 0; i < NFEATURES; i++) {
        if (features[i].word < FIRST_WORD || features[i].word > LAST_WORD || index-- > 0)
            continue;
        *present = mxq_cpu_has(features[i].name);
        return features[i].name;
    }
    return NULL;
}
