/* checkpoint_format.c - names, types and shapes of the outputs of each checkpoint format */
#include "cli/checkpoint_format.h"

#include "cli/checkpoint_select.h"
#include "cli/checkpoint_warn.h"
#include "io/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *profile;
    const char *quant_method;
} formats[MXQ_NUM_CHECKPOINT_FORMATS] = {
    [MXQ_CHECKPOINT_QUARK] = {"quark", "quark", "quark"},
    [MXQ_CHECKPOINT_COMPRESSED_TENSORS] = {"compressed-tensors", "compressed-tensors", "compressed-tensors"},
    [MXQ_CHECKPOINT_GPT_OSS] = {"gpt-oss", "triton-kernels", "mxfp4"},
    [MXQ_CHECKPOINT_NATIVE] = {"native", "te-hip", NULL},
    [MXQ_CHECKPOINT_BUFFERS] = {"buffers", "te-hip", NULL},
};

const char *mxq_checkpoint_format_word(unsigned value)
{
    return value < MXQ_NUM_CHECKPOINT_FORMATS ? formats[value].name : NULL;
}

const struct mxq_profile *mxq_checkpoint_format_profile(enum mxq_checkpoint_format format)
{
    return mxq_find_profile(formats[format].profile);
}

const char *mxq_format_quant_method(enum mxq_checkpoint_format format)
{
    return formats[format].quant_method;
}

bool mxq_format_takes_tails(enum mxq_checkpoint_format format)
{
    return format == MXQ_CHECKPOINT_BUFFERS;
}

void mxq_set_format_options(struct mxq_options *options, enum mxq_checkpoint_format format, bool transposed)
{
    const bool both = format == MXQ_CHECKPOINT_BUFFERS;

    options->wanted[MXQ_ROWWISE] = both || !transposed;
    options->wanted[MXQ_COLUMNWISE] = both || transposed;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options->layout[b] = both ? MXQ_AITER : MXQ_LINEAR;
}

/* ---- one output */

static bool is_scale(enum mxq_buffer buffer)
{
    return buffer == MXQ_ROWWISE_SCALE || buffer == MXQ_COLUMNWISE_SCALE;
}

/* What a name gets at its end; "" is the tensor's own name. */
static const char *name_suffix(enum mxq_checkpoint_format format, enum mxq_buffer buffer)
{
    switch (format) {
    case MXQ_CHECKPOINT_COMPRESSED_TENSORS:
        return is_scale(buffer) ? "_scale" : "_packed";
    case MXQ_CHECKPOINT_GPT_OSS:
        return is_scale(buffer) ? "_scales" : "_blocks";
    default:
        return is_scale(buffer) ? "_scale" : "";
    }
}

static char *make_name(enum mxq_checkpoint_format format, const char *source, enum mxq_buffer buffer)
{
    const size_t length = format == MXQ_CHECKPOINT_GPT_OSS ? mxq_module_length(source) : strlen(source);
    const size_t room = length + 32;
    char *name = malloc(room);

    if (name == NULL)
        return NULL;
    if (format == MXQ_CHECKPOINT_BUFFERS)
        snprintf(name, room, "%s.%s", source, mxq_buffer_name(buffer));
    else
        snprintf(name, room, "%.*s%s", (int)length, source, name_suffix(format, buffer));
    return name;
}

bool mxq_describe_output(enum mxq_checkpoint_format format, const struct mxq_st_tensor *source, uint64_t nslices,
                         const struct mxq_plan *matrix, enum mxq_buffer buffer, struct mxq_output *output)
{
    const struct mxq_extent *extent = &matrix->extent[buffer];

    memset(output, 0, sizeof(*output));
    output->name = make_name(format, source->name, buffer);
    output->dtype = MXQ_ST_U8;
    if (source->rank == 3)
        output->shape[output->rank++] = nslices;
    output->shape[output->rank++] = extent->rows;
    output->shape[output->rank++] = extent->cols;
    if (format == MXQ_CHECKPOINT_NATIVE) {
        output->dtype = is_scale(buffer) ? MXQ_ST_F8_E8M0 : MXQ_ST_F4;
        output->shape[output->rank - 1] *= is_scale(buffer) ? 1 : 2;
    } else if (format == MXQ_CHECKPOINT_GPT_OSS && !is_scale(buffer)) {
        output->shape[output->rank - 1] /= MXQ_UNIT_NBYTES;
        output->shape[output->rank++] = MXQ_UNIT_NBYTES;
    }
    return output->name != NULL;
}

