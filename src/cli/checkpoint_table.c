/* checkpoint_table.c - a plan of a checkpoint for a person, and as JSON */
#include "cli/checkpoint_plan.h"

#include "cli/checkpoint_format.h"
#include "io/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mxq_st_tensor *get_source(const struct mxq_checkpoint *checkpoint, const struct mxq_plan_tensor *t)
{
    return &checkpoint->shards[t->shard].header->tensors[t->tensor];
}

static uint64_t count_output_bytes(const struct mxq_checkpoint_plan *plan, const struct mxq_plan_tensor *t)
{
    const struct mxq_st_tensor *outputs = plan->shards[t->shard].header->tensors;
    uint64_t nbytes = t->copy != MXQ_NO_TENSOR ? outputs[t->copy].nbytes : 0;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (t->output[b] != MXQ_NO_TENSOR)
            nbytes += outputs[t->output[b]].nbytes;
    return nbytes;
}

/* Of the column of names: as wide as they are, within limits. */
#define MIN_WIDTH 24
#define MAX_WIDTH 72

/* ---- lines: tensors that differ in numbers in their names only */

struct line {
    char *pattern;
    const struct mxq_st_tensor *source;
    const struct mxq_plan_tensor *planned;
    uint64_t count;
    uint64_t in_nbytes;
    uint64_t out_nbytes;
};

/* The name with a star for each part that is a number; to be freed. */
static char *make_pattern(const char *name)
{
    char *pattern = malloc(strlen(name) + 1), *to = pattern;

    for (const char *from = name; pattern != NULL && *from != '\0';) {
        const size_t ndigits = strspn(from, "0123456789");
        const bool starts = from == name || from[-1] == '.';
        if (ndigits > 0 && starts && (from[ndigits] == '.' || from[ndigits] == '\0')) {
            *to++ = '*';
            from += ndigits;
        } else {
            *to++ = *from++;
        }
    }
    if (pattern != NULL)
        *to = '\0';
    return pattern;
}

