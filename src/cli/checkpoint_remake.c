/* checkpoint_remake.c - what became of each tensor of a source */
#include "cli/checkpoint_remake.h"

#include "cli/checkpoint_files.h"
#include "cli/checkpoint_plan.h"
#include "cli/options.h"
#include "cli/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FP8_BLOCK 128

struct accounting {
    struct mxq_verify *verify;
    struct mxq_remade_list *list;
    struct mxq_options options; /* recipe and pad_fill */
    bool *used;                 /* of each entry of the made checkpoint */
};

/* ---------------------------------------------------------------------------------------------- recipe */

static bool get_word(const json_t *object, const char *key, const char *(*name)(unsigned), unsigned *value)
{
    const char *text = json_string_value(json_object_get(object, key));

    for (unsigned i = 0; text != NULL && name(i) != NULL; i++) {
        if (strcmp(name(i), text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool get_byte(const json_t *object, const char *key, uint8_t *byte)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 255)
        return false;
    *byte = (uint8_t)json_integer_value(value);
    return true;
}

/* What only some recipes have; 0 for the others. */
static bool read_details(const json_t *made, struct mxq_recipe *recipe)
{
    const char *seed = json_string_value(json_object_get(made, "seed"));
    const char *floor = json_string_value(json_object_get(made, "amax_floor"));
    const char *signs = json_string_value(json_object_get(made, "hadamard_signs"));

    recipe->seed = seed != NULL ? strtoull(seed, NULL, 10) : 0;
    recipe->amax_floor = floor != NULL ? (uint32_t)strtoul(floor, NULL, 16) : 0;
    recipe->hadamard_nelems = (unsigned)json_integer_value(json_object_get(made, "hadamard"));
    return signs == NULL || mxq_parse_signs("hadamard_signs", signs, recipe->hadamard_signs);
}

/* A profile and the switches that the command line has. */
static bool read_recipe(const json_t *made, struct mxq_options *options)
{
    const char *profile = json_string_value(json_object_get(made, "profile"));
    struct mxq_recipe *recipe = &options->recipe;
    unsigned scale, ties, sign, block;

    if (profile == NULL || mxq_find_profile(profile) == NULL || !get_word(made, "scale", mxq_scale_word, &scale) ||
        !get_word(made, "ties", mxq_ties_word, &ties) || !get_word(made, "sign", mxq_sign_word, &sign) ||
        !get_word(made, "block", mxq_block_word, &block))
        return false;
    mxq_init_options(options, mxq_find_profile(profile));
    recipe->scale = scale;
    recipe->ties = ties;
    recipe->sign = sign;
    recipe->block = block;
    get_byte(made, "pad_fill", &options->pad_fill);
    return get_byte(made, "zero_byte", &recipe->zero_byte) && read_details(made, recipe);
}

/* Of a checkpoint that another program made, only the format can tell. */
static void guess_recipe(struct accounting *a)
{
    static const enum mxq_checkpoint_format formats[MXQ_NUM_PACKED_FORMS] = {
        [MXQ_PACKED_QUARK] = MXQ_CHECKPOINT_QUARK,
        [MXQ_PACKED_COMPRESSED_TENSORS] = MXQ_CHECKPOINT_COMPRESSED_TENSORS,
        [MXQ_PACKED_GPT_OSS] = MXQ_CHECKPOINT_GPT_OSS,
        [MXQ_PACKED_NATIVE] = MXQ_CHECKPOINT_NATIVE,
        [MXQ_PACKED_BUFFERS] = MXQ_CHECKPOINT_BUFFERS,
    };
    const struct mxq_packed_list *made = &a->verify->made.list;
    const struct mxq_profile *profile = a->verify->profile;

    if (profile == NULL)
        profile = mxq_checkpoint_format_profile(formats[made->npacked != 0 ? made->packed[0].form : MXQ_PACKED_QUARK]);

    mxq_init_options(&a->options, profile);
    mxq_add_note(a->verify, "the shards do not tell how they were made: compared with profile %s", profile->name);
}

/* ---------------------------------------------------------------------------------------------- places */

static const struct mxq_checkpoint_entry *use_made(struct accounting *a, const char *name)
{
    const struct mxq_checkpoint *made = a->verify->made.checkpoint;
    const struct mxq_checkpoint_entry *entry = mxq_find_checkpoint_tensor(made, name);

    if (entry != NULL)
        a->used[entry - made->entries] = true;
    return entry;
}

static const struct mxq_st_tensor *source_tensor(const struct accounting *a, const struct mxq_checkpoint_entry *entry)
{
    return mxq_tensor_at(a->verify->from.checkpoint, entry);
}

static bool same_shape(const struct mxq_st_tensor *a, const struct mxq_st_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (unsigned i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* ---------------------------------------------------------------------------------------------- FP8 */

static void find_blocks(const struct accounting *a, struct mxq_remade *item)
{
    const json_t *size = json_object_get(mxq_get_quantization_config(a->verify->from.checkpoint), "weight_block_size");
    const json_int_t rows = json_integer_value(json_array_get(size, 0));
    const json_int_t cols = json_integer_value(json_array_get(size, 1));

    item->block_rows = rows > 0 && cols > 0 ? (uint64_t)rows : FP8_BLOCK;
    item->block_cols = rows > 0 && cols > 0 ? (uint64_t)cols : FP8_BLOCK;
}

static uint64_t count_blocks(uint64_t n, uint64_t block)
{
    return n / block + (n % block != 0);
}

/* Sets where the scales of FP8 blocks are, when there are some that fit. */
static void find_scales(const struct accounting *a, struct mxq_remade *item)
{
    const struct mxq_st_tensor *tensor = source_tensor(a, item->from), *scales;
    char name[2048];

    if (tensor->dtype != MXQ_ST_F8_E4M3 || tensor->rank < 2 ||
        snprintf(name, sizeof(name), "%s_scale_inv", tensor->name) >= (int)sizeof(name))
        return;
    item->scales = mxq_find_checkpoint_tensor(a->verify->from.checkpoint, name);
    if (item->scales == NULL)
        return;
    find_blocks(a, item);
    scales = source_tensor(a, item->scales);
    if ((scales->dtype != MXQ_ST_F32 && scales->dtype != MXQ_ST_BF16) || scales->rank != tensor->rank ||
        scales->shape[tensor->rank - 2] != count_blocks(tensor->shape[tensor->rank - 2], item->block_rows) ||
        scales->shape[tensor->rank - 1] != count_blocks(tensor->shape[tensor->rank - 1], item->block_cols))
        item->scales = NULL;
}

/* ---------------------------------------------------------------------------------------------- MXFP4 */

/* gpt-oss leaves ".weight" out, so the name is looked for without it, too. */
static const struct mxq_packed *find_made(const struct accounting *a, const char *name, enum mxq_direction direction)
{
    const struct mxq_packed *found = mxq_find_packed(&a->verify->made.list, name, direction);
    char module[2048];

    if (found != NULL || !ends_with(name, ".weight"))
        return found;
    snprintf(module, sizeof(module), "%.*s", (int)(strlen(name) - strlen(".weight")), name);
    found = mxq_find_packed(&a->verify->made.list, module, direction);
    return found != NULL && found->form == MXQ_PACKED_GPT_OSS ? found : NULL;
}

/* Fused experts that are stored as [experts, inputs, outputs] are quantized down the inputs. */
static bool is_input_first(const struct accounting *a)
{
    const char *type = json_string_value(json_object_get(a->verify->from.checkpoint->config, "model_type"));

    return type != NULL && (strncmp(type, "gpt_oss", 7) == 0 || strncmp(type, "llama4", 6) == 0);
}

/* Whether blocks run along the rows of a slice, or down its columns; MXQ_NUM_DIRECTIONS when the shape fits neither. */
static enum mxq_direction find_direction(const struct accounting *a, const struct mxq_packed *packed, uint64_t rows,
                                         uint64_t cols)
{
    const bool along = packed->plan.rows == rows && packed->plan.cols == cols + cols % 2;
    const bool down = packed->plan.rows == cols && packed->plan.cols == rows + rows % 2;

    if (packed->form == MXQ_PACKED_BUFFERS)
        return packed->direction;
    if (along && down)
        return packed->direction == MXQ_COLUMNWISE || (packed->nslices != 1 && is_input_first(a)) ? MXQ_COLUMNWISE
                                                                                                  : MXQ_ROWWISE;
    if (along)
        return MXQ_ROWWISE;
    return down ? MXQ_COLUMNWISE : MXQ_NUM_DIRECTIONS;
}

static bool get_dtype(const struct mxq_remade *item, const struct mxq_st_tensor *tensor, enum mxq_dtype *dtype)
{
    switch (tensor->dtype) {
    case MXQ_ST_BF16:
        *dtype = MXQ_BF16;
        return true;
    case MXQ_ST_F16:
        *dtype = MXQ_F16;
        return true;
    default:
        *dtype = MXQ_F32;
        return tensor->dtype == MXQ_ST_F32 || item->scales != NULL;
    }
}

static void add_output(struct accounting *a, struct mxq_remade *item, const struct mxq_packed *packed,
                       enum mxq_direction direction, struct mxq_options *options)
{
    const unsigned data = direction == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
    const enum mxq_layout layout = packed->form == MXQ_PACKED_BUFFERS ? MXQ_AITER : MXQ_LINEAR;

    options->wanted[direction] = true;
    options->layout[data] = options->layout[data + 1] = layout;
    item->to[data] = use_made(a, packed->data.name);
    item->to[data + 1] = use_made(a, packed->scale.name);
}

/* The plan must give every output the size that it has. */
static bool fits_outputs(const struct accounting *a, const struct mxq_remade *item)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (item->to[b] != NULL && mxq_tensor_at(a->verify->made.checkpoint, item->to[b])->nbytes !=
                                       item->nslices * item->plan.extent[b].nbytes)
            return false;
    return true;
}

/* A tensor that is MXFP4 now. False when the shapes do not fit. */
static bool take_quantized(struct accounting *a, struct mxq_remade *item)
{
    const struct mxq_st_tensor *tensor = source_tensor(a, item->from);
    const uint64_t rows = tensor->rank > 1 ? tensor->shape[tensor->rank - 2] : 1;
    const uint64_t cols = tensor->rank > 0 ? tensor->shape[tensor->rank - 1] : 1;
    struct mxq_options options = a->options;

    item->fate = MXQ_FATE_QUANTIZED;
    item->nslices = 1;
    for (unsigned i = 0; i + 2 < tensor->rank; i++)
        item->nslices *= tensor->shape[i];
    options.wanted[MXQ_ROWWISE] = options.wanted[MXQ_COLUMNWISE] = false;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const struct mxq_packed *packed = find_made(a, tensor->name, d);
        const enum mxq_direction direction =
            packed != NULL ? find_direction(a, packed, rows, cols) : MXQ_NUM_DIRECTIONS;
        if (packed == NULL)
            continue;
        if (direction == MXQ_NUM_DIRECTIONS || packed->nslices != item->nslices)
            return false;
        add_output(a, item, packed, direction, &options);
    }
    return get_dtype(item, tensor, &item->dtype) && mxq_make_plan(&item->plan, &options, rows, cols) == MXQ_OK &&
           fits_outputs(a, item);
}

/* ---------------------------------------------------------------------------------------------- all tensors */

static bool is_applied_scale(const struct accounting *a, const char *name)
{
    const struct mxq_checkpoint_entry *weight;
    char base[2048];

    if (!ends_with(name, "_scale_inv"))
        return false;
    snprintf(base, sizeof(base), "%.*s", (int)(strlen(name) - strlen("_scale_inv")), name);
    weight = mxq_find_checkpoint_tensor(a->verify->from.checkpoint, base);
    return weight != NULL && source_tensor(a, weight)->dtype == MXQ_ST_F8_E4M3;
}

static void add_problem(struct accounting *a, const struct mxq_checkpoint_entry *entry, const char *text)
{
    mxq_add_problem(a->verify, "\"%s\": tensor \"%.400s\" %s", a->verify->from.checkpoint->shards[entry->shard].name,
                    entry->name, text);
}

/* A tensor that has its name still. */
static bool take_plain(struct accounting *a, struct mxq_remade *item, const struct mxq_st_tensor *to)
{
    const struct mxq_st_tensor *tensor = source_tensor(a, item->from);

    item->fate = to->dtype == tensor->dtype ? MXQ_FATE_COPIED : MXQ_FATE_WIDENED;
    item->to[0] = use_made(a, tensor->name);
    if (!same_shape(tensor, to))
        return false;
    if (item->fate == MXQ_FATE_COPIED)
        return true;
    item->nslices = 1;
    for (unsigned i = 0; i + 2 < tensor->rank; i++)
        item->nslices *= tensor->shape[i];
    if (item->scales == NULL || to->dtype != MXQ_ST_BF16)
        return false;
    item->plan.rows = tensor->shape[tensor->rank - 2];
    item->plan.cols = tensor->shape[tensor->rank - 1];
    return true;
}

static void account_for(struct accounting *a, const struct mxq_checkpoint_entry *entry)
{
    struct mxq_remade *item = &a->list->items[a->list->nitems];
    const struct mxq_checkpoint *made = a->verify->made.checkpoint;
    const struct mxq_checkpoint_entry *to = mxq_find_checkpoint_tensor(made, entry->name);
    const bool packed =
        find_made(a, entry->name, MXQ_ROWWISE) != NULL || find_made(a, entry->name, MXQ_COLUMNWISE) != NULL;

    memset(item, 0, sizeof(*item));
    item->from = entry;
    find_scales(a, item);
    if (to != NULL && (!packed || mxq_tensor_at(made, to)->dtype == source_tensor(a, entry)->dtype)) {
        if (take_plain(a, item, mxq_tensor_at(made, to)))
            a->list->nitems++;
        else
            add_problem(a, entry, "has another type or shape in what was made of it");
    } else if (packed) {
        if (take_quantized(a, item))
            a->list->nitems++;
        else
            add_problem(a, entry, "is not of the shape that its MXFP4 codes and scales are for");
    } else if (!is_applied_scale(a, entry->name)) {
        add_problem(a, entry, "is missing in what was made of it");
    }
}

static void find_extra(struct accounting *a)
{
    const struct mxq_checkpoint *made = a->verify->made.checkpoint;

    for (size_t i = 0; i < made->nentries; i++)
        if (!a->used[i])
            mxq_add_problem(a->verify, "\"%s\": tensor \"%.400s\" does not come from the source",
                            made->shards[made->entries[i].shard].name, made->entries[i].name);
}

bool mxq_list_remade(struct mxq_verify *verify, struct mxq_remade_list *list, struct mxq_fault *fault)
{
    const struct mxq_checkpoint *from = verify->from.checkpoint;
    struct accounting a = {.verify = verify, .list = list};

    memset(list, 0, sizeof(*list));
    list->items = calloc(from->nentries + 1, sizeof(*list->items));
    a.used = calloc(verify->made.checkpoint->nentries + 1, sizeof(*a.used));
    if (list->items == NULL || a.used == NULL) {
        mxq_set_fault(fault, verify->source, ENOMEM, "cannot verify");
        free(a.used);
        return false;
    }
    if (verify->provenance == NULL)
        guess_recipe(&a);
    else if (!read_recipe(verify->provenance, &a.options)) {
        mxq_add_problem(verify, "__metadata__: mxfp4q does not name a recipe that this program knows");
        guess_recipe(&a);
    }
    for (size_t i = 0; i < from->nentries; i++)
        account_for(&a, &from->entries[i]);
    find_extra(&a);
    free(a.used);
    return true;
}

void mxq_free_remade_list(struct mxq_remade_list *list)
{
    free(list->items);
    memset(list, 0, sizeof(*list));
}