/* ---- what config.json says */

const char *mxq_quark_scale_mode(const struct mxq_recipe *recipe)
{
    switch (recipe->scale) {
    case MXQ_SCALE_EVEN:
        return "even";
    case MXQ_SCALE_FLOOR:
        return "floor";
    case MXQ_SCALE_CEIL:
        return "ceil";
    default:
        return NULL;
    }
}

const char *mxq_quark_round_method(const struct mxq_recipe *recipe)
{
    return recipe->ties == MXQ_TIES_EVEN ? "half_even" : NULL;
}

/* What only some recipes have. */
static void add_details(json_t *object, const struct mxq_recipe *r)
{
    char text[MXQ_SIGNS_TEXT_NBYTES];

    if (r->ties == MXQ_TIES_STOCHASTIC) {
        snprintf(text, sizeof(text), "%" PRIu64, r->seed);
        json_object_set_new(object, "seed", json_string(text));
    }
    if (r->amax_floor != 0) {
        snprintf(text, sizeof(text), "%08" PRIx32, r->amax_floor);
        json_object_set_new(object, "amax_floor", json_string(text));
    }
    if (r->hadamard_nelems != 0) {
        mxq_format_signs(r->hadamard_signs, text);
        json_object_set_new(object, "hadamard_signs", json_string(text));
    }
}

json_t *mxq_pack_provenance(const struct mxq_checkpoint_request *request)
{
    const struct mxq_recipe *r = &request->quantize.recipe;
    const bool buffers = request->format == MXQ_CHECKPOINT_BUFFERS;
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:s}", "version", MXQ_VERSION, "format",
                               mxq_checkpoint_format_word(request->format), "profile", request->profile->name, "scale",
                               mxq_scale_rule_name(r->scale), "ties", mxq_ties_name(r->ties), "sign",
                               mxq_sign_name(r->sign), "block", mxq_block_name(r->block), "zero_byte", r->zero_byte,
                               "hadamard", (int)r->hadamard_nelems, "layout", buffers ? "aiter" : "linear");

    add_details(object, r);
    if (buffers)
        json_object_set_new(object, "pad_fill", json_integer(request->quantize.pad_fill));
    return object;
}

/* ---- modules that are not quantized */

static void add_once(json_t *list, json_t *seen, const char *module)
{
    if (json_object_get(seen, module) != NULL)
        return;
    json_object_set_new(seen, module, json_true());
    json_array_append_new(list, json_string(module));
}

static bool is_left_linear(const struct mxq_plan_tensor *p, const struct mxq_st_tensor *tensor)
{
    if (p->action != MXQ_ACTION_COPY && p->action != MXQ_ACTION_WIDEN)
        return false;
    if (p->reason == NULL || strcmp(p->reason, MXQ_REASON_MXFP4) == 0 || strcmp(p->reason, "embedding") == 0 ||
        strcmp(p->reason, "norm") == 0 || strcmp(p->reason, "not floating point") == 0)
        return false;
    return mxq_is_fused_expert(tensor) ||
           (tensor->rank == 2 && mxq_module_length(tensor->name) != strlen(tensor->name));
}

/* By name; lm_head is among them unless it is quantized, because tied ones are in no file. */
static json_t *list_left_modules(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    json_t *list = json_array(), *seen = json_object();
    bool has_head = false;

    for (size_t i = 0; i < plan->ntensors; i++) {
        const struct mxq_plan_tensor *p = &plan->tensors[i];
        const struct mxq_st_tensor *tensor = &checkpoint->shards[p->shard].header->tensors[p->tensor];
        size_t length = mxq_module_length(tensor->name);
        char *module;
        has_head = has_head || (p->action == MXQ_ACTION_QUANTIZE && strcmp(tensor->name, "lm_head.weight") == 0);
        if (!is_left_linear(p, tensor))
            continue;
        if (mxq_is_fused_expert(tensor))
            length = (size_t)(strrchr(tensor->name, '.') - tensor->name);
        module = strndup(tensor->name, length);
        if (module != NULL)
            add_once(list, seen, module);
        free(module);
    }
    if (!has_head)
        add_once(list, seen, "lm_head");
    json_decref(seen);
    return list;
}

/* ---- quantization_config */

static json_t *string_or_null(const char *text)
{
    return text != NULL ? json_string(text) : json_null();
}

