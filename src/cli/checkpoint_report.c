/* checkpoint_report.c - mxfp4q-report.json: what was made of a checkpoint, from what, and at what cost */
#include "cli/checkpoint_report.h"

#include "cli/checkpoint_run.h"
#include "io/manifest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUM_WORST 10

/* Columns for a name in the table; a longer one loses its beginning. */
#define NAME_WIDTH 52

/* What is half built for want of memory becomes NULL. */
static json_t *keep_if(bool good, json_t *value)
{
    if (good)
        return value;
    json_decref(value);
    return NULL;
}

/* JSON has neither infinity nor NaN. */
static json_t *pack_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *pack_crc(uint32_t crc)
{
    char text[9];

    snprintf(text, sizeof(text), "%08" PRIx32, crc);
    return json_string(text);
}

/* ---------------------------------------------------------------------------------------------- shards */

static json_t *pack_file(const char *name, uint64_t nbytes, uint32_t crc)
{
    return json_pack("{s:o, s:I, s:o}", "file", mxq_pack_name(name), "nbytes", (json_int_t)nbytes, "crc32",
                     pack_crc(crc));
}

static json_t *pack_sources(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_outcome *outcome)
{
    json_t *array = json_array();
    bool good = array != NULL;

    for (size_t i = 0; i < checkpoint->nshards && good; i++)
        good = json_array_append_new(array, pack_file(checkpoint->shards[i].name, checkpoint->shards[i].header->nbytes,
                                                      outcome->shards[i].source_crc)) == 0;
    return keep_if(good, array);
}

static json_t *pack_shards(const struct mxq_checkpoint_plan *plan, const struct mxq_checkpoint_outcome *outcome)
{
    json_t *array = json_array();
    bool good = array != NULL;

    for (size_t i = 0; i < plan->nshards && good; i++)
        good = json_array_append_new(
                   array, pack_file(plan->shards[i].name, plan->shards[i].header->nbytes, outcome->shards[i].crc)) == 0;
    return keep_if(good, array);
}

/* ---------------------------------------------------------------------------------------------- tensors */

static double snr_of(const struct mxq_distortion *d)
{
    return 10.0 * log10(d->signal / d->noise);
}

static json_t *pack_distortion(const struct mxq_distortion *d)
{
    const double n = d->nelems ? (double)d->nelems : 1.0;

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "snr_db", pack_real(snr_of(d)), "mse", pack_real(d->noise / n),
                     "largest_error", pack_real(d->largest), "saturated", pack_real((double)d->nsaturated / n), "amax",
                     pack_real(d->amax), "least_block_amax", pack_real(d->least_amax));
}

static json_t *pack_shape(const struct mxq_st_tensor *tensor)
{
    json_t *shape = json_array();
    bool good = shape != NULL;

    for (unsigned i = 0; i < tensor->rank && good; i++)
        good = json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) == 0;
    return keep_if(good, shape);
}

static bool add_output(json_t *outputs, const struct mxq_st_header *header, size_t index, uint32_t crc)
{
    const struct mxq_st_tensor *tensor = &header->tensors[index];

    return json_array_append_new(outputs, json_pack("{s:o, s:s, s:o, s:o}", "name", mxq_pack_name(tensor->name),
                                                    "dtype", mxq_st_dtype_name(tensor->dtype), "shape",
                                                    pack_shape(tensor), "crc32", pack_crc(crc))) == 0;
}

static json_t *pack_outputs(const struct mxq_checkpoint_plan *plan, const struct mxq_plan_tensor *planned,
                            const struct mxq_tensor_outcome *outcome)
{
    const struct mxq_st_header *header = plan->shards[planned->shard].header;
    json_t *outputs = json_array();
    bool good = outputs != NULL;

    if (planned->action == MXQ_ACTION_COPY || planned->action == MXQ_ACTION_WIDEN)
        good = good && add_output(outputs, header, planned->copy, outcome->crc[0]);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && planned->action == MXQ_ACTION_QUANTIZE; b++)
        if (planned->output[b] != MXQ_NO_TENSOR)
            good = good && add_output(outputs, header, planned->output[b], outcome->crc[b]);
    return keep_if(good, outputs);
}

