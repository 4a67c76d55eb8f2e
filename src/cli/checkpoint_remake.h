/*
 * checkpoint_remake.h - what became of each tensor of a source, read off the checkpoint that was made of it
 *
 * Nothing here asks the plan by which the checkpoint was made: names, dtypes and shapes decide.
 */
#ifndef MXQ_CHECKPOINT_REMAKE_H
#define MXQ_CHECKPOINT_REMAKE_H

#include "cli/checkpoint_verify.h"

enum mxq_fate {
    MXQ_FATE_COPIED,    /* bit for bit */
    MXQ_FATE_QUANTIZED, /* to MXFP4, in one direction or both */
    MXQ_FATE_WIDENED    /* from FP8 blocks to BF16 */
};

struct mxq_remade {
    enum mxq_fate fate;
    const struct mxq_checkpoint_entry *from;
    const struct mxq_checkpoint_entry *scales; /* of FP8 blocks, or NULL */
    uint64_t block_rows;
    uint64_t block_cols;
    /* Where it went: the tensor, or, of a quantized one, those of the buffers that there are. */
    const struct mxq_checkpoint_entry *to[MXQ_NUM_BUFFERS];
    uint64_t nslices;
    struct mxq_plan plan; /* of one slice as it is in the source; of a widened one, only rows and cols */
    enum mxq_dtype dtype; /* of the values that are quantized */
};

struct mxq_remade_list {
    size_t nitems;
    struct mxq_remade *items;
};

/*
 * Accounts for every tensor of either side; what cannot be is a problem of verify's. The recipe is the one that the shards
 * tell of, else that of the format's profile, with a note. False on a fault.
 */
bool mxq_list_remade(struct mxq_verify *verify, struct mxq_remade_list *list, struct mxq_fault *fault);
void mxq_free_remade_list(struct mxq_remade_list *list);

#endif /* MXQ_CHECKPOINT_REMAKE_H */
