/*
 * checkpoint_diff.h - comparing two checkpoints tensor by tensor, whatever formats they are in
 *
 * checkpoint_pairs.c finds out which tensors belong together, checkpoint_diff.c compares them, checkpoint_diff_report.c tells.
 */
#ifndef MXQ_CHECKPOINT_DIFF_H
#define MXQ_CHECKPOINT_DIFF_H

#include "io/packed.h"
#include "kernels/compare.h"

#include <jansson.h>

struct mxq_checkpoint_side {
    struct mxq_checkpoint *checkpoint;
    struct mxq_packed_list list;
    int *fds;
};

enum mxq_pair_kind {
    MXQ_PAIR_PACKED,  /* MXFP4 on both sides, of one shape */
    MXQ_PAIR_PLAIN,   /* on neither, of one dtype and shape */
    MXQ_PAIR_UNLIKE,  /* there are two, but they cannot be compared */
    MXQ_PAIR_MISSING, /* only in the golden checkpoint */
    MXQ_PAIR_EXTRA,   /* only in the test's */
    MXQ_NUM_PAIR_KINDS
};

/* One tensor of either side. */
struct mxq_tensor_pair {
    enum mxq_pair_kind kind;
    const char *name;
    enum mxq_direction direction; /* of MXFP4 */

    /* Where it is on each side: MXFP4, or plain; NULL when it is not of that kind, or not there. */
    const struct mxq_packed *test_packed;
    const struct mxq_packed *golden_packed;
    const struct mxq_checkpoint_entry *test_plain;
    const struct mxq_checkpoint_entry *golden_plain;
    struct mxq_plan test_plan; /* of a slice, for MXQ_PAIR_PACKED: with the true rows and columns */
    struct mxq_plan golden_plan;

    /* What came out. */
    struct mxq_comparison sum; /* MXQ_PAIR_PACKED */
    uint64_t nbytes;           /* MXQ_PAIR_PLAIN: compared, and different */
    uint64_t ndiffering;
};

/* A difference in an MXFP4 tensor. row and element are those of the logical matrix of a slice. */
struct mxq_checkpoint_mismatch {
    size_t pair;
    uint64_t slice;
    struct mxq_mismatch mismatch;
};

struct mxq_checkpoint_diff {
    /* the work */
    struct mxq_rules rules;
    size_t limit; /* differences to keep */
    unsigned nthreads;
    struct mxq_checkpoint_side test;
    struct mxq_checkpoint_side golden;

    /* what came out */
    size_t npairs;
    struct mxq_tensor_pair
        *pairs; /* those of the golden checkpoint by name, MXFP4 first; then what only the test has */
    size_t nfound;
    struct mxq_checkpoint_mismatch *found;
};

/* Opens both sides, finds the pairs and compares them. False on a fault; differences are none. Free it in either case. */
bool mxq_run_checkpoint_diff(struct mxq_checkpoint_diff *diff, const char *test, const char *golden,
                             struct mxq_fault *fault);
void mxq_free_checkpoint_diff(struct mxq_checkpoint_diff *diff);

/* Fills in pairs and npairs. False: no memory. */
bool mxq_pair_tensors(struct mxq_checkpoint_diff *diff);

/* Of one pair, and of all: nothing differs; nothing differs that the rules count. */
bool mxq_pair_is_equal(const struct mxq_tensor_pair *pair);
bool mxq_pair_passes(const struct mxq_rules *rules, const struct mxq_tensor_pair *pair);
bool mxq_checkpoint_diff_passes(const struct mxq_checkpoint_diff *diff);

/* The report as JSON, and as text on standard output. */
json_t *mxq_pack_checkpoint_diff(const struct mxq_checkpoint_diff *diff, const char *test, const char *golden);
void mxq_print_checkpoint_diff(const struct mxq_checkpoint_diff *diff, const char *test, const char *golden);

#endif /* MXQ_CHECKPOINT_DIFF_H */
