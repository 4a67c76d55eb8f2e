/*
 * checkpoint_select.h - which tensors of a checkpoint are quantized: the default, and patterns that change it
 */
#ifndef MXQ_CHECKPOINT_SELECT_H
#define MXQ_CHECKPOINT_SELECT_H

#include "cli/checkpoint_plan.h"

#include <regex.h>

/* A pattern that is ready to be matched. */
struct mxq_pattern {
    const char *text;
    bool is_default; /* the word "default": whatever the default takes */
    bool is_regex;
    regex_t regex;
    uint64_t nmatches; /* tensors that it matches */
};

struct mxq_selection {
    enum mxq_checkpoint_format format;
    size_t nincludes;
    struct mxq_pattern *includes;
    size_t nexcludes;
    struct mxq_pattern *excludes;
};

/* Compiles the patterns of a request. */
bool mxq_create_selection(const struct mxq_checkpoint_request *request, struct mxq_selection **selection,
                          struct mxq_fault *fault);
/* Accepts NULL. */
void mxq_free_selection(struct mxq_selection *selection);

/*
 * Why a tensor is not quantized, as static text; NULL when it is to be. is_float: its values can be (BF16, F16, F32, FP8 with
 * block scales). Counts the patterns that decide.
 */
const char *mxq_reject_tensor(struct mxq_selection *selection, const struct mxq_st_tensor *tensor, bool is_float);

/*
 * What the patterns make of a tensor: the reason, as static text, why it is not quantized, or NULL. fixed: one that no pattern
 * can change, or NULL; usual: that of the default, or NULL. Counts the patterns that match.
 */
const char *mxq_apply_patterns(struct mxq_selection *selection, const char *name, const char *fixed, const char *usual);

/* Whether a tensor is one of all experts without ".weight", as model.layers.0.mlp.experts.gate_up_proj. */
bool mxq_is_fused_expert(const struct mxq_st_tensor *tensor);

/* The length of a tensor's name without ".weight": its module's name. */
size_t mxq_module_length(const char *name);

#endif /* MXQ_CHECKPOINT_SELECT_H */
