/* checkpoint_plan.c - planning a checkpoint: what happens to each tensor, and the headers of the files that come out */
#include "cli/checkpoint_plan.h"

#include "cli/checkpoint_files.h"
#include "cli/checkpoint_format.h"
#include "cli/checkpoint_select.h"
#include "cli/checkpoint_warn.h"
#include "io/checksum.h"
#include "io/json_memory.h"
#include "io/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of the blocks of an FP8 checkpoint whose config.json does not say. */
#define FP8_BLOCK 128

struct planning {
    const struct mxq_checkpoint *checkpoint;
    struct mxq_checkpoint_plan *plan;
    struct mxq_selection *selection;
    size_t *first; /* of each shard: the number of its first tensor */
    struct mxq_fault *fault;
};

const char *mxq_action_name(enum mxq_action action)
{
    static const char *const names[] = {"copy", "quantize", "widen", "drop"};

    return (unsigned)action < MXQ_NUM_ACTIONS ? names[action] : NULL;
}

static bool refuse_memory(struct planning *p)
{
    mxq_set_fault(p->fault, p->checkpoint->folder, ENOMEM, "cannot plan");
    return false;
}

static const struct mxq_st_tensor *get_source(const struct planning *p, const struct mxq_plan_tensor *t)
{
    return &p->checkpoint->shards[t->shard].header->tensors[t->tensor];
}

/* ---- sources */

/* The tensor whose name is the first length bytes of name and suffix, or NULL. */
static const struct mxq_checkpoint_entry *find_companion(const struct planning *p, const char *name, size_t length,
                                                         const char *suffix)
{
    const size_t room = length + strlen(suffix) + 1;
    char *wanted = malloc(room);
    const struct mxq_checkpoint_entry *entry;

    if (wanted == NULL)
        return NULL;
    memcpy(wanted, name, length);
    strcpy(wanted + length, suffix);
    entry = mxq_find_checkpoint_tensor(p->checkpoint, wanted);
    free(wanted);
    return entry;
}

static const struct mxq_st_tensor *get_entry(const struct planning *p, const struct mxq_checkpoint_entry *entry)
{
    return entry != NULL ? &p->checkpoint->shards[entry->shard].header->tensors[entry->tensor] : NULL;
}

static bool ends_with(const char *text, const char *suffix)
{
    const size_t length = strlen(text), nsuffix = strlen(suffix);

    return length > nsuffix && strcmp(text + length - nsuffix, suffix) == 0;
}

/* The pairs of names, codes first, that MXFP4 tensors have in the formats that are known. */
static const char *const pairs[][2] = {
    {"", "_scale"}, {"_packed", "_scale"}, {"_blocks", "_scales"}, {".blocks", ".scales"}, {"weight", "scale"},
};

static bool is_code_dtype(enum mxq_st_dtype dtype)
{
    return dtype == MXQ_ST_U8 || dtype == MXQ_ST_I8 || dtype == MXQ_ST_F4;
}

/* Codes of 32 values for each scale byte. */
static bool is_mxfp4_pair(const struct mxq_st_tensor *codes, const struct mxq_st_tensor *scales)
{
    return codes != NULL && scales != NULL && codes != scales && is_code_dtype(codes->dtype) &&
           (scales->dtype == MXQ_ST_U8 || scales->dtype == MXQ_ST_F8_E8M0) && scales->nbytes > 0 &&
           codes->nbytes == MXQ_UNIT_NBYTES * scales->nbytes;
}

static bool is_mxfp4_already(const struct planning *p, const struct mxq_st_tensor *tensor)
{
    const char *name = tensor->name;

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        for (unsigned side = 0; side < 2; side++) {
            const size_t length = strlen(name) - strlen(pairs[i][side]);
            const struct mxq_st_tensor *other;
            if (!ends_with(name, pairs[i][side]))
                continue;
            other = get_entry(p, find_companion(p, name, length, pairs[i][1 - side]));
            if (side == 0 ? is_mxfp4_pair(tensor, other) : is_mxfp4_pair(other, tensor))
                return true;
        }
    }
    return false;
}

