/*
 * amd_cost.h - what AMD's kernels cost where no clock is needed to see it, and whether that is more than it was
 */
#ifndef GCN_AMD_COST_H
#define GCN_AMD_COST_H

#include "gcnrun/amd_cases.h"

/* Bytes that a case has to read and write, and those that its run moved: 64-byte lines, each once for a workgroup. */
double amd_wanted_nbytes(const struct amd_case *c);
double amd_moved_nbytes(const struct gcn_counters *n);

/* What has a limit. */
enum amd_cost {
    AMD_VALU,              /* vector instructions for 64 values and one direction, of a run of both */
    AMD_BYTES,             /* moved for each byte that has to move, of a run of both */
    AMD_ROWWISE_CONFLICTS, /* cycles that conflicts of the LDS banks add for 64 values, of a run of this one alone */
    AMD_COLUMNWISE_CONFLICTS,
    AMD_NUM_COSTS
};

const char *amd_cost_name(enum amd_cost cost);

/*
 * Measures the kernel for plain recipes of this type, with a transform of 16 values or without, on ordinary values. False,
 * and text says why, when a run did not give the bytes of `scalar`. Counters of gcn are lost.
 */
bool amd_measure(struct gcn *gcn, enum mxq_dtype dtype, bool hadamard, double costs[AMD_NUM_COSTS], char *text,
                 size_t nbytes);

/* The most that a cost may be on this architecture. */
double amd_cost_limit(enum gcn_arch arch, enum mxq_dtype dtype, bool hadamard, enum amd_cost cost);

#endif /* GCN_AMD_COST_H */
