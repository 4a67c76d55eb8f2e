/*
 * checkpoint_plan.h - what will be made of a checkpoint: a pure function of its headers and of the options
 *
 * The plan is complete before any tensor is read: every output file's header, and with it every size and offset, the index,
 * config.json. The same checkpoint and the same request make the same plan, whatever the machine.
 */
#ifndef MXQ_CHECKPOINT_PLAN_H
#define MXQ_CHECKPOINT_PLAN_H

#include "io/checkpoint.h"
#include "kernels/mxq.h"

#include <jansson.h>

enum mxq_checkpoint_format {
    MXQ_CHECKPOINT_QUARK,
    MXQ_CHECKPOINT_COMPRESSED_TENSORS,
    MXQ_CHECKPOINT_GPT_OSS,
    MXQ_CHECKPOINT_NATIVE,
    MXQ_CHECKPOINT_BUFFERS,
    MXQ_NUM_CHECKPOINT_FORMATS
};

/* "quark", "compressed-tensors", "gpt-oss", "native", "buffers"; NULL past the last. For mxq_parse_word(). */
const char *mxq_checkpoint_format_word(unsigned value);

/* The profile whose bytes a format is made of unless another is asked for. */
const struct mxq_profile *mxq_checkpoint_format_profile(enum mxq_checkpoint_format format);

/* The options. Strings are the caller's. */
struct mxq_checkpoint_request {
    enum mxq_checkpoint_format format;
    struct mxq_options quantize; /* recipe and pad_fill; the format sets directions and layouts */
    const struct mxq_profile *profile;
    bool nonfinite_allowed; /* part of the identity, because it decides what is made */
    /* Shell patterns for whole tensor names, or "re:" and a POSIX extended regular expression that is searched for. */
    size_t nincludes;
    const char *const *includes;
    size_t nexcludes;
    const char *const *excludes;
    unsigned tp; /* tensor-parallel size that warnings are about; 1 without */
};

/* What the values of a planned tensor are read from. */
enum mxq_value_kind {
    MXQ_VALUES_PLAIN,     /* BF16, F16, F32 */
    MXQ_VALUES_FP8_BLOCKS /* F8_E4M3 in blocks that each have a scale in another tensor */
};

enum mxq_action {
    MXQ_ACTION_COPY, /* bit for bit: same name, dtype, shape */
    MXQ_ACTION_QUANTIZE,
    MXQ_ACTION_WIDEN, /* FP8 blocks that are not quantized become BF16, nearest even, under the same name */
    MXQ_ACTION_DROP,  /* not written: the scales of FP8 blocks, once applied */
    MXQ_NUM_ACTIONS
};

/* "copy", "quantize", "widen", "drop". */
const char *mxq_action_name(enum mxq_action action);

#define MXQ_NO_TENSOR SIZE_MAX

struct mxq_plan_tensor { /* of one source tensor */
    size_t shard;        /* it is checkpoint->shards[shard].header->tensors[tensor] */
    size_t tensor;
    enum mxq_action action;
    const char *reason; /* static text: why it is not quantized: "norm", "embedding", "excluded"; else NULL */

    /* For MXQ_ACTION_QUANTIZE and MXQ_ACTION_WIDEN. */
    enum mxq_value_kind kind;
    enum mxq_dtype dtype; /* MXQ_VALUES_PLAIN: that of the elements; otherwise MXQ_F32 */
    uint64_t nslices;     /* 2-D matrices in it, one after the other: the experts of a fused tensor; 1 for a matrix */
    struct mxq_plan
        matrix; /* of one slice, as it is in the source: rows, cols; the directions that are wanted. WIDEN: only rows, cols */
    /*
     * FP8: where the scales are, F32 or BF16, [nslices, ceil(rows / block_rows), ceil(cols / block_cols)]. A value is the
     * product in FP32 of the element and the scale of its block.
     */
    size_t scale_shard;
    size_t scale_tensor;
    uint64_t block_rows;
    uint64_t block_cols;

    /*
     * The outputs, tensors of plan->shards[shard].header. The bytes of slice s in buffer b begin s * matrix.extent[b].nbytes
     * after the offset of its tensor. MXQ_NO_TENSOR where there is none.
     */
    size_t output[MXQ_NUM_BUFFERS];
    size_t copy; /* the output of COPY and WIDEN */
};

struct mxq_plan_shard {           /* one output file */
    const char *name;             /* the source's: checkpoint->shards[i] becomes shards[i] */
    struct mxq_st_header *header; /* laid out: the file is mxq_pack_st_header() and what the tensors' outputs say */
};

struct mxq_plan_file { /* a file that is written from the plan: config.json, the index */
    char *name;
    char *text;
    size_t nbytes;
};

struct mxq_checkpoint_plan {
    struct mxq_checkpoint_request request; /* as given; its strings are the caller's */
    size_t ntensors;
    struct mxq_plan_tensor *tensors; /* by source shard, then by offset in the source */
    size_t nshards;
    struct mxq_plan_shard *shards; /* as many as the checkpoint has, in its order */
    size_t nfiles;
    struct mxq_plan_file *files; /* to be written when all shards are */
    size_t nwarnings;
    char **warnings;
    uint64_t count[MXQ_NUM_ACTIONS]; /* of tensors */
    uint64_t in_nbytes;              /* of the shards */
    uint64_t out_nbytes;
    uint32_t identity; /* CRC-32 over the source headers and the request: what --resume compares */
};

/* The checkpoint must outlive the plan. */
bool mxq_plan_checkpoint(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_request *request,
                         struct mxq_checkpoint_plan **plan, struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_free_checkpoint_plan(struct mxq_checkpoint_plan *plan);

/* The table of --dry-run on standard output; and the same as JSON, NULL when there is no memory. */
void mxq_print_checkpoint_plan(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan);
json_t *mxq_pack_checkpoint_plan(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan);

#endif /* MXQ_CHECKPOINT_PLAN_H */
