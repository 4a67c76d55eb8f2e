/*
 * kernel_mutants.h - variants with one fault each
 *
 * A harness that holds variants against the scalar one is worth something only if it finds these. The summary of a mutant
 * completes the sentence "a variant that ...".
 */
#ifndef KERNEL_MUTANTS_H
#define KERNEL_MUTANTS_H

#include "kernels/mxq_internal.h"

/* The mutant with this number, from 0 on; NULL past the last. */
const struct mxq_kernel *mxq_get_mutant(size_t index);

#endif /* KERNEL_MUTANTS_H */