static void find_block_size(const struct planning *p, uint64_t block[2])
{
    const json_t *size = json_object_get(mxq_get_quantization_config(p->checkpoint), "weight_block_size");

    for (unsigned i = 0; i < 2; i++) {
        const json_int_t value = json_integer_value(json_array_get(size, i));
        block[i] = json_array_size(size) == 2 && value > 0 && value <= 65536 ? (uint64_t)value : FP8_BLOCK;
    }
}

static uint64_t divide_up(uint64_t value, uint64_t by)
{
    return value / by + (value % by != 0);
}

/* Whether these are scales of the blocks of tensor. */
static bool fits_blocks(const struct mxq_st_tensor *tensor, const struct mxq_st_tensor *scales, const uint64_t block[2])
{
    const unsigned rank = tensor->rank;

    return (scales->dtype == MXQ_ST_F32 || scales->dtype == MXQ_ST_BF16) && scales->rank == rank &&
           (rank != 3 || scales->shape[0] == tensor->shape[0]) &&
           scales->shape[rank - 2] == divide_up(tensor->shape[rank - 2], block[0]) &&
           scales->shape[rank - 1] == divide_up(tensor->shape[rank - 1], block[1]);
}

/* Finds the scales of FP8 blocks. False: there are some, and they do not fit. */
static bool find_fp8_scales(struct planning *p, struct mxq_plan_tensor *t, const struct mxq_st_tensor *tensor)
{
    const struct mxq_checkpoint_entry *entry;
    uint64_t block[2];

    t->kind = MXQ_VALUES_PLAIN;
    if (tensor->dtype != MXQ_ST_F8_E4M3 || tensor->rank < 2 || tensor->rank > 3)
        return true;
    entry = find_companion(p, tensor->name, strlen(tensor->name), "_scale_inv");
    if (entry == NULL)
        return true;
    find_block_size(p, block);
    if (!fits_blocks(tensor, get_entry(p, entry), block)) {
        mxq_set_fault(p->fault, p->checkpoint->shards[entry->shard].name, 0,
                      "tensor \"%.200s\" is not F32 or BF16 scales of blocks of %u x %u of \"%.200s\"", entry->name,
                      (unsigned)block[0], (unsigned)block[1], tensor->name);
        return false;
    }
    t->kind = MXQ_VALUES_FP8_BLOCKS;
    t->scale_shard = entry->shard;
    t->scale_tensor = entry->tensor;
    t->block_rows = block[0];
    t->block_cols = block[1];
    return true;
}

/* Whether it is the scales of a tensor for which find_fp8_scales() finds it. */
static bool is_fp8_scale(const struct planning *p, const struct mxq_st_tensor *tensor)
{
    const size_t length = strlen(tensor->name);
    const struct mxq_st_tensor *values;

    if (!ends_with(tensor->name, "_scale_inv"))
        return false;
    values = get_entry(p, find_companion(p, tensor->name, length - strlen("_scale_inv"), ""));
    return values != NULL && values->dtype == MXQ_ST_F8_E4M3 && (values->rank == 2 || values->rank == 3);
}

static bool find_dtype(struct mxq_plan_tensor *t, const struct mxq_st_tensor *tensor)
{
    t->dtype = MXQ_F32;
    if (tensor->dtype == MXQ_ST_BF16)
        t->dtype = MXQ_BF16;
    else if (tensor->dtype == MXQ_ST_F16)
        t->dtype = MXQ_F16;
    else
        return tensor->dtype == MXQ_ST_F32 || t->kind == MXQ_VALUES_FP8_BLOCKS;
    return true;
}

/* ---- orientation */

static uint64_t get_hidden_size(const struct mxq_checkpoint *checkpoint)
{
    const json_t *config = checkpoint->config;
    const json_t *size = json_object_get(config, "hidden_size");

    if (size == NULL)
        size = json_object_get(json_object_get(config, "text_config"), "hidden_size");
    return json_integer_value(size) > 0 ? (uint64_t)json_integer_value(size) : 0;
}

