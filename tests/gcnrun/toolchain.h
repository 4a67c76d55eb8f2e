/*
 * toolchain.h - the compilers that the tests of AMD code need: clang-22 and llvm-objdump-22
 *
 * GCN_CLANG and GCN_OBJDUMP in the environment name others. Commands are run by the shell; paths must be harmless to it.
 */
#ifndef GCN_TOOLCHAIN_H
#define GCN_TOOLCHAIN_H

#include "gcnrun/gcn.h"

/* NULL when everything is installed; else what is missing: "clang-22 is not installed". */
const char *toolchain_missing(void);

/* The objdump to hand to gcn_open(). */
const char *toolchain_objdump(void);

/* Assembles source into a code object; false with the first lines of the compiler's words in error. */
bool toolchain_assemble(enum gcn_arch arch, const char *source, const char *object, char *error, size_t error_nbytes);

/* Compiles a HIP file, with further flags, into a code object of the device code alone; error has warnings then. */
bool toolchain_compile(enum gcn_arch arch, const char *source, const char *flags, const char *object, char *error,
                       size_t error_nbytes);

#endif /* GCN_TOOLCHAIN_H */
