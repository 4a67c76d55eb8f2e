/*
 * assembly.h - small kernels in assembly, for the tests of the executor
 *
 * A kernel gets two pointers, to what it reads and to what it writes. Before its body runs, with work item l of workgroup w
 * as number i = 64 * w + l:
 *   v1 to v4, and v[22:25], hold the four words at 16 * i of the input, s[8:11] those at 1024 * w; v0 is l, v20 is 16 * i;
 *   s[4:5] is the address of the input, s[6:7] that of the output;
 *   s20, s21, s22 are the workgroup's x, y and z, and v21 is the work item's place with all three.
 * (w and l are numbers along x.)
 * Behind it v6 to v9, which start as 0, are stored at 16 * i of the output.
 */
#ifndef GCN_ASSEMBLY_H
#define GCN_ASSEMBLY_H

#include "gcnrun/gcn.h"

struct assembly_kernel {
    char name[32];
    const char *body; /* instructions, with "; " or a newline between them */
    uint32_t lds_nbytes;
};

/*
 * Assembles the kernels into one code object and opens it. NULL on failure, with the reason in error. directory: where
 * files may be made.
 */
struct gcn *assembly_open(enum gcn_arch arch, const struct assembly_kernel *kernels, size_t nkernels,
                          const char *directory, char *error, size_t error_nbytes);

#endif /* GCN_ASSEMBLY_H */
