/* checkpoint_verify_config.c - whether config.json says of the tensors what they are, so that loaders read them as such */
#include "cli/checkpoint_files.h"
#include "cli/checkpoint_verify.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME MXQ_CHECKPOINT_CONFIG

/* ---------------------------------------------------------------------------------------------- values */

/* The string at a path of keys, such as "export.pack_method"; NULL when there is none. */
static const json_t *look_up(const json_t *object, const char *path)
{
    char key[64];

    for (const char *at = path; object != NULL; at += strcspn(at, ".") + 1) {
        const size_t length = strcspn(at, ".");
        if (length >= sizeof(key))
            return NULL;
        memcpy(key, at, length);
        key[length] = '\0';
        object = json_object_get(object, key);
        if (at[length] == '\0')
            break;
    }
    return object;
}

static void want_string(struct mxq_verify *verify, const json_t *config, const char *path, const char *wanted)
{
    const char *value = json_string_value(look_up(config, path));

    if (value == NULL || strcmp(value, wanted) != 0)
        mxq_add_problem(verify,
                        "\"%s\": quantization_config.%s is %s%.100s%s, and must be \"%s\" for what the shards hold",
                        FILE_NAME, path, value ? "\"" : "", value ? value : "missing", value ? "\"" : "", wanted);
}

static void want_integer(struct mxq_verify *verify, const json_t *config, const char *path, json_int_t wanted)
{
    const json_t *value = look_up(config, path);

    if (!json_is_integer(value) || json_integer_value(value) != wanted)
        mxq_add_problem(verify, "\"%s\": quantization_config.%s must be %lld for what the shards hold", FILE_NAME, path,
                        (long long)wanted);
}

static void want_array(struct mxq_verify *verify, const json_t *config, const char *path)
{
    if (!json_is_array(look_up(config, path)))
        mxq_add_problem(verify, "\"%s\": quantization_config.%s must be a list", FILE_NAME, path);
}

/* ---------------------------------------------------------------------------------------------- lists of modules */

enum matching {
    MATCH_GLOBS,   /* Quark: names, shell patterns, "re:" */
    MATCH_NAMES,   /* compressed-tensors: names, "re:" */
    MATCH_PREFIXES /* transformers: regular expressions for the beginning of a name */
};

/* The modules that config.json leaves out. */
struct module_list {
    json_t *names;     /* object whose keys are the plain ones */
    regex_t *patterns; /* what globs and expressions became */
    size_t npatterns;
};

static bool is_plain_name(const char *text, enum matching matching)
{
    if (strncmp(text, "re:", 3) == 0)
        return false;
    if (matching == MATCH_NAMES)
        return true;
    return text[strcspn(text, matching == MATCH_GLOBS ? "*?[" : "*?[(|+^$\\")] == '\0';
}

/* An extended regular expression for a shell pattern, which knows * and ? here. */
static void translate_glob(const char *glob, char *text, size_t size)
{
    size_t n = 0;

    text[n++] = '^';
    for (; *glob != '\0' && n + 4 < size; glob++) {
        if (*glob == '*')
            text[n++] = '.';
        else if (strchr(".^$+(){}|\\", *glob) != NULL)
            text[n++] = '\\';
        text[n++] = *glob == '?' ? '.' : *glob;
    }
    text[n++] = '$';
    text[n] = '\0';
}

static bool compile(regex_t *regex, const char *pattern, enum matching matching)
{
    char text[1024];

    if (strncmp(pattern, "re:", 3) == 0)
        snprintf(text, sizeof(text), "^(%s)", pattern + 3);
    else if (matching == MATCH_PREFIXES)
        snprintf(text, sizeof(text), "^(%s)", pattern);
    else
        translate_glob(pattern, text, sizeof(text));
    return regcomp(regex, text, REG_EXTENDED | REG_NOSUB) == 0;
}

