/*
 * checkpoint_verify.h - whether a checkpoint is what it says
 *
 * checkpoint_verify.c opens it and looks at index, shards and the report of its making; checkpoint_verify_bytes.c reads
 * checksums and scales, checkpoint_verify_config.c holds config.json against the tensors, checkpoint_verify_source.c makes
 * the tensors again, checkpoint_verify_report.c tells.
 */
#ifndef MXQ_CHECKPOINT_VERIFY_H
#define MXQ_CHECKPOINT_VERIFY_H

#include "cli/checkpoint_diff.h"
#include "cli/checkpoint_report.h"

struct mxq_verify {
    /* the work */
    const char *path;
    const char *source; /* what it was made of, or NULL */
    bool full;          /* make all of it again, not a sample */
    unsigned nthreads;
    size_t limit; /* problems to keep */
    const struct mxq_kernel *kernel;
    const struct mxq_profile *profile; /* of a checkpoint that does not tell; NULL: its format's */

    /* what came out */
    uint64_t nproblems;
    size_t nkept;
    char **problems; /* one line each */
    size_t nnotes;
    char **notes; /* what could not be checked, and why */
    size_t nchecksums;
    uint64_t checked_nbytes; /* under checksums */
    uint64_t nscales;
    uint64_t nvalues; /* of the source, that are MXFP4 now */
    uint64_t nmade;   /* of them, made again */
    uint64_t ncopied; /* bytes of other tensors in the source, and how many of them were compared */
    uint64_t ncompared;

    /* open while it runs */
    struct mxq_checkpoint_side made;
    struct mxq_checkpoint_side from;
    json_t *report;     /* OUT_DIR/mxfp4q-report.json, or NULL */
    json_t *provenance; /* how it was made, out of __metadata__, or NULL */
};

/* Runs it. False: a fault, so that nothing is known; problems are none. Free it in either case. */
bool mxq_run_verify(struct mxq_verify *verify, struct mxq_fault *fault);
void mxq_free_verify(struct mxq_verify *verify);

/* Adds one line. By one thread at a time. */
void mxq_add_problem(struct mxq_verify *verify, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mxq_add_note(struct mxq_verify *verify, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The parts. False on a fault. */
bool mxq_verify_checksums(struct mxq_verify *verify, struct mxq_fault *fault);
bool mxq_verify_scales(struct mxq_verify *verify, struct mxq_fault *fault);
void mxq_verify_config(struct mxq_verify *verify);
bool mxq_verify_source(struct mxq_verify *verify, struct mxq_fault *fault);

/* The report as JSON, and as text on standard output. */
json_t *mxq_pack_verify(const struct mxq_verify *verify);
void mxq_print_verify(const struct mxq_verify *verify);

#endif /* MXQ_CHECKPOINT_VERIFY_H */
