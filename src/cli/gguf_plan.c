/* gguf_plan.c - which tensors of a GGUF file are quantized, and the header of the result */
#include "cli/gguf_plan.h"

#include "cli/checkpoint_select.h"
#include "cli/checkpoint_warn.h"
#include "cli/msg.h"
#include "kernels/mxq.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the default */

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t length = strlen(name), nsuffix = strlen(suffix);

    return length >= nsuffix && strcmp(name + length - nsuffix, suffix) == 0;
}

/* llama.cpp's names, and what llama-quantize leaves as it is; embeddings are looked up, which it cannot do in MXFP4. */
static const char *reject_name(const char *name)
{
    static const struct {
        const char *part; /* anywhere in the name */
        const char *reason;
    } parts[] = {
        {"embd", "embedding"},
        {"embed", "embedding"},
        {"token_types", "embedding"},
        {"attn_rel_b", "embedding"},
        {"shared_head_head", "output layer"},
        {"norm", "norm"},
        {"ffn_gate_inp", "router"},
        {"ffn_gate_tid2eid", "router"},
        {"conv", "convolution"},
        {"altup", "small"},
        {"laurel", "small"},
        {"per_layer_model_proj", "small"},
        {"time_mix_first", "small"},
        {"time_mix_w", "small"},
        {"time_mix_v0", "small"},
        {"time_mix_v1", "small"},
        {"time_mix_v2", "small"},
        {"time_mix_a", "small"},
        {"time_mix_g0", "small"},
        {"time_mix_g1", "small"},
        {"time_mix_g2", "small"},
        {"time_mix_decay_w", "small"},
        {"time_mix_lerp", "small"},
    };

    if (strcmp(name, "output.weight") == 0 || strcmp(name, "cls.weight") == 0 || strcmp(name, "cls.output.weight") == 0)
        return "output layer";
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strstr(name, parts[i].part) != NULL)
            return parts[i].reason;
    return has_suffix(name, ".weight") ? NULL : "not a weight";
}

/* As ggml counts: axes of one place at the end are none. */
static unsigned count_axes(const struct mxq_gguf_tensor *tensor)
{
    unsigned rank = tensor->rank;

    while (rank > 1 && tensor->shape[rank - 1] == 1)
        rank--;
    return rank;
}

static bool is_float(const struct mxq_gguf_tensor *tensor)
{
    return tensor->type == MXQ_GGUF_F32 || tensor->type == MXQ_GGUF_F16 || tensor->type == MXQ_GGUF_BF16;
}

static const char *reject_kind(const struct mxq_gguf_tensor *tensor)
{
    const unsigned rank = count_axes(tensor);

    if (tensor->type == MXQ_GGUF_MXFP4)
        return MXQ_REASON_MXFP4;
    if (!is_float(tensor))
        return "not BF16, F16 or F32";
    if (rank != 2 && rank != 3)
        return "not a matrix";
    return tensor->nbytes == 0 ? "empty" : NULL;
}

/* Of what cannot be quantized, the name says more than the shape, unless it was asked for. */
static const char *reject_tensor(struct mxq_selection *selection, const struct mxq_gguf_tensor *tensor)
{
    const char *fixed = reject_kind(tensor), *usual = reject_name(tensor->name);
    const char *reason = mxq_apply_patterns(selection, tensor->name, fixed, usual);

    if (reason == NULL && tensor->shape[0] % MXQ_BLOCK_NELEMS != 0)
        return MXQ_REASON_TAIL;
    return fixed != NULL && is_float(tensor) && selection->nincludes == 0 && usual != NULL ? usual : reason;
}

/* ---- planning */

static void warn_of_patterns(const char *option, size_t npatterns, const struct mxq_pattern *patterns)
{
    for (size_t i = 0; i < npatterns; i++) {
        struct mxq_fault text; /* shows control characters as '?' */
        mxq_set_fault(&text, NULL, 0, "%s \"%.300s\" matches no tensor", option, patterns[i].text);
        if (patterns[i].nmatches == 0)
            mxq_print_warning("%s", text.text);
    }
}

