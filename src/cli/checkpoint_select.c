/* checkpoint_select.c - which tensors of a checkpoint are quantized */
#include "cli/checkpoint_select.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- names */

size_t mxq_module_length(const char *name)
{
    const size_t length = strlen(name);

    return length > 7 && strcmp(name + length - 7, ".weight") == 0 ? length - 7 : length;
}

static bool has_weight_suffix(const char *name)
{
    return mxq_module_length(name) != strlen(name);
}

/* The parts of a module's name between dots, one after the other. */
struct part {
    const char *at;
    size_t length;
    bool is_last;
};

static bool next_part(const char **rest, const char *end, struct part *part)
{
    const char *dot;

    if (*rest >= end)
        return false;
    dot = memchr(*rest, '.', (size_t)(end - *rest));
    part->at = *rest;
    part->length = (size_t)((dot != NULL ? dot : end) - *rest);
    part->is_last = dot == NULL;
    *rest = dot != NULL ? dot + 1 : end;
    return true;
}

static bool is_word(const struct part *part, const char *word)
{
    return part->length == strlen(word) && strncasecmp(part->at, word, part->length) == 0;
}

static bool is_one_of(const struct part *part, const char *const words[])
{
    for (size_t i = 0; words[i] != NULL; i++)
        if (is_word(part, words[i]))
            return true;
    return false;
}

static bool has_word(const struct part *part, const char *word)
{
    const size_t length = strlen(word);

    for (size_t i = 0; i + length <= part->length; i++)
        if (strncasecmp(part->at + i, word, length) == 0)
            return true;
    return false;
}

static bool ends_in(const struct part *part, const char *word)
{
    const size_t length = strlen(word);

    return part->length >= length && strncasecmp(part->at + part->length - length, word, length) == 0;
}

/* ---- the default */

static const char *reject_part(const struct part *part)
{
    static const char *const embeddings[] = {"wte", "wpe", "relative_attention_bias", NULL};
    static const char *const norms[] = {"ln", "ln1", "ln2", "ln_f", "ln_1", "ln_2", NULL};

    if (has_word(part, "embed") || is_one_of(part, embeddings))
        return "embedding";
    if (is_word(part, "lm_head") || is_word(part, "embed_out"))
        return "output layer";
    if (is_word(part, "router"))
        return "router";
    if (has_word(part, "conv1d") || has_word(part, "conv2d") || is_word(part, "conv"))
        return "convolution";
    if (!part->is_last)
        return NULL;
    if (has_word(part, "norm") || is_one_of(part, norms))
        return "norm";
    if (is_word(part, "gate") || ends_in(part, "_gate"))
        return "gate";
    return NULL;
}

static const char *reject_name(const char *name)
{
    const char *rest = name, *end = name + mxq_module_length(name);
    const char *reason = NULL;
    struct part part;

    if (strcmp(name, "output.weight") == 0 || strcmp(name, "head.weight") == 0)
        return "output layer";
    if (strcmp(name, "shared.weight") == 0)
        return "embedding";
    while (reason == NULL && next_part(&rest, end, &part))
        reason = reject_part(&part);
    return reason;
}

static bool has_experts(const char *name)
{
    const char *rest = name, *end = name + strlen(name);
    struct part part;

    while (next_part(&rest, end, &part))
        if (is_word(&part, "experts"))
            return true;
    return false;
}

bool mxq_is_fused_expert(const struct mxq_st_tensor *tensor)
{
    return tensor->rank == 3 && !has_weight_suffix(tensor->name) && has_experts(tensor->name);
}

/* gpt-oss's format has names for fused experts only. */
static const char *reject_by_format(enum mxq_checkpoint_format format, const struct mxq_st_tensor *tensor)
{
    return format == MXQ_CHECKPOINT_GPT_OSS && tensor->rank != 3 ? "no fused experts" : NULL;
}

/* What no pattern can change. */
static const char *reject_kind(const struct mxq_st_tensor *tensor, bool is_float)
{
    if (!is_float)
        return "not floating point";
    if (tensor->rank != 2 && tensor->rank != 3)
        return "not a matrix";
    if (tensor->nbytes == 0)
        return "empty";
    return NULL;
}

static const char *reject_by_default(enum mxq_checkpoint_format format, const struct mxq_st_tensor *tensor)
{
    const char *reason = reject_name(tensor->name);

    if (reason == NULL && !has_weight_suffix(tensor->name) && !mxq_is_fused_expert(tensor))
        reason = "not a weight";
    if (reason == NULL)
        reason = reject_by_format(format, tensor);
    if (reason == NULL && format == MXQ_CHECKPOINT_GPT_OSS && !has_experts(tensor->name))
        reason = "no fused experts";
    return reason;
}

/* ---- patterns */

