/* checkpoint_warn.c - what a user should know about a plan before it is carried out */
#include "cli/checkpoint_warn.h"

#include "cli/checkpoint_files.h"
#include "cli/checkpoint_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What AITER's shuffled layouts, into which loaders bring weights, need of a matrix: whole tiles. */
#define TILE_ROWS 32
#define TILE_DEPTH 256

struct warning {
    const struct mxq_checkpoint *checkpoint;
    struct mxq_checkpoint_plan *plan;
    bool failed;
};

static void warn(struct warning *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void warn(struct warning *w, const char *format, ...)
{
    struct mxq_checkpoint_plan *plan = w->plan;
    char **grown = realloc(plan->warnings, (plan->nwarnings + 1) * sizeof(*grown));
    struct mxq_fault line;
    char text[MXQ_FAULT_NBYTES];
    va_list args;

    if (grown != NULL)
        plan->warnings = grown;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mxq_set_fault(&line, NULL, 0, "%s", text);
    if (grown == NULL || (grown[plan->nwarnings] = strdup(line.text)) == NULL)
        w->failed = true;
    else
        plan->nwarnings++;
}

static const struct mxq_st_tensor *get_source(const struct warning *w, const struct mxq_plan_tensor *t)
{
    return &w->checkpoint->shards[t->shard].header->tensors[t->tensor];
}

/* ---- many tensors, one line */

typedef bool (*tensor_test)(const struct warning *w, const struct mxq_plan_tensor *t);

static void warn_of_tensors(struct warning *w, tensor_test test, const char *what)
{
    const char *first = NULL;
    uint64_t count = 0;

    for (size_t i = 0; i < w->plan->ntensors; i++) {
        if (!test(w, &w->plan->tensors[i]))
            continue;
        count++;
        if (first == NULL)
            first = get_source(w, &w->plan->tensors[i])->name;
    }
    if (count == 1)
        warn(w, "\"%.300s\": %s", first, what);
    else if (count > 1)
        warn(w, "%" PRIu64 " tensors, \"%.300s\" the first: %s", count, first, what);
}

static bool is_quantized(const struct mxq_plan_tensor *t)
{
    return t->action == MXQ_ACTION_QUANTIZE;
}

static bool is_transposed(const struct mxq_plan_tensor *t)
{
    return is_quantized(t) && !t->matrix.options.wanted[MXQ_ROWWISE];
}

static uint64_t get_outputs(const struct mxq_plan_tensor *t)
{
    return is_transposed(t) ? t->matrix.cols : t->matrix.rows;
}

static uint64_t get_depth(const struct mxq_plan_tensor *t)
{
    return is_transposed(t) ? t->matrix.rows : t->matrix.cols;
}

/* Whether tensor parallelism splits the inputs of this matrix; otherwise its outputs. */
static bool is_split_by_inputs(const struct mxq_st_tensor *tensor)
{
    static const char *const names[] = {"o_proj", "down_proj", "out_proj", "wo", "w2", "c_proj", "dense_4h_to_h"};
    const size_t length = mxq_module_length(tensor->name);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const size_t nname = strlen(names[i]);
        if (length >= nname && memcmp(tensor->name + length - nname, names[i], nname) == 0 &&
            (length == nname || tensor->name[length - nname - 1] == '.'))
            return true;
    }
    return false;
}

static bool has_odd_outputs(const struct warning *w, const struct mxq_plan_tensor *t)
{
    const uint64_t tp = is_quantized(t) && !is_split_by_inputs(get_source(w, t)) ? w->plan->request.tp : 1;

    return is_quantized(t) && get_outputs(t) % (TILE_ROWS * tp) != 0;
}

static bool has_odd_depth(const struct warning *w, const struct mxq_plan_tensor *t)
{
    const uint64_t tp = is_quantized(t) && is_split_by_inputs(get_source(w, t)) ? w->plan->request.tp : 1;

    return is_quantized(t) && get_depth(t) % (TILE_DEPTH * tp) != 0;
}

