/* toolchain.c - runs clang for AMD's architectures */
#include "gcnrun/toolchain.h"

#include <stdio.h>
#include <stdlib.h>

static const char *clang(void)
{
    const char *name = getenv("GCN_CLANG");

    return name != NULL ? name : "clang-22";
}

const char *toolchain_objdump(void)
{
    const char *name = getenv("GCN_OBJDUMP");

    return name != NULL ? name : "llvm-objdump-22";
}

static bool is_installed(const char *program)
{
    char command[300];

    snprintf(command, sizeof(command), "command -v '%s' >/dev/null 2>&1", program);
    return system(command) == 0;
}

const char *toolchain_missing(void)
{
    static char reason[300];
    const char *const programs[] = {clang(), toolchain_objdump(), "ld.lld-22"};

    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (!is_installed(programs[i])) {
            snprintf(reason, sizeof(reason), "%s is not installed", programs[i]);
            return reason;
        }
    }
    return NULL;
}

static bool run(const char *command, char *error, size_t error_nbytes)
{
    FILE *words = popen(command, "r");
    size_t n;

    if (words == NULL)
        return false;
    n = fread(error, 1, error_nbytes - 1, words);
    error[n] = '\0';
    while (fgetc(words) != EOF) {
    }
    return pclose(words) == 0;
}

bool toolchain_assemble(enum gcn_arch arch, const char *source, const char *object, char *error, size_t error_nbytes)
{
    char command[1000];

    snprintf(command, sizeof(command),
             "'%s' -x assembler -target amdgcn-amd-amdhsa -mcpu=%s -mcode-object-version=5 "
             "-o '%s' '%s' 2>&1",
             clang(), gcn_arch_name(arch), object, source);
    return run(command, error, error_nbytes);
}

bool toolchain_compile(enum gcn_arch arch, const char *source, const char *flags, const char *object, char *error,
                       size_t error_nbytes)
{
    char command[1400];

    snprintf(command, sizeof(command),
             "'%s' -x hip --offload-arch=%s -nogpuinc -nogpulib -mcode-object-version=5 -std=c++17 -O3 "
             "--cuda-device-only --no-gpu-bundle-output %s -c -o '%s' '%s' 2>&1",
             clang(), gcn_arch_name(arch), flags, object, source);
    return run(command, error, error_nbytes);
}