static int compare_shapes(const struct mxq_st_tensor *a, const struct mxq_st_tensor *b)
{
    if (a->dtype != b->dtype)
        return a->dtype < b->dtype ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    for (unsigned i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return a->shape[i] < b->shape[i] ? -1 : 1;
    return 0;
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *left = a, *right = b;
    int order = strcmp(left->pattern, right->pattern);

    if (order == 0)
        order = compare_shapes(left->source, right->source);
    if (order == 0)
        order = (int)left->planned->action - (int)right->planned->action;
    if (order == 0)
        order = strcmp(left->planned->reason != NULL ? left->planned->reason : "",
                       right->planned->reason != NULL ? right->planned->reason : "");
    return order;
}

static size_t merge_lines(struct line *lines, size_t nlines)
{
    size_t nmerged = 0;

    qsort(lines, nlines, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < nlines; i++) {
        if (nmerged > 0 && compare_lines(&lines[nmerged - 1], &lines[i]) == 0) {
            lines[nmerged - 1].count += lines[i].count;
            lines[nmerged - 1].in_nbytes += lines[i].in_nbytes;
            lines[nmerged - 1].out_nbytes += lines[i].out_nbytes;
            free(lines[i].pattern);
        } else {
            lines[nmerged++] = lines[i];
        }
    }
    return nmerged;
}

static size_t collect_lines(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                            struct line *lines)
{
    size_t nlines = 0;

    for (size_t i = 0; i < plan->ntensors; i++) {
        const struct mxq_plan_tensor *t = &plan->tensors[i];
        const struct mxq_st_tensor *source = get_source(checkpoint, t);
        char *pattern = make_pattern(source->name);
        if (pattern != NULL)
            lines[nlines++] = (struct line){pattern, source, t, 1, source->nbytes, count_output_bytes(plan, t)};
    }
    return merge_lines(lines, nlines);
}

/* ---- the table */

/* Names come from anywhere; this prints them without control characters. */
static void print_name(const char *name, int width)
{
    struct mxq_fault text;

    mxq_set_fault(&text, NULL, 0, "%s", name);
    printf("%-*s", width, text.text);
}

static void print_line(const struct line *line, int width)
{
    char shape[256] = "";
    size_t used = 0;

    for (unsigned i = 0; i < line->source->rank && used < sizeof(shape) - 32; i++)
        used +=
            (size_t)snprintf(shape + used, sizeof(shape) - used, "%s%" PRIu64, i ? "x" : "", line->source->shape[i]);
    printf("%7" PRIu64 "  ", line->count);
    print_name(line->pattern, width);
    printf("  %-8s %-16s %14" PRIu64 " %14" PRIu64 "  %s", mxq_st_dtype_name(line->source->dtype), shape,
           line->in_nbytes, line->out_nbytes, mxq_action_name(line->planned->action));
    if (line->planned->reason != NULL)
        printf(": %s", line->planned->reason);
    putchar('\n');
}

static void print_lines(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    struct line *lines = malloc((plan->ntensors + 1) * sizeof(*lines));
    int width = MIN_WIDTH;
    const size_t nlines = lines != NULL ? collect_lines(checkpoint, plan, lines) : 0;

    for (size_t i = 0; i < nlines; i++)
        if (strlen(lines[i].pattern) > (size_t)width && strlen(lines[i].pattern) <= MAX_WIDTH)
            width = (int)strlen(lines[i].pattern);
    printf("%7s  %-*s  %-8s %-16s %14s %14s  %s\n", "tensors", width, "name", "dtype", "shape", "bytes in", "bytes out",
           "what is done");
    for (size_t i = 0; i < nlines; i++) {
        print_line(&lines[i], width);
        free(lines[i].pattern);
    }
    free(lines);
}

static void print_shards(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    printf("%7s  %-75s %14s %14s\n", "tensors", "shard", "bytes in", "bytes out");
    for (size_t s = 0; s < plan->nshards; s++) {
        printf("%7zu  ", checkpoint->shards[s].header->ntensors);
        print_name(plan->shards[s].name, 75);
        printf(" %14" PRIu64 " %14" PRIu64 "\n", checkpoint->shards[s].header->nbytes, plan->shards[s].header->nbytes);
    }
}

static void print_recipe(const struct mxq_checkpoint_request *request)
{
    const struct mxq_recipe *r = &request->quantize.recipe;

    printf("format %s, profile %s: scale %s, ties %s, sign %s, zero byte %u",
           mxq_checkpoint_format_word(request->format), request->profile->name, mxq_scale_rule_name(r->scale),
           mxq_ties_name(r->ties), mxq_sign_name(r->sign), r->zero_byte);
    if (r->ties == MXQ_TIES_STOCHASTIC)
        printf(", seed %" PRIu64, r->seed);
    if (r->block != MXQ_BLOCK_1X32)
        printf(", block %s", mxq_block_name(r->block));
    if (r->amax_floor != 0)
        printf(", amax floor %08" PRIx32, r->amax_floor);
    if (r->hadamard_nelems != 0) {
        char signs[MXQ_SIGNS_TEXT_NBYTES];
        mxq_format_signs(r->hadamard_signs, signs);
        printf(", Hadamard %u with signs %s", r->hadamard_nelems, signs);
    }
    putchar('\n');
}

void mxq_print_checkpoint_plan(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    print_name(checkpoint->folder, 0);
    printf(": %zu shards, %zu tensors\n", plan->nshards, plan->ntensors);
    print_recipe(&plan->request);
    putchar('\n');
    print_lines(checkpoint, plan);
    putchar('\n');
    print_shards(checkpoint, plan);
    printf("%7zu  %-75s %14" PRIu64 " %14" PRIu64 "\n", plan->ntensors, "all", plan->in_nbytes, plan->out_nbytes);
    printf("\n%" PRIu64 " quantized, %" PRIu64 " copied, %" PRIu64 " widened, %" PRIu64 " dropped\n",
           plan->count[MXQ_ACTION_QUANTIZE], plan->count[MXQ_ACTION_COPY], plan->count[MXQ_ACTION_WIDEN],
           plan->count[MXQ_ACTION_DROP]);
}

/* ---- JSON */

static json_t *pack_shape(const struct mxq_st_tensor *tensor)
{
    json_t *shape = json_array();

    for (unsigned i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    return shape;
}

static json_t *pack_output(const struct mxq_st_tensor *tensor)
{
    return json_pack("{s:o, s:s, s:o, s:I, s:I}", "name", mxq_pack_name(tensor->name), "dtype",
                     mxq_st_dtype_name(tensor->dtype), "shape", pack_shape(tensor), "offset",
                     (json_int_t)tensor->offset, "nbytes", (json_int_t)tensor->nbytes);
}

static json_t *pack_tensor(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                           const struct mxq_plan_tensor *t)
{
    const struct mxq_st_tensor *source = get_source(checkpoint, t);
    const struct mxq_st_tensor *outputs = plan->shards[t->shard].header->tensors;
    json_t *made = json_array();

    if (t->copy != MXQ_NO_TENSOR)
        json_array_append_new(made, pack_output(&outputs[t->copy]));
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (t->output[b] != MXQ_NO_TENSOR)
            json_array_append_new(made, pack_output(&outputs[t->output[b]]));
    return json_pack("{s:o, s:o, s:s, s:o, s:I, s:s, s:o, s:o}", "name", mxq_pack_name(source->name), "shard",
                     mxq_pack_name(plan->shards[t->shard].name), "dtype", mxq_st_dtype_name(source->dtype), "shape",
                     pack_shape(source), "nbytes", (json_int_t)source->nbytes, "action", mxq_action_name(t->action),
                     "reason", t->reason != NULL ? json_string(t->reason) : json_null(), "outputs", made);
}

json_t *mxq_pack_checkpoint_plan(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan)
{
    json_t *tensors = json_array(), *shards = json_array(), *warnings = json_array();
    char identity[16];

    snprintf(identity, sizeof(identity), "%08" PRIx32, plan->identity);
    for (size_t s = 0; s < plan->nshards; s++)
        json_array_append_new(shards, json_pack("{s:o, s:I, s:I}", "name", mxq_pack_name(plan->shards[s].name),
                                                "in_nbytes", (json_int_t)checkpoint->shards[s].header->nbytes,
                                                "out_nbytes", (json_int_t)plan->shards[s].header->nbytes));
    for (size_t i = 0; i < plan->ntensors; i++)
        json_array_append_new(tensors, pack_tensor(checkpoint, plan, &plan->tensors[i]));
    for (size_t i = 0; i < plan->nwarnings; i++)
        json_array_append_new(warnings, mxq_pack_name(plan->warnings[i]));
    return json_pack("{s:s, s:o, s:o, s:s, s:I, s:I, s:o, s:o, s:o}", "kind", "mxfp4q checkpoint plan", "folder",
                     mxq_pack_name(checkpoint->folder), "recipe", mxq_pack_provenance(&plan->request), "identity",
                     identity, "in_nbytes", (json_int_t)plan->in_nbytes, "out_nbytes", (json_int_t)plan->out_nbytes,
                     "shards", shards, "tensors", tensors, "warnings", warnings);
}