static bool has_tail(const struct warning *w, const struct mxq_plan_tensor *t)
{
    (void)w;
    return t->reason != NULL && strcmp(t->reason, MXQ_REASON_TAIL) == 0;
}

static bool has_part_of_transform(const struct warning *w, const struct mxq_plan_tensor *t)
{
    (void)w;
    return t->reason != NULL && strcmp(t->reason, MXQ_REASON_TRANSFORM) == 0;
}

static bool is_transposed_expert(const struct warning *w, const struct mxq_plan_tensor *t)
{
    (void)w;
    return is_transposed(t);
}

static bool is_fused(const struct warning *w, const struct mxq_plan_tensor *t)
{
    return is_quantized(t) && get_source(w, t)->rank == 3;
}

static bool is_mxfp4(const struct warning *w, const struct mxq_plan_tensor *t)
{
    (void)w;
    return t->reason != NULL && strcmp(t->reason, MXQ_REASON_MXFP4) == 0;
}

static bool is_plain_fp8(const struct warning *w, const struct mxq_plan_tensor *t)
{
    (void)w;
    return t->reason != NULL && strcmp(t->reason, MXQ_REASON_PLAIN_FP8) == 0;
}

static bool is_tied(const struct warning *w, const struct mxq_plan_tensor *t)
{
    const char *name = get_source(w, t)->name;

    return is_quantized(t) && (strcmp(name, "lm_head.weight") == 0 || strstr(name, "embed_tokens.weight") != NULL);
}

/* What is planned for the tensor of this name; NULL: there is none. */
static const struct mxq_plan_tensor *find_planned(const struct warning *w, const char *name)
{
    const struct mxq_checkpoint_entry *entry = mxq_find_checkpoint_tensor(w->checkpoint, name);
    size_t first = 0;

    if (entry == NULL)
        return NULL;
    for (size_t s = 0; s < entry->shard; s++)
        first += w->checkpoint->shards[s].header->ntensors;
    return &w->plan->tensors[first + entry->tensor];
}

/* Whether the matrix that has the part sibling in its name where this one has part is there, and not quantized. */
static bool has_other_sibling(const struct warning *w, const char *name, const char *part, const char *sibling)
{
    const size_t length = mxq_module_length(name), npart = strlen(part);
    const struct mxq_plan_tensor *planned;
    char other[1024];
    int written;

    if (length <= npart || name[length - npart - 1] != '.' || memcmp(name + length - npart, part, npart) != 0)
        return false;
    written = snprintf(other, sizeof(other), "%.*s%s%s", (int)(length - npart), name, sibling, name + length);
    if (written < 0 || (size_t)written >= sizeof(other))
        return false;
    planned = find_planned(w, other);
    return planned != NULL && !is_quantized(planned);
}

/* Matrices that loaders join, so that they want all of them in one form. */
static bool is_split_from_siblings(const struct warning *w, const struct mxq_plan_tensor *t)
{
    static const char *const siblings[][3] = {
        {"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj", NULL}, {"w1", "w3", NULL}};
    const char *name = get_source(w, t)->name;

    for (size_t i = 0; is_quantized(t) && i < sizeof(siblings) / sizeof(siblings[0]); i++)
        for (unsigned a = 0; a < 3 && siblings[i][a] != NULL; a++)
            for (unsigned b = 0; b < 3 && siblings[i][b] != NULL; b++)
                if (a != b && has_other_sibling(w, name, siblings[i][a], siblings[i][b]))
                    return true;
    return false;
}