static void warn_of_plan(const struct mxq_gguf_plan *plan, const struct mxq_selection *selection)
{
    uint64_t ntails = 0;

    warn_of_patterns("--include", selection->nincludes, selection->includes);
    warn_of_patterns("--exclude", selection->nexcludes, selection->excludes);
    for (size_t i = 0; i < plan->source->ntensors; i++)
        ntails += plan->reasons[i] != NULL && strcmp(plan->reasons[i], MXQ_REASON_TAIL) == 0;
    if (ntails > 0)
        mxq_print_warning("tensors that are copied because their rows are no multiple of %d values: %" PRIu64,
                          MXQ_BLOCK_NELEMS, ntails);
    if (plan->nquantized == 0)
        mxq_print_warning("no tensor is quantized");
}

static bool decide(struct mxq_gguf_plan *plan, struct mxq_selection *selection, struct mxq_fault *fault)
{
    const struct mxq_gguf *source = plan->source;

    plan->is_quantized = calloc(source->ntensors + 1, sizeof(*plan->is_quantized));
    plan->reasons = calloc(source->ntensors + 1, sizeof(*plan->reasons));
    if (plan->is_quantized == NULL || plan->reasons == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot plan");
        return false;
    }
    for (size_t i = 0; i < source->ntensors; i++) {
        plan->reasons[i] = reject_tensor(selection, &source->tensors[i]);
        plan->is_quantized[i] = plan->reasons[i] == NULL;
        plan->nquantized += plan->is_quantized[i];
    }
    return true;
}

bool mxq_plan_gguf(const struct mxq_gguf *source, const struct mxq_checkpoint_request *request,
                   struct mxq_gguf_plan *plan, struct mxq_fault *fault)
{
    struct mxq_selection *selection;
    bool good;

    memset(plan, 0, sizeof(*plan));
    plan->source = source;
    good = mxq_create_selection(request, &selection, fault) && decide(plan, selection, fault) &&
           mxq_lay_out_gguf(source, plan->is_quantized, &plan->out, fault);
    if (good)
        warn_of_plan(plan, selection);
    else
        mxq_free_gguf_plan(plan);
    mxq_free_selection(selection);
    return good;
}

void mxq_free_gguf_plan(struct mxq_gguf_plan *plan)
{
    mxq_free_gguf(&plan->out);
    free(plan->is_quantized);
    free(plan->reasons);
    memset(plan, 0, sizeof(*plan));
}

/* ---- the table */

const char *mxq_format_gguf_shape(const struct mxq_gguf_tensor *tensor, char text[MXQ_GGUF_SHAPE_NBYTES])
{
    size_t used = 0;

    snprintf(text, MXQ_GGUF_SHAPE_NBYTES, "scalar");
    for (unsigned d = tensor->rank; d > 0; d--)
        used += (size_t)snprintf(text + used, MXQ_GGUF_SHAPE_NBYTES - used, "%s%" PRIu64, used > 0 ? "x" : "",
                                 tensor->shape[d - 1]);
    return text;
}

void mxq_print_gguf_plan(const char *path, const struct mxq_gguf_plan *plan)
{
    const struct mxq_gguf *source = plan->source;
    struct mxq_fault name; /* without control characters */

    mxq_set_fault(&name, NULL, 0, "%s", path);
    printf("%s: GGUF, %zu tensors\n\n", name.text, source->ntensors);
    printf("%-40s  %-8s %-20s %14s %14s  %s\n", "name", "type", "shape", "bytes in", "bytes out", "what is done");
    for (size_t i = 0; i < source->ntensors; i++) {
        const struct mxq_gguf_tensor *tensor = &source->tensors[i];
        char shape[MXQ_GGUF_SHAPE_NBYTES];
        mxq_set_fault(&name, NULL, 0, "%s", tensor->name);
        printf("%-40s  %-8s %-20s %14" PRIu64 " %14" PRIu64 "  %s%s%s\n", name.text, mxq_gguf_type_name(tensor->type),
               mxq_format_gguf_shape(tensor, shape), tensor->nbytes, plan->out.tensors[i].nbytes,
               plan->is_quantized[i] ? "quantize" : "copy", plan->is_quantized[i] ? "" : ": ",
               plan->is_quantized[i] ? "" : plan->reasons[i]);
    }
    printf("%-40s  %-8s %-20s %14" PRIu64 " %14" PRIu64 "\n", "all, with the header", "", "", source->nbytes,
           plan->out.nbytes);
    printf("\n%" PRIu64 " quantized, %" PRIu64 " copied\n", plan->nquantized,
           (uint64_t)source->ntensors - plan->nquantized);
}