/* POSIX has no \d and the like; matching the letter instead would be silent. */
static bool has_foreign_escape(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text != '\\')
            continue;
        text++;
        if (*text == '\0')
            return false;
        if (strchr("dDAZnrtfvxuUpPkKQEGhHNRX", *text) != NULL)
            return true;
    }
    return false;
}

static bool compile_pattern(const char *text, struct mxq_pattern *pattern, struct mxq_fault *fault)
{
    int error;

    pattern->text = text;
    pattern->is_default = strcmp(text, "default") == 0;
    if (text[0] == '\0') {
        mxq_set_fault(fault, NULL, 0, "an empty pattern matches no tensor");
        return false;
    }
    if (strncmp(text, "re:", 3) != 0)
        return true;
    if (has_foreign_escape(text)) {
        mxq_set_fault(fault, NULL, 0,
                      "\"%.200s\": POSIX extended regular expressions have no such escape: write [0-9] for \\d", text);
        return false;
    }
    error = regcomp(&pattern->regex, text + 3, REG_EXTENDED | REG_NOSUB);
    if (error != 0) {
        char why[128];
        regerror(error, &pattern->regex, why, sizeof(why));
        mxq_set_fault(fault, NULL, 0, "\"%.200s\" is not an extended regular expression: %s", text, why);
        return false;
    }
    pattern->is_regex = true;
    return true;
}

static bool compile_patterns(size_t ntexts, const char *const *texts, size_t *npatterns, struct mxq_pattern **patterns,
                             struct mxq_fault *fault)
{
    *patterns = calloc(ntexts + 1, sizeof(**patterns));
    if (*patterns == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot plan");
        return false;
    }
    for (size_t i = 0; i < ntexts; i++) {
        if (!compile_pattern(texts[i], &(*patterns)[i], fault))
            return false;
        (*npatterns)++;
    }
    return true;
}

bool mxq_create_selection(const struct mxq_checkpoint_request *request, struct mxq_selection **selection,
                          struct mxq_fault *fault)
{
    struct mxq_selection *s = calloc(1, sizeof(*s));

    *selection = s;
    if (s == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot plan");
        return false;
    }
    s->format = request->format;
    if (compile_patterns(request->nincludes, request->includes, &s->nincludes, &s->includes, fault) &&
        compile_patterns(request->nexcludes, request->excludes, &s->nexcludes, &s->excludes, fault))
        return true;
    mxq_free_selection(s);
    *selection = NULL;
    return false;
}

static void free_patterns(size_t npatterns, struct mxq_pattern *patterns)
{
    for (size_t i = 0; i < npatterns; i++)
        if (patterns[i].is_regex)
            regfree(&patterns[i].regex);
    free(patterns);
}

void mxq_free_selection(struct mxq_selection *selection)
{
    if (selection == NULL)
        return;
    free_patterns(selection->nincludes, selection->includes);
    free_patterns(selection->nexcludes, selection->excludes);
    free(selection);
}

/* A pattern is one of the tensor's name or of its module's. */
static bool matches(const struct mxq_pattern *pattern, const char *name, const char *module)
{
    if (pattern->is_regex)
        return regexec(&pattern->regex, name, 0, NULL, 0) == 0 || regexec(&pattern->regex, module, 0, NULL, 0) == 0;
    return fnmatch(pattern->text, name, 0) == 0 || fnmatch(pattern->text, module, 0) == 0;
}

/* All that match are counted, so that one which another hides is not called useless. */
static bool match_any(size_t npatterns, struct mxq_pattern *patterns, const char *name, bool is_default)
{
    char *module = strndup(name, mxq_module_length(name));
    bool any = false;

    for (size_t i = 0; i < npatterns; i++) {
        const bool match =
            patterns[i].is_default ? is_default : matches(&patterns[i], name, module != NULL ? module : name);
        patterns[i].nmatches += match;
        any = any || match;
    }
    free(module);
    return any;
}

const char *mxq_apply_patterns(struct mxq_selection *selection, const char *name, const char *fixed, const char *usual)
{
    const bool is_default = fixed == NULL && usual == NULL;
    const bool excluded = match_any(selection->nexcludes, selection->excludes, name, is_default);
    const bool included = match_any(selection->nincludes, selection->includes, name, is_default);

    if (fixed != NULL)
        return fixed;
    if (excluded)
        return "excluded";
    if (selection->nincludes == 0)
        return usual;
    return included ? NULL : "not included";
}

const char *mxq_reject_tensor(struct mxq_selection *selection, const struct mxq_st_tensor *tensor, bool is_float)
{
    const char *fixed = reject_kind(tensor, is_float);
    const char *usual = reject_by_default(selection->format, tensor);
    const char *reason = mxq_apply_patterns(selection, tensor->name, fixed, usual);

    if (fixed != NULL)
        return is_float && reject_name(tensor->name) != NULL ? usual : fixed;
    return reason != NULL ? reason : reject_by_format(selection->format, tensor);
}
