/*
 * packed.h - the MXFP4 tensors of a checkpoint, whichever format stores them
 *
 * Formats name and shape codes and scales differently (mxfp4q(5), CHECKPOINTS). Here every MXFP4 tensor is slices of one
 * logical matrix each: R rows of K values in blocks of 32 along the row, under the name that the weight has in the source.
 * Nothing but names, dtypes and shapes decides what is MXFP4; config.json does not.
 */
#ifndef MXQ_PACKED_H
#define MXQ_PACKED_H

#include "io/checkpoint.h"
#include "kernels/mxq.h"

enum mxq_packed_form {
    MXQ_PACKED_QUARK,              /* X U8 [.., R, K/2], X_scale U8 [.., R, K/32] */
    MXQ_PACKED_COMPRESSED_TENSORS, /* X_packed, X_scale of the same types and shapes */
    MXQ_PACKED_GPT_OSS,            /* X_blocks (or .blocks) U8 [.., R, K/32, 16], X_scales U8 [.., R, K/32] */
    MXQ_PACKED_NATIVE,             /* X F4 [.., R, K] or I8 [.., R, K/2], X_scale (or .scale for .weight) F8_E8M0 */
    MXQ_PACKED_BUFFERS,            /* X.rowwise_data and so on, U8, in AITER's layout, padded */
    MXQ_NUM_PACKED_FORMS
};

/* "quark", "compressed-tensors", "gpt-oss", "native", "buffers"; NULL out of range. */
const char *mxq_packed_form_name(enum mxq_packed_form form);

struct mxq_packed {
    char *name; /* the weight's */
    enum mxq_packed_form form;
    enum mxq_direction
        direction; /* columnwise: the logical matrix is the source's transposed. gpt-oss's fused tensors are such */
    struct mxq_checkpoint_entry data;
    struct mxq_checkpoint_entry scale;
    uint64_t nslices;
    /*
     * Of one slice: a plan for the logical matrix, rowwise. The bytes of slice s begin s * extent.nbytes into the tensors.
     * In buffers, rows and cols are the padded ones, because the true ones are not stored.
     */
    struct mxq_plan plan;
};

struct mxq_packed_list {
    size_t npacked;
    struct mxq_packed *packed; /* by name, then direction */
    size_t nplain;
    struct mxq_checkpoint_entry *plain; /* all other tensors, by name */
};

/*
 * Finds them. note is told of codes without scales, scales without codes, and shapes that do not belong together; such
 * tensors are among the plain ones. The checkpoint must outlive the list.
 */
bool mxq_list_packed(const struct mxq_checkpoint *checkpoint, struct mxq_packed_list *list, mxq_warn_func note,
                     void *context, struct mxq_fault *fault);

/* Accepts a zeroed list. */
void mxq_free_packed_list(struct mxq_packed_list *list);

/* By name; NULL when there is none. */
const struct mxq_packed *mxq_find_packed(const struct mxq_packed_list *list, const char *name,
                                         enum mxq_direction direction);
const struct mxq_checkpoint_entry *mxq_find_plain(const struct mxq_packed_list *list, const char *name);

const struct mxq_st_tensor *mxq_tensor_at(const struct mxq_checkpoint *checkpoint,
                                          const struct mxq_checkpoint_entry *entry);

/* A descriptor for each shard, for reading, to be closed with mxq_close_shards(); NULL on a fault. */
int *mxq_open_shards(const struct mxq_checkpoint *checkpoint, struct mxq_fault *fault);
void mxq_close_shards(const struct mxq_checkpoint *checkpoint, int *fds);

/* Reads nbytes of a tensor from its byte at offset on. */
bool mxq_read_tensor(const struct mxq_checkpoint *checkpoint, const int *fds, const struct mxq_checkpoint_entry *entry,
                     uint64_t offset, uint64_t nbytes, void *bytes, struct mxq_fault *fault);

/*
 * Reads the share of a panel of a slice, without gaps: nruns * run_nbytes bytes. plan is packed->plan, or one for the true
 * rows and columns of a padded matrix, with the same extents.
 */
bool mxq_read_packed_share(const struct mxq_checkpoint *checkpoint, const int *fds, const struct mxq_packed *packed,
                           uint64_t slice, enum mxq_buffer buffer, const struct mxq_share *share, uint8_t *bytes,
                           struct mxq_fault *fault);

#endif /* MXQ_PACKED_H */
