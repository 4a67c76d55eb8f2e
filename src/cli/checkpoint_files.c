/* checkpoint_files.c - the index and config.json of a planned checkpoint */
#include "cli/checkpoint_files.h"

#include "cli/checkpoint_format.h"
#include "cli/checkpoint_warn.h"
#include "io/json_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY "quantization_config"
#define NESTED "text_config"

const json_t *mxq_get_quantization_config(const struct mxq_checkpoint *checkpoint)
{
    const json_t *config = json_object_get(checkpoint->config, KEY);

    return json_is_object(config) ? config : json_object_get(json_object_get(checkpoint->config, NESTED), KEY);
}

static bool refuse_memory(struct mxq_fault *fault)
{
    mxq_set_fault(fault, NULL, ENOMEM, "cannot plan the files beside the shards");
    return false;
}

/* Takes text over. */
static bool add_file(struct mxq_checkpoint_plan *plan, const char *name, char *text, struct mxq_fault *fault)
{
    struct mxq_plan_file *grown = realloc(plan->files, (plan->nfiles + 1) * sizeof(*grown));

    if (grown != NULL)
        plan->files = grown;
    if (text == NULL || grown == NULL || (grown[plan->nfiles].name = strdup(name)) == NULL) {
        free(text);
        return refuse_memory(fault);
    }
    grown[plan->nfiles].text = text;
    grown[plan->nfiles].nbytes = strlen(text);
    plan->nfiles++;
    return true;
}

/* ---- the index */

struct place {
    const char *name;
    const char *shard;
};

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

static json_t *pack_weight_map(const struct mxq_checkpoint_plan *plan, uint64_t *total)
{
    json_t *map = json_object();
    struct place *places;
    size_t nplaces = 0;

    *total = 0;
    for (size_t s = 0; s < plan->nshards; s++)
        nplaces += plan->shards[s].header->ntensors;
    places = malloc((nplaces + 1) * sizeof(*places));
    nplaces = 0;
    for (size_t s = 0; s < plan->nshards && places != NULL; s++) {
        for (size_t i = 0; i < plan->shards[s].header->ntensors; i++) {
            const struct mxq_st_tensor *tensor = &plan->shards[s].header->tensors[i];
            places[nplaces++] = (struct place){tensor->name, plan->shards[s].name};
            *total += tensor->nbytes;
        }
    }
    if (places == NULL) {
        json_decref(map);
        return NULL;
    }
    qsort(places, nplaces, sizeof(*places), compare_places);
    for (size_t i = 0; i < nplaces; i++)
        json_object_set_new(map, places[i].name, json_string(places[i].shard));
    free(places);
    return map;
}

static bool add_index(const struct mxq_checkpoint *checkpoint, struct mxq_checkpoint_plan *plan,
                      struct mxq_fault *fault)
{
    uint64_t total;
    json_t *map = pack_weight_map(plan, &total);
    json_t *source = json_object_get(checkpoint->index, "metadata");
    json_t *metadata = json_is_object(source) ? json_deep_copy(source) : json_object();
    json_t *index;
    char *text;

    json_object_set_new(metadata, "total_size", json_integer((json_int_t)total));
    index = json_pack("{s:o, s:o}", "metadata", metadata, "weight_map", map);
    text = json_dumps(index, JSON_INDENT(2));
    json_decref(index);
    return add_file(plan, checkpoint->index_name, text, fault);
}

/* ---- config.json */

/* The key that goes may be all that told how to read these. */
static bool check_plain_fp8(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                            struct mxq_fault *fault)
{
    for (size_t i = 0; i < plan->ntensors; i++) {
        const struct mxq_plan_tensor *t = &plan->tensors[i];
        if (t->reason == NULL || strcmp(t->reason, MXQ_REASON_PLAIN_FP8) != 0)
            continue;
        mxq_set_fault(fault, plan->shards[t->shard].name, 0,
                      "tensor \"%.200s\" is FP8 without \"_scale_inv\", the scales of its blocks, so it cannot be read",
                      checkpoint->shards[t->shard].header->tensors[t->tensor].name);
        return false;
    }
    return true;
}

static bool is_requantizable(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                             struct mxq_fault *fault)
{
    const char *method = json_string_value(json_object_get(mxq_get_quantization_config(checkpoint), "quant_method"));
    const char *wanted = mxq_format_quant_method(plan->request.format);

    if (wanted == NULL || (method != NULL && (strcmp(method, "fp8") == 0 || strcmp(method, wanted) == 0)))
        return true;
    mxq_set_fault(fault, MXQ_CHECKPOINT_CONFIG, 0,
                  "the checkpoint is quantized already, by \"%.100s\": only FP8 with block scales can be quantized "
                  "again",
                  method != NULL ? method : "?");
    return false;
}

static char *set_member(char *text, const char *parent, const json_t *value)
{
    char *result = text != NULL
                       ? mxq_set_json_member((struct mxq_json_text){text, text + strlen(text)}, parent, KEY, value)
                       : NULL;

    free(text);
    return result;
}

/* Only the key changes; and it goes from text_config, where another would be meant for another. */
static bool add_config(const struct mxq_checkpoint *checkpoint, struct mxq_checkpoint_plan *plan,
                       struct mxq_fault *fault)
{
    const char *method = json_string_value(json_object_get(mxq_get_quantization_config(checkpoint), "quant_method"));
    json_t *value = mxq_pack_quantization_config(checkpoint, plan);
    char *text;

    /* Nothing takes the place of what is said about tensors that were quantized before; FP8 there is none any more. */
    if (value == NULL && (method == NULL || strcmp(method, "fp8") != 0))
        return true;
    text = strndup(checkpoint->config_text, checkpoint->config_nbytes);
    if (json_object_get(json_object_get(checkpoint->config, NESTED), KEY) != NULL)
        text = set_member(text, NESTED, NULL);
    text = set_member(text, NULL, value);
    json_decref(value);
    return add_file(plan, MXQ_CHECKPOINT_CONFIG, text, fault);
}

bool mxq_plan_files(const struct mxq_checkpoint *checkpoint, struct mxq_checkpoint_plan *plan, struct mxq_fault *fault)
{
    const bool changed = plan->count[MXQ_ACTION_QUANTIZE] > 0 || plan->count[MXQ_ACTION_WIDEN] > 0;

    if (changed && mxq_get_quantization_config(checkpoint) != NULL &&
        (!is_requantizable(checkpoint, plan, fault) || !check_plain_fp8(checkpoint, plan, fault)))
        return false;
    if (changed && checkpoint->config != NULL && !add_config(checkpoint, plan, fault))
        return false;
    return checkpoint->index == NULL || add_index(checkpoint, plan, fault);
}