/* What Quark says of a tensor. The activations are the loader's own affair, who quantizes them with its rule. */
static json_t *pack_quark_spec(bool is_dynamic, const char *round_method, const char *scale_mode)
{
    return json_pack("{s:s, s:b, s:s, s:i, s:i, s:n, s:n, s:o, s:s, s:s, s:o, s:n, s:s, s:b, s:b, s:i}", "dtype", "fp4",
                     "is_dynamic", is_dynamic, "qscheme", "per_group", "ch_axis", -1, "group_size", MXQ_BLOCK_NELEMS,
                     "block_size", "symmetric", "round_method", string_or_null(round_method), "scale_type", "float",
                     "scale_format", "e8m0", "scale_calculation_mode", string_or_null(scale_mode), "mx_element_dtype",
                     "observer_cls", "PerBlockMXObserver", "is_scale_quant", false, "enable_buffer_reuse", false,
                     "max_input_numel", 4194304);
}

static json_t *pack_quark(const struct mxq_checkpoint_plan *plan, json_t *modules)
{
    const struct mxq_recipe *recipe = &plan->request.quantize.recipe;
    json_t *weight = pack_quark_spec(false, mxq_quark_round_method(recipe), mxq_quark_scale_mode(recipe));
    json_t *global = json_pack("{s:o, s:n, s:o, s:n, s:n}", "input_tensors", pack_quark_spec(true, "half_even", "even"),
                               "output_tensors", "weight", weight, "bias", "target_device");
    json_t *export = json_pack("{s:[], s:f, s:s, s:s, s:n}", "kv_cache_group", "min_kv_scale", 0.0, "pack_method",
                               "reorder", "weight_format", "real_quantized", "weight_merge_groups");

    return json_pack("{s:s, s:s, s:o, s:o, s:{}, s:{}, s:o, s:{}, s:b, s:n, s:n, s:s}", "quant_method", "quark",
                     "quant_mode", "eager_mode", "export", export, "global_quant_config", global, "layer_quant_config",
                     "layer_type_quant_config", "exclude", modules, "kv_cache_quant_config", "kv_cache_post_rope",
                     false, "softmax_quant_spec", "algo_config", "version", "mxfp4q-" MXQ_VERSION);
}

static json_t *pack_compressed_tensors(json_t *modules)
{
    json_t *weights =
        json_pack("{s:i, s:s, s:b, s:i, s:s, s:n, s:b, s:n, s:n, s:{}, s:s, s:n}", "num_bits", 4, "type", "float",
                  "symmetric", true, "group_size", MXQ_BLOCK_NELEMS, "strategy", "group", "block_structure", "dynamic",
                  false, "actorder", "observer", "observer_kwargs", "scale_dtype", "torch.uint8", "zp_dtype");
    json_t *group = json_pack("{s:s, s:[s], s:o, s:n, s:n}", "format", "mxfp4-pack-quantized", "targets", "Linear",
                              "weights", weights, "input_activations", "output_activations");

    return json_pack("{s:s, s:s, s:{s:o}, s:o, s:n, s:s}", "quant_method", "compressed-tensors", "format",
                     "mxfp4-pack-quantized", "config_groups", "group_0", group, "ignore", modules, "kv_cache_scheme",
                     "quantization_status", "compressed");
}

/* Of gpt-oss itself the list that its own checkpoints have. */
static json_t *pack_gpt_oss(const struct mxq_checkpoint *checkpoint, json_t *modules)
{
    const char *type = json_string_value(json_object_get(checkpoint->config, "model_type"));

    if (type != NULL && strcmp(type, "gpt_oss") == 0) {
        json_decref(modules);
        modules = json_pack("[s, s, s, s]", "model.layers.*.self_attn", "model.layers.*.mlp.router",
                            "model.embed_tokens", "lm_head");
    }
    return json_pack("{s:s, s:o}", "quant_method", "mxfp4", "modules_to_not_convert", modules);
}

json_t *mxq_pack_quantization_config(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    json_t *config;

    switch (plan->request.format) {
    case MXQ_CHECKPOINT_QUARK:
        config = pack_quark(plan, list_left_modules(checkpoint, plan));
        break;
    case MXQ_CHECKPOINT_COMPRESSED_TENSORS:
        config = pack_compressed_tensors(list_left_modules(checkpoint, plan));
        break;
    case MXQ_CHECKPOINT_GPT_OSS:
        config = pack_gpt_oss(checkpoint, list_left_modules(checkpoint, plan));
        break;
    default:
        return NULL;
    }
    json_object_set_new(config, "mxfp4q", mxq_pack_provenance(&plan->request));
    return config;
}