static bool is_transposed_model(const struct mxq_checkpoint *checkpoint)
{
    const char *type = json_string_value(json_object_get(checkpoint->config, "model_type"));

    return type != NULL && (strncmp(type, "gpt_oss", 7) == 0 || strncmp(type, "llama4", 6) == 0);
}

/*
 * Whether a fused expert tensor is [experts, inputs, outputs], as in gpt-oss and Llama 4, and not [experts, outputs, inputs].
 * The hidden size says so: it is the inputs of all but down_proj, whose outputs it is. Where it does not tell, the model's
 * type does, then the format.
 */
static bool is_transposed(const struct planning *p, const struct mxq_st_tensor *tensor)
{
    const uint64_t hidden = get_hidden_size(p->checkpoint);
    const bool down = strstr(tensor->name, "down") != NULL || ends_with(tensor->name, "w2");

    if (!mxq_is_fused_expert(tensor))
        return false;
    if ((tensor->shape[1] == hidden) != (tensor->shape[2] == hidden))
        return (tensor->shape[1] == hidden) != down;
    return is_transposed_model(p->checkpoint) || p->plan->request.format == MXQ_CHECKPOINT_GPT_OSS;
}

/* ---- one tensor */

/* *fits: its rows are whole transforms. Of what is not quantized, only rows and columns matter. */
static bool make_matrix(struct planning *p, struct mxq_plan_tensor *t, const struct mxq_st_tensor *tensor, bool *fits)
{
    struct mxq_options options = p->plan->request.quantize;
    enum mxq_status status;

    mxq_set_format_options(&options, p->plan->request.format, is_transposed(p, tensor));
    if (t->reason != NULL)
        options.recipe.hadamard_nelems = 0;
    t->nslices = tensor->rank == 3 ? tensor->shape[0] : 1;
    status = mxq_make_plan(&t->matrix, &options, tensor->shape[tensor->rank - 2], tensor->shape[tensor->rank - 1]);
    *fits = status != MXQ_ERR_ARGUMENT;
    if (status == MXQ_OK || status == MXQ_ERR_ARGUMENT)
        return true;
    mxq_set_fault(p->fault, p->checkpoint->shards[t->shard].name, 0, "tensor \"%.200s\" is too large", tensor->name);
    return false;
}

/* Values in a row that is quantized. */
static uint64_t get_depth(const struct mxq_plan_tensor *t)
{
    return t->matrix.options.wanted[MXQ_ROWWISE] ? t->matrix.cols : t->matrix.rows;
}

static const char *copy_reason(const struct planning *p, const struct mxq_plan_tensor *t,
                               const struct mxq_st_tensor *tensor, const char *reason)
{
    if (is_mxfp4_already(p, tensor))
        return MXQ_REASON_MXFP4;
    if (tensor->dtype == MXQ_ST_F8_E4M3 && t->kind == MXQ_VALUES_PLAIN)
        return MXQ_REASON_PLAIN_FP8;
    return reason;
}

static bool decide(struct planning *p, struct mxq_plan_tensor *t)
{
    const struct mxq_st_tensor *tensor = get_source(p, t);
    bool is_float;
    bool fits = true;

    t->copy = MXQ_NO_TENSOR;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        t->output[b] = MXQ_NO_TENSOR;
    if (!find_fp8_scales(p, t, tensor))
        return false;
    if (is_fp8_scale(p, tensor)) {
        t->action = MXQ_ACTION_DROP;
        t->reason = "scales of FP8 blocks";
        return true;
    }
    is_float = find_dtype(t, tensor);
    t->reason = mxq_reject_tensor(p->selection, tensor, is_float);
    if ((t->reason == NULL || t->kind == MXQ_VALUES_FP8_BLOCKS) && !make_matrix(p, t, tensor, &fits))
        return false;
    if (t->reason == NULL && !fits)
        t->reason = MXQ_REASON_TRANSFORM;
    if (t->reason == NULL && get_depth(t) % MXQ_BLOCK_NELEMS != 0 && !mxq_format_takes_tails(p->plan->request.format))
        t->reason = MXQ_REASON_TAIL;
    if (t->reason == NULL)
        t->action = MXQ_ACTION_QUANTIZE;
    else
        t->action = t->kind == MXQ_VALUES_FP8_BLOCKS ? MXQ_ACTION_WIDEN : MXQ_ACTION_COPY;
    if (t->action == MXQ_ACTION_COPY)
        t->reason = copy_reason(p, t, tensor, t->reason);
    return true;
}