static bool is_measured(const struct mxq_plan_tensor *planned, unsigned direction, bool measured)
{
    return measured && planned->action == MXQ_ACTION_QUANTIZE && planned->matrix.options.wanted[direction];
}

static json_t *pack_tensor(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                           const struct mxq_plan_tensor *planned, const struct mxq_tensor_outcome *outcome,
                           bool measured)
{
    const struct mxq_st_tensor *source = &checkpoint->shards[planned->shard].header->tensors[planned->tensor];
    json_t *tensor =
        json_pack("{s:o, s:o, s:s, s:s?, s:s, s:o, s:o, s:o}", "name", mxq_pack_name(source->name), "file",
                  mxq_pack_name(checkpoint->shards[planned->shard].name), "action", mxq_action_name(planned->action),
                  "reason", planned->reason, "dtype", mxq_st_dtype_name(source->dtype), "shape", pack_shape(source),
                  "source_crc32", pack_crc(outcome->source_crc), "outputs", pack_outputs(plan, planned, outcome));
    bool good = tensor != NULL;

    if (outcome->nonfinite)
        good = good && json_object_set_new(tensor, "nonfinite", json_true()) == 0;
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
        if (is_measured(planned, d, measured))
            good = good &&
                   json_object_set_new(tensor, mxq_direction_name(d), pack_distortion(&outcome->distortion[d])) == 0;
    return keep_if(good, tensor);
}

static json_t *pack_tensors(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                            const struct mxq_checkpoint_outcome *outcome, bool measured)
{
    json_t *array = json_array();
    bool good = array != NULL;

    for (size_t i = 0; i < plan->ntensors && good; i++)
        good = json_array_append_new(
                   array, pack_tensor(checkpoint, plan, &plan->tensors[i], &outcome->tensors[i], measured)) == 0;
    return keep_if(good, array);
}

/* ---------------------------------------------------------------------------------------------- the worst */

/* A tensor and the SNR by which it is ranked: that of its worse direction. */
struct rank {
    size_t tensor;
    double snr;
};

static int compare_ranks(const void *first, const void *second)
{
    const struct rank *a = first;
    const struct rank *b = second;

    if (a->snr != b->snr)
        return a->snr < b->snr ? -1 : 1;
    return a->tensor < b->tensor ? -1 : 1;
}

/* Those that have a finite SNR, the worst first. Returns their number. */
static size_t rank_tensors(const struct mxq_checkpoint_plan *plan, const struct mxq_checkpoint_outcome *outcome,
                           bool measured, struct rank *ranks)
{
    size_t n = 0;

    for (size_t i = 0; i < plan->ntensors; i++) {
        double worst = INFINITY;
        for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++)
            if (is_measured(&plan->tensors[i], d, measured))
                worst = fmin(worst, snr_of(&outcome->tensors[i].distortion[d]));
        if (isfinite(worst))
            ranks[n++] = (struct rank){i, worst};
    }
    qsort(ranks, n, sizeof(*ranks), compare_ranks);
    return n;
}

static json_t *pack_worst(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                          const struct mxq_checkpoint_outcome *outcome, bool measured)
{
    struct rank *ranks = calloc(plan->ntensors + 1, sizeof(*ranks));
    json_t *array = json_array();
    bool good = ranks != NULL && array != NULL;
    const size_t n = good ? rank_tensors(plan, outcome, measured, ranks) : 0;

    for (size_t i = 0; i < n && i < NUM_WORST && good; i++) {
        const struct mxq_plan_tensor *planned = &plan->tensors[ranks[i].tensor];
        const struct mxq_st_tensor *source = &checkpoint->shards[planned->shard].header->tensors[planned->tensor];
        good = json_array_append_new(array, json_pack("{s:o, s:o}", "name", mxq_pack_name(source->name), "snr_db",
                                                      pack_real(ranks[i].snr))) == 0;
    }
    free(ranks);
    return keep_if(good, array);
}

