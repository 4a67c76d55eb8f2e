/*
 * checkpoint_format.h - the formats of quantized checkpoints: what the buffers of a tensor are called and how they are shaped
 */
#ifndef MXQ_CHECKPOINT_FORMAT_H
#define MXQ_CHECKPOINT_FORMAT_H

#include "cli/checkpoint_plan.h"

/* The directions and layouts of a format; transposed: the blocks of a matrix run down its rows. */
void mxq_set_format_options(struct mxq_options *options, enum mxq_checkpoint_format format, bool transposed);

/* Whether the format stores rows that end within a block. */
bool mxq_format_takes_tails(enum mxq_checkpoint_format format);

/* One output of a tensor, as it is in the file. */
struct mxq_output {
    char *name; /* to be freed */
    enum mxq_st_dtype dtype;
    unsigned rank;
    uint64_t shape[MXQ_ST_MAX_RANK];
};

/* Describes a buffer that the plan of a slice has. False: no memory. */
bool mxq_describe_output(enum mxq_checkpoint_format format, const struct mxq_st_tensor *source, uint64_t nslices,
                         const struct mxq_plan *matrix, enum mxq_buffer buffer, struct mxq_output *output);

/*
 * quantization_config of config.json for a plan whose tensors are decided; NULL for a format that loaders have no word for,
 * and when there is no memory (see mxq_json_memory_failed()).
 */
json_t *mxq_pack_quantization_config(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan);

/* How the tensors were made: version, format, profile, recipe, layout. */
json_t *mxq_pack_provenance(const struct mxq_checkpoint_request *request);

/* The words of quantization_config for a recipe; NULL: the format has none. */
const char *mxq_quark_scale_mode(const struct mxq_recipe *recipe);
const char *mxq_quark_round_method(const struct mxq_recipe *recipe);

/* quant_method of a format's quantization_config, or NULL. */
const char *mxq_format_quant_method(enum mxq_checkpoint_format format);

#endif /* MXQ_CHECKPOINT_FORMAT_H */