static bool decide_all(struct planning *p)
{
    const struct mxq_checkpoint *c = p->checkpoint;
    struct mxq_checkpoint_plan *plan = p->plan;

    plan->tensors = calloc(c->nentries + 1, sizeof(*plan->tensors));
    p->first = calloc(c->nshards + 1, sizeof(*p->first));
    if (plan->tensors == NULL || p->first == NULL)
        return refuse_memory(p);
    for (size_t s = 0; s < c->nshards; s++) {
        p->first[s] = plan->ntensors;
        for (size_t i = 0; i < c->shards[s].header->ntensors; i++) {
            struct mxq_plan_tensor *t = &plan->tensors[plan->ntensors++];
            t->shard = s;
            t->tensor = i;
            if (!decide(p, t))
                return false;
            plan->count[t->action]++;
        }
    }
    p->first[c->nshards] = plan->ntensors;
    return true;
}

/* ---- output files */

static bool add_buffers(struct planning *p, const struct mxq_plan_tensor *t, struct mxq_st_header *header)
{
    struct mxq_output output;
    bool good = true;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && good; b++) {
        if (!t->matrix.options.wanted[b / 2])
            continue;
        if (!mxq_describe_output(p->plan->request.format, get_source(p, t), t->nslices, &t->matrix, b, &output))
            return refuse_memory(p);
        good = mxq_add_st_tensor(header, output.name, output.dtype, output.rank, output.shape, p->fault);
        free(output.name);
    }
    return good;
}

static bool add_outputs(struct planning *p, const struct mxq_plan_tensor *t, struct mxq_st_header *header)
{
    const struct mxq_st_tensor *tensor = get_source(p, t);

    switch (t->action) {
    case MXQ_ACTION_QUANTIZE:
        return add_buffers(p, t, header);
    case MXQ_ACTION_DROP:
        return true;
    default:
        return mxq_add_st_tensor(header, tensor->name, t->action == MXQ_ACTION_WIDEN ? MXQ_ST_BF16 : tensor->dtype,
                                 tensor->rank, tensor->shape, p->fault);
    }
}

/* __metadata__ stays; a shard with quantized tensors says how they were made. */
static bool set_metadata(struct planning *p, const struct mxq_st_header *source, struct mxq_st_header *header,
                         bool quantized)
{
    json_t *provenance;
    char *text;

    if (source->metadata != NULL)
        header->metadata = json_deep_copy(source->metadata);
    if (!quantized)
        return source->metadata == NULL || header->metadata != NULL || refuse_memory(p);
    if (header->metadata == NULL)
        header->metadata = json_object();
    provenance = mxq_pack_provenance(&p->plan->request);
    text = json_dumps(provenance, JSON_COMPACT);
    json_object_set_new(header->metadata, "mxfp4q", json_string(text != NULL ? text : ""));
    json_decref(provenance);
    free(text);
    return text != NULL || refuse_memory(p);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct mxq_checkpoint_entry *)a)->name, ((const struct mxq_checkpoint_entry *)b)->name);
}

static size_t find_output(const struct mxq_checkpoint_entry *names, size_t nnames, const char *name)
{
    const struct mxq_checkpoint_entry wanted = {name, 0, 0};
    const struct mxq_checkpoint_entry *found = bsearch(&wanted, names, nnames, sizeof(*names), compare_names);

    return found != NULL ? found->tensor : MXQ_NO_TENSOR;
}