static void make_list(struct mxq_verify *verify, struct module_list *list, const json_t *array, enum matching matching)
{
    list->names = json_object();
    list->patterns = calloc(json_array_size(array) + 1, sizeof(*list->patterns));
    list->npatterns = 0;
    for (size_t i = 0; i < json_array_size(array) && list->patterns != NULL; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL)
            mxq_add_problem(verify, "\"%s\": the list of modules that are left out has something that is no string",
                            FILE_NAME);
        else if (is_plain_name(text, matching))
            json_object_set_new(list->names, text, json_true());
        else if (compile(&list->patterns[list->npatterns], text, matching))
            list->npatterns++;
        else
            mxq_add_note(verify, "\"%s\": the pattern \"%.200s\" is one that this program cannot read", FILE_NAME,
                         text);
    }
}

static void free_list(struct module_list *list)
{
    for (size_t i = 0; i < list->npatterns; i++)
        regfree(&list->patterns[i]);
    free(list->patterns);
    json_decref(list->names);
}

/* A module is left out by its own name, or by that of one that it is in. */
static bool is_left_out(const struct module_list *list, const char *module)
{
    char part[1024];

    snprintf(part, sizeof(part), "%s", module);
    for (;;) {
        char *dot = strrchr(part, '.');
        if (json_object_get(list->names, part) != NULL)
            return true;
        if (dot == NULL)
            break;
        *dot = '\0';
    }
    for (size_t i = 0; i < list->npatterns; i++)
        if (regexec(&list->patterns[i], module, 0, NULL, 0) == 0)
            return true;
    return false;
}

/* ---------------------------------------------------------------------------------------------- modules */

/* A tensor's name without ".weight". */
static void get_module(const char *name, char *module, size_t size)
{
    const size_t length = strlen(name);
    const size_t kept = length > 7 && strcmp(name + length - 7, ".weight") == 0 ? length - 7 : length;

    snprintf(module, size, "%.*s", (int)(kept < size ? kept : size - 1), name);
}

/* What no loader takes for a linear layer, by its name: embeddings and norms. */
static bool has_other_use(const char *module)
{
    static const char *const patterns[] = {
        "*embed*",  "*norm*", "*.wte", "wte",    "*.wpe",   "wpe",    "shared",
        "*.shared", "*.ln*",  "ln*",   "*conv*", "*Embed*", "*Norm*", "*relative_attention_bias"};

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        if (fnmatch(patterns[i], module, 0) == 0)
            return true;
    return false;
}

static bool is_float_matrix(const struct mxq_st_tensor *tensor)
{
    const size_t length = strlen(tensor->name);

    return tensor->rank == 2 && length > 7 && strcmp(tensor->name + length - 7, ".weight") == 0 &&
           (tensor->dtype == MXQ_ST_BF16 || tensor->dtype == MXQ_ST_F16 || tensor->dtype == MXQ_ST_F32);
}

static void check_packed_modules(struct mxq_verify *verify, const struct module_list *list, enum mxq_packed_form form)
{
    char module[1024];

    for (size_t i = 0; i < verify->made.list.npacked; i++) {
        const struct mxq_packed *packed = &verify->made.list.packed[i];
        get_module(packed->name, module, sizeof(module));
        if (packed->form == form && is_left_out(list, module))
            mxq_add_problem(verify, "\"%s\": leaves out \"%.300s\", which is MXFP4", FILE_NAME, module);
    }
}

static void check_plain_modules(struct mxq_verify *verify, const struct module_list *list)
{
    char module[1024];

    for (size_t i = 0; i < verify->made.list.nplain; i++) {
        const struct mxq_st_tensor *tensor = mxq_tensor_at(verify->made.checkpoint, &verify->made.list.plain[i]);
        if (!is_float_matrix(tensor))
            continue;
        get_module(tensor->name, module, sizeof(module));
        if (!has_other_use(module) && !is_left_out(list, module))
            mxq_add_problem(verify, "\"%s\": does not leave out \"%.300s\", which is not MXFP4", FILE_NAME, module);
    }
}

static void check_modules(struct mxq_verify *verify, const json_t *array, enum matching matching,
                          enum mxq_packed_form form)
{
    struct module_list list;