json_t *mxq_pack_checkpoint_report(const struct mxq_checkpoint *checkpoint, const struct mxq_checkpoint_plan *plan,
                                   const struct mxq_checkpoint_outcome *outcome, bool measured)
{
    const struct mxq_checkpoint_request *request = &plan->request;

    return json_pack("{s:i, s:{s:s, s:s}, s:s, s:o, s:b, s:o, s:o, s:o, s:o}", "mxfp4q_report",
                     MXQ_CHECKPOINT_REPORT_VERSION, "tool", "name", "mxfp4q", "version", MXQ_VERSION, "format",
                     mxq_checkpoint_format_word(request->format), "recipe",
                     mxq_pack_recipe(request->profile->name, &request->quantize.recipe), "nonfinite_allowed",
                     request->nonfinite_allowed, "source", pack_sources(checkpoint, outcome), "shards",
                     pack_shards(plan, outcome), "worst", pack_worst(checkpoint, plan, outcome, measured), "tensors",
                     pack_tensors(checkpoint, plan, outcome, measured));
}

/* ---------------------------------------------------------------------------------------------- the table */

static void print_cell(const json_t *row, const char *key, const char *format)
{
    const json_t *cell = json_object_get(row, key);

    if (json_is_number(cell))
        printf(format, json_number_value(cell));
    else
        printf("%12s", "-");
}

/* Control characters are shown as '?', as in messages. */
static void print_name(const char *name)
{
    const size_t length = strlen(name);
    const char *first = length > NAME_WIDTH ? name + length - (NAME_WIDTH - 3) : name;
    struct mxq_fault shown;

    mxq_set_fault(&shown, NULL, 0, "%s%s", length > NAME_WIDTH ? "..." : "", first);
    printf("%-*s", NAME_WIDTH, shown.text);
}

static void print_tensor(const json_t *tensor)
{
    for (unsigned d = 0; d < MXQ_NUM_DIRECTIONS; d++) {
        const json_t *row = json_object_get(tensor, mxq_direction_name(d));
        if (row == NULL)
            continue;
        print_name(json_string_value(json_object_get(tensor, "name")));
        printf(" %-10s", mxq_direction_name(d));
        print_cell(row, "snr_db", "%12.3f");
        print_cell(row, "mse", "%12.4e");
        print_cell(row, "saturated", "%12.6f");
        print_cell(row, "least_block_amax", "%12.4e");
        print_cell(row, "amax", "%12.4e");
        printf("\n");
    }
}

static bool has_name(const json_t *worst, const char *name)
{
    for (size_t i = 0; i < json_array_size(worst); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(worst, i), "name")), name) == 0)
            return true;
    return false;
}

static void print_worst(const json_t *worst, const json_t *tensors)
{
    for (size_t i = 0; i < json_array_size(worst); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(worst, i), "name"));
        for (size_t j = 0; j < json_array_size(tensors); j++) {
            const json_t *tensor = json_array_get(tensors, j);
            if (strcmp(json_string_value(json_object_get(tensor, "name")), name) == 0)
                print_tensor(tensor);
        }
    }
}

void mxq_print_checkpoint_report(const json_t *report)
{
    const json_t *worst = json_object_get(report, "worst");
    const json_t *tensors = json_object_get(report, "tensors");

    printf("%-*s %-10s%12s%12s%12s%12s%12s\n", NAME_WIDTH, "tensor, the worst first", "direction", "SNR dB", "MSE",
           "saturated", "least amax", "amax");
    print_worst(worst, tensors);
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        if (!has_name(worst, json_string_value(json_object_get(tensor, "name"))))
            print_tensor(tensor);
    }
}