/* The outputs of a tensor got their places in the header when it was laid out. */
static bool find_outputs(struct planning *p, struct mxq_plan_tensor *t, const struct mxq_checkpoint_entry *names,
                         size_t nnames)
{
    struct mxq_output output;

    if (t->action == MXQ_ACTION_COPY || t->action == MXQ_ACTION_WIDEN)
        t->copy = find_output(names, nnames, get_source(p, t)->name);
    if (t->action != MXQ_ACTION_QUANTIZE)
        return true;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++) {
        if (!t->matrix.options.wanted[b / 2])
            continue;
        if (!mxq_describe_output(p->plan->request.format, get_source(p, t), t->nslices, &t->matrix, b, &output))
            return refuse_memory(p);
        t->output[b] = find_output(names, nnames, output.name);
        free(output.name);
    }
    return true;
}

static bool link_outputs(struct planning *p, size_t s)
{
    const struct mxq_st_header *header = p->plan->shards[s].header;
    struct mxq_checkpoint_entry *names = malloc((header->ntensors + 1) * sizeof(*names));
    bool good = true;

    if (names == NULL)
        return refuse_memory(p);
    for (size_t i = 0; i < header->ntensors; i++)
        names[i] = (struct mxq_checkpoint_entry){header->tensors[i].name, s, i};
    qsort(names, header->ntensors, sizeof(*names), compare_names);
    for (size_t i = p->first[s]; i < p->first[s + 1] && good; i++)
        good = find_outputs(p, &p->plan->tensors[i], names, header->ntensors);
    free(names);
    return good;
}

static bool plan_shard(struct planning *p, size_t s)
{
    const struct mxq_checkpoint_shard *source = &p->checkpoint->shards[s];
    struct mxq_plan_shard *shard = &p->plan->shards[s];
    bool quantized = false;

    shard->name = source->name;
    shard->header = mxq_create_st_header();
    if (shard->header == NULL)
        return refuse_memory(p);
    for (size_t i = p->first[s]; i < p->first[s + 1]; i++) {
        quantized = quantized || p->plan->tensors[i].action == MXQ_ACTION_QUANTIZE;
        if (!add_outputs(p, &p->plan->tensors[i], shard->header))
            return false;
    }
    if (!set_metadata(p, source->header, shard->header, quantized) ||
        !mxq_lay_out_st_header(shard->header, shard->name, p->fault) || !link_outputs(p, s))
        return false;
    p->plan->in_nbytes += source->header->nbytes;
    p->plan->out_nbytes += shard->header->nbytes;
    return true;
}

/* No name may be made in two shards. */
static bool check_outputs(struct planning *p)
{
    struct mxq_checkpoint_entry *names;
    size_t nnames = 0;
    bool good = true;

    for (size_t s = 0; s < p->plan->nshards; s++)
        nnames += p->plan->shards[s].header->ntensors;
    names = malloc((nnames + 1) * sizeof(*names));
    if (names == NULL)
        return refuse_memory(p);
    nnames = 0;
    for (size_t s = 0; s < p->plan->nshards; s++)
        for (size_t i = 0; i < p->plan->shards[s].header->ntensors; i++)
            names[nnames++] = (struct mxq_checkpoint_entry){p->plan->shards[s].header->tensors[i].name, s, i};
    qsort(names, nnames, sizeof(*names), compare_names);
    for (size_t i = 1; i < nnames && good; i++)
        good = strcmp(names[i - 1].name, names[i].name) != 0;
    if (!good)
        mxq_set_fault(p->fault, p->checkpoint->folder, 0,
                      "two tensors of the result would have one name: a source tensor is called like an output");
    free(names);
    return good;
}

static bool plan_shards(struct planning *p)
{
    struct mxq_checkpoint_plan *plan = p->plan;

    plan->shards = calloc(p->checkpoint->nshards + 1, sizeof(*plan->shards));
    if (plan->shards == NULL)
        return refuse_memory(p);
    plan->nshards = p->checkpoint->nshards;
    for (size_t s = 0; s < plan->nshards; s++)
        if (!plan_shard(p, s))
            return false;
    return check_outputs(p);
}

/* ---- identity */