    make_list(verify, &list, array, matching);
    check_packed_modules(verify, &list, form);
    if (form != MXQ_PACKED_GPT_OSS) /* whose loaders look at experts alone */
        check_plain_modules(verify, &list);
    free_list(&list);
}

/* ---------------------------------------------------------------------------------------------- formats */

static void check_quark(struct mxq_verify *verify, const json_t *config)
{
    const char *rule = json_string_value(json_object_get(verify->provenance, "scale"));

    want_string(verify, config, "quant_method", "quark");
    want_string(verify, config, "export.pack_method", "reorder");
    want_array(verify, config, "export.kv_cache_group");
    want_string(verify, config, "global_quant_config.weight.dtype", "fp4");
    want_string(verify, config, "global_quant_config.weight.qscheme", "per_group");
    want_string(verify, config, "global_quant_config.weight.scale_format", "e8m0");
    want_integer(verify, config, "global_quant_config.weight.group_size", MXQ_BLOCK_NELEMS);
    want_array(verify, config, "exclude");
    if (rule != NULL && strcmp(rule, "rceil") != 0)
        want_string(verify, config, "global_quant_config.weight.scale_calculation_mode", rule);
    check_modules(verify, json_object_get(config, "exclude"), MATCH_GLOBS, MXQ_PACKED_QUARK);
}

static void check_compressed_tensors(struct mxq_verify *verify, const json_t *config)
{
    want_string(verify, config, "quant_method", "compressed-tensors");
    want_string(verify, config, "format", "mxfp4-pack-quantized");
    want_array(verify, config, "ignore");
    check_modules(verify, json_object_get(config, "ignore"), MATCH_NAMES, MXQ_PACKED_COMPRESSED_TENSORS);
}

static void check_gpt_oss(struct mxq_verify *verify, const json_t *config)
{
    want_string(verify, config, "quant_method", "mxfp4");
    want_array(verify, config, "modules_to_not_convert");
    check_modules(verify, json_object_get(config, "modules_to_not_convert"), MATCH_PREFIXES, MXQ_PACKED_GPT_OSS);
}

/* Of what was FP8, nothing is any more. */
static void check_other(struct mxq_verify *verify, const json_t *config)
{
    const char *method = json_string_value(json_object_get(config, "quant_method"));

    if (method != NULL && strcmp(method, "fp8") == 0)
        mxq_add_problem(verify, "\"%s\": quantization_config.quant_method is \"fp8\", which the tensors are not",
                        FILE_NAME);
}

/* The form of most MXFP4 tensors: some may have been MXFP4 before. */
static enum mxq_packed_form find_form(const struct mxq_packed_list *list)
{
    size_t count[MXQ_NUM_PACKED_FORMS] = {0};
    unsigned most = 0;

    for (size_t i = 0; i < list->npacked; i++)
        count[list->packed[i].form]++;
    for (unsigned form = 1; form < MXQ_NUM_PACKED_FORMS; form++)
        if (count[form] > count[most])
            most = form;
    return (enum mxq_packed_form)most;
}

void mxq_verify_config(struct mxq_verify *verify)
{
    const struct mxq_checkpoint *made = verify->made.checkpoint;
    const json_t *config, *copy;

    if (made->config == NULL) {
        mxq_add_note(verify, "no %s: it is not compared with the tensors", FILE_NAME);
        return;
    }
    config = mxq_get_quantization_config(made);
    switch (find_form(&verify->made.list)) {
    case MXQ_PACKED_QUARK:
        check_quark(verify, config);
        break;
    case MXQ_PACKED_COMPRESSED_TENSORS:
        check_compressed_tensors(verify, config);
        break;
    case MXQ_PACKED_GPT_OSS:
        check_gpt_oss(verify, config);
        break;
    default:
        check_other(verify, config);
        break;
    }
    copy = json_object_get(config, "mxfp4q");
    if (copy != NULL && verify->provenance != NULL && !json_equal(copy, verify->provenance))
        mxq_add_problem(verify, "\"%s\": quantization_config.mxfp4q is not what the shards say of their making",
                        FILE_NAME);
}