static void warn_of_shapes(struct warning *w)
{
    const enum mxq_checkpoint_format format = w->plan->request.format;
    char text[200];

    warn_of_tensors(w, has_tail, "copied, because its rows do not end with a block of 32 values");
    warn_of_tensors(w, has_part_of_transform, "copied, because its rows are no multiple of the Hadamard transform");
    if (format == MXQ_CHECKPOINT_BUFFERS || format == MXQ_CHECKPOINT_GPT_OSS)
        return;
    snprintf(text, sizeof(text), "N is no multiple of %d%s, as AITER's layouts need it", TILE_ROWS,
             w->plan->request.tp > 1 ? " in each of the --tp parts" : "");
    warn_of_tensors(w, has_odd_outputs, text);
    snprintf(text, sizeof(text), "K is no multiple of %d%s, as AITER's layouts need it", TILE_DEPTH,
             w->plan->request.tp > 1 ? " in each of the --tp parts" : "");
    warn_of_tensors(w, has_odd_depth, text);
}

static void warn_of_sources(struct warning *w)
{
    const enum mxq_checkpoint_format format = w->plan->request.format;

    if (json_is_true(json_object_get(w->checkpoint->config, "tie_word_embeddings")))
        warn_of_tensors(w, is_tied,
                        "quantized, and config.json ties it to another: loaders may want both as they were");
    if (w->plan->count[MXQ_ACTION_QUANTIZE] > 0)
        warn_of_tensors(w, is_mxfp4, "MXFP4 already, passed through: nothing says by which rule it was made");
    warn_of_tensors(w, is_plain_fp8, "FP8 without scales of blocks: copied");
    if (format == MXQ_CHECKPOINT_GPT_OSS)
        return;
    if (format != MXQ_CHECKPOINT_BUFFERS)
        warn_of_tensors(w, is_transposed_expert,
                        "[experts, inputs, outputs]: stored as [experts, outputs, inputs], which blocks run along");
    if (format != MXQ_CHECKPOINT_QUARK && format != MXQ_CHECKPOINT_COMPRESSED_TENSORS)
        return;
    warn_of_tensors(w, is_split_from_siblings,
                    "quantized, and not all that loaders join with it: q, k and v, or gate and up");
    warn_of_tensors(w, is_fused, "fused experts: many loaders of this format want each expert as a tensor of its own");
}

static void warn_of_rules(struct warning *w)
{
    const struct mxq_checkpoint_request *request = &w->plan->request;
    const struct mxq_recipe *recipe = &request->quantize.recipe;

    if (request->format == MXQ_CHECKPOINT_QUARK && mxq_quark_scale_mode(recipe) == NULL)
        warn(w,
             "Quark has no name for scale rule %s: scale_calculation_mode is null, quantization_config.mxfp4q says it",
             mxq_scale_rule_name(recipe->scale));
    if (request->format == MXQ_CHECKPOINT_QUARK && mxq_quark_round_method(recipe) == NULL)
        warn(w, "Quark has no name for ties going to %s: round_method is null, quantization_config.mxfp4q says it",
             mxq_ties_name(recipe->ties));
    if (w->checkpoint->config == NULL && !w->checkpoint->is_file && mxq_format_quant_method(request->format) != NULL)
        warn(w, "no config.json: nothing will tell loaders that the checkpoint is quantized");
    if (w->plan->count[MXQ_ACTION_QUANTIZE] == 0)
        warn(w, "no tensor is quantized");
}

static void warn_of_patterns(struct warning *w, const char *option, size_t npatterns,
                             const struct mxq_pattern *patterns)
{
    for (size_t i = 0; i < npatterns; i++)
        if (patterns[i].nmatches == 0)
            warn(w, "%s \"%.300s\" matches no tensor", option, patterns[i].text);
}

bool mxq_warn_of_plan(const struct mxq_checkpoint *checkpoint, struct mxq_checkpoint_plan *plan,
                      const struct mxq_selection *selection, struct mxq_fault *fault)
{
    struct warning w = {checkpoint, plan, false};

    warn_of_patterns(&w, "--include", selection->nincludes, selection->includes);
    warn_of_patterns(&w, "--exclude", selection->nexcludes, selection->excludes);
    warn_of_rules(&w);
    warn_of_shapes(&w);
    warn_of_sources(&w);
    if (w.failed)
        mxq_set_fault(fault, NULL, ENOMEM, "cannot plan");
    return !w.failed;
}