static uint32_t add_string(uint32_t crc, const char *text)
{
    return mxq_update_crc(crc, text, strlen(text) + 1);
}

static uint32_t add_json(uint32_t crc, const json_t *json, bool *failed)
{
    char *text = json_dumps(json, JSON_COMPACT);

    *failed = *failed || text == NULL;
    crc = add_string(crc, text != NULL ? text : "");
    free(text);
    return crc;
}

static json_t *pack_request(const struct mxq_checkpoint_request *request)
{
    const struct mxq_recipe *r = &request->quantize.recipe;
    json_t *patterns = json_array();

    for (size_t i = 0; i < request->nincludes; i++)
        json_array_append_new(patterns, json_pack("[s, s]", "include", request->includes[i]));
    for (size_t i = 0; i < request->nexcludes; i++)
        json_array_append_new(patterns, json_pack("[s, s]", "exclude", request->excludes[i]));
    return json_pack("{s:o, s:o, s:o, s:b}", "provenance", mxq_pack_provenance(request), "recipe",
                     mxq_pack_recipe(request->profile->name, r), "patterns", patterns, "nonfinite",
                     request->nonfinite_allowed);
}

/* Everything that the plan depends on, in an order of its own: names, sizes, headers, config.json and the request. */
static bool identify(struct planning *p)
{
    const struct mxq_checkpoint *c = p->checkpoint;
    json_t *request = pack_request(&p->plan->request);
    bool failed = request == NULL;
    uint32_t crc = add_json(0, request, &failed);

    json_decref(request);
    for (size_t s = 0; s < c->nshards && !failed; s++) {
        const struct mxq_st_header *header = c->shards[s].header;
        crc = add_string(crc, c->shards[s].name);
        crc = mxq_update_crc(crc, &header->nbytes, sizeof(header->nbytes));
        if (header->metadata != NULL)
            crc = add_json(crc, header->metadata, &failed);
        for (size_t i = 0; i < header->ntensors; i++) {
            const struct mxq_st_tensor *t = &header->tensors[i];
            crc = add_string(crc, t->name);
            crc = add_string(crc, mxq_st_dtype_name(t->dtype));
            crc = mxq_update_crc(crc, t->shape, t->rank * sizeof(t->shape[0]));
            crc = mxq_update_crc(crc, &t->offset, sizeof(t->offset));
        }
    }
    if (c->config_text != NULL)
        crc = mxq_update_crc(crc, c->config_text, c->config_nbytes);
    p->plan->identity = crc;
    return !failed || refuse_memory(p);
}

/* ---- the plan */

bool mxq_plan_checkpoint(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_request *request,
                         struct mxq_checkpoint_plan **plan, struct mxq_fault *fault)
{
    struct planning p = {.checkpoint = checkpoint, .plan = calloc(1, sizeof(**plan)), .fault = fault};
    bool good;

    *plan = p.plan;
    if (p.plan == NULL)
        return refuse_memory(&p);
    p.plan->request = *request;
    good = mxq_create_selection(request, &p.selection, fault) && decide_all(&p) && plan_shards(&p) && identify(&p) &&
           mxq_plan_files(checkpoint, p.plan, fault) && mxq_warn_of_plan(checkpoint, p.plan, p.selection, fault);
    if (good && mxq_json_memory_failed())
        good = refuse_memory(&p);
    mxq_free_selection(p.selection);
    free(p.first);
    if (good)
        return true;
    mxq_free_checkpoint_plan(p.plan);
    *plan = NULL;
    return false;
}

void mxq_free_checkpoint_plan(struct mxq_checkpoint_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t s = 0; s < plan->nshards; s++)
        mxq_free_st_header(plan->shards[s].header);
    for (size_t i = 0; i < plan->nfiles; i++) {
        free(plan->files[i].name);
        free(plan->files[i].text);
    }
    for (size_t i = 0; i < plan->nwarnings; i++)
        free(plan->warnings[i]);
    free(plan->tensors);
    free(plan->shards);
    free(plan->files);
    free(plan->warnings);
    free(plan);
}
