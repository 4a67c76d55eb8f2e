/* manifest.c - OUT.json, written and read through jansson */
#include "io/manifest.h"

#include "io/archive_folder.h"
#include "io/json_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND "mxfp4q manifest"

#define ARCHIVE_PATH_NBYTES 4096

/* A member that is larger is no manifest. */
#define MAX_NBYTES ((size_t)16 << 20)

/* What follows a layout's name when the even element of each byte is in the high nibble. */
#define HIGH_FIRST "-high"

/* ---------------------------------------------------------------------------------------------- writing */

static json_t *pack_u64(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *pack_crc(uint32_t crc)
{
    char text[9];

    snprintf(text, sizeof(text), "%08" PRIx32, crc);
    return json_string(text);
}

json_t *mxq_pack_name(const char *name)
{
    json_t *string;
    char *copy;

    if (name == NULL)
        return json_null();
    string = json_string(name);
    if (string != NULL || (copy = strdup(name)) == NULL)
        return string;
    for (char *c = copy; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    string = json_string(copy);
    free(copy);
    return string;
}

/* What is half built for want of memory becomes NULL, with which all that would hold it fails. */
static json_t *keep_if(bool good, json_t *value)
{
    if (good)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *pack_shape(const uint64_t *shape, unsigned rank)
{
    json_t *array = json_array();
    bool good = true;

    for (unsigned i = 0; i < rank; i++)
        good &= json_array_append_new(array, pack_u64(shape[i])) == 0;
    return keep_if(good, array);
}

static json_t *pack_pair(uint64_t rows, uint64_t cols)
{
    const uint64_t shape[2] = {rows, cols};

    return pack_shape(shape, 2);
}

static json_t *pack_input(const struct mxq_manifest *m)
{
    return json_pack("{s:o, s:o, s:s, s:s, s:o, s:s, s:s, s:o, s:o}", "file", mxq_pack_name(m->input_file), "member",
                     mxq_pack_name(m->tensor.name), "format", m->input_format, "dtype", mxq_dtype_name(m->tensor.dtype),
                     "shape", pack_shape(m->tensor.shape, m->tensor.rank), "order", m->tensor.fortran_order ? "F" : "C",
                     "byte_order", mxq_tensor_byte_order(&m->tensor), "nbytes", pack_u64(m->tensor.nbytes), "crc32",
                     pack_crc(m->input_crc));
}

/* Eight digits where all words are the same; else 32, the last word first. */
void mxq_format_signs(const uint32_t signs[MXQ_HADAMARD_NWORDS], char text[MXQ_SIGNS_TEXT_NBYTES])
{
    if (signs[0] == signs[1] && signs[0] == signs[2] && signs[0] == signs[3])
        snprintf(text, MXQ_SIGNS_TEXT_NBYTES, "%08" PRIx32, signs[0]);
    else
        snprintf(text, MXQ_SIGNS_TEXT_NBYTES, "%08" PRIx32 "%08" PRIx32 "%08" PRIx32 "%08" PRIx32, signs[3], signs[2],
                 signs[1], signs[0]);
}

static json_t *pack_signs(const struct mxq_recipe *recipe)
{
    char text[MXQ_SIGNS_TEXT_NBYTES];

    mxq_format_signs(recipe->hadamard_signs, text);
    return json_string(text);
}

/* Seeds have 64 bits, which a JSON number may not have. */
static json_t *pack_seed(const uint64_t *seed)
{
    char text[24];

    if (seed == NULL)
        return json_null();
    snprintf(text, sizeof(text), "%" PRIu64, *seed);
    return json_string(text);
}

/* The switches in which the recipe is not the profile's any more. */
static json_t *pack_overrides(const struct mxq_manifest *m)
{
    const struct mxq_profile *profile = mxq_find_profile(m->profile);
    const struct mxq_recipe *r = &m->recipe;
    json_t *array = json_array();
    bool good = true;

    if (profile == NULL)
        return array;
    if (r->scale != profile->recipe.scale)
        good &= json_array_append_new(array, json_string("scale")) == 0;
    if (r->ties != profile->recipe.ties)
        good &= json_array_append_new(array, json_string("ties")) == 0;
    if (r->sign != profile->recipe.sign)
        good &= json_array_append_new(array, json_string("sign")) == 0;
    if (r->zero_byte != profile->recipe.zero_byte)
        good &= json_array_append_new(array, json_string("zero_byte")) == 0;
    if (r->amax_floor != profile->recipe.amax_floor)
        good &= json_array_append_new(array, json_string("amax_floor")) == 0;
    if (r->block != profile->recipe.block)
        good &= json_array_append_new(array, json_string("block")) == 0;
    return keep_if(good, array);
}

static json_t *pack_recipe(const struct mxq_manifest *m)
{
    const struct mxq_recipe *r = &m->recipe;

    return json_pack(
        "{s:s, s:o, s:s, s:s, s:o, s:s, s:s, s:i, s:o, s:i, s:o, s:o, s:s, s:s, s:i, s:i, s:b, s:b, s:i, "
        "s:b}",
        "profile", m->profile, "overrides", pack_overrides(m), "scale", mxq_scale_rule_name(r->scale), "ties",
        mxq_ties_name(r->ties), "seed", pack_seed(r->ties == MXQ_TIES_STOCHASTIC ? &r->seed : NULL), "sign",
        mxq_sign_name(r->sign), "block", mxq_block_name(r->block), "zero_byte", r->zero_byte, "amax_floor",
        pack_crc(r->amax_floor), "hadamard", (int)r->hadamard_nelems, "hadamard_signs", pack_signs(r), "hadamard_seed",
        pack_seed(m->has_hadamard_seed ? &m->hadamard_seed : NULL), "underflow", mxq_underflow_name(r->underflow),
        "sixth", mxq_sixth_name(r->sixth), "huge_byte", r->huge_byte, "infinity_byte", r->infinity_byte, "nan_poisons",
        r->nan_poisons, "nan_fills", r->nan_fills, "nan_code", r->nan_code, "nan_keeps_sign", r->nan_keeps_sign);
}

json_t *mxq_pack_recipe(const char *profile, const struct mxq_recipe *recipe)
{
    const struct mxq_manifest manifest = {.profile = profile, .recipe = *recipe};

    return pack_recipe(&manifest);
}

json_t *mxq_pack_profile(const struct mxq_profile *profile)
{
    const struct mxq_manifest manifest = {.profile = profile->name, .recipe = profile->recipe};
    json_t *recipe = pack_recipe(&manifest);

    json_object_del(recipe, "profile");
    json_object_del(recipe, "overrides");
    json_object_del(recipe, "hadamard_seed");
    return recipe;
}

/*
 * Of data with the high nibble first, the word for the layout says so: whoever does not know this order must not take
 * the buffer for something else, and a reader ignores keys that it does not know, but refuses such words.
 */
const char *mxq_manifest_layout(const struct mxq_manifest_buffer *b)
{
    static const char *const high_first[MXQ_NUM_LAYOUTS] = {
        [MXQ_LINEAR] = "linear" HIGH_FIRST, [MXQ_AITER] = "aiter" HIGH_FIRST};

    return b->high_first ? high_first[b->layout] : mxq_layout_name(b->layout);
}

static json_t *pack_buffer(const struct mxq_manifest_buffer *b)
{
    return json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "file", mxq_pack_name(b->file), "member",
                     mxq_pack_name(b->member), "dtype", "uint8", "layout", mxq_manifest_layout(b), "shape",
                     pack_pair(b->extent.rows, b->extent.cols), "valid",
                     pack_pair(b->extent.valid_rows, b->extent.valid_cols), "nbytes", pack_u64(b->extent.nbytes),
                     "crc32", pack_crc(b->crc));
}

static json_t *pack_buffers(const struct mxq_manifest *m)
{
    json_t *buffers = json_object();
    bool good = true;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (m->buffer[b].present)
            good &= json_object_set_new(buffers, mxq_buffer_name(b), pack_buffer(&m->buffer[b])) == 0;
    return keep_if(good, buffers);
}

static json_t *pack_manifest(const struct mxq_manifest *m)
{
    return json_pack("{s:s, s:i, s:s, s:o, s:{s:o, s:o}, s:o, s:{s:s, s:b}, s:i, s:s, s:b, s:o, s:{s:s, s:s}}", "kind",
                     KIND, "version", MXQ_MANIFEST_VERSION, "tool_version", m->tool_version, "input", pack_input(m),
                     "matrix", "rows", pack_u64(m->rows), "cols", pack_u64(m->cols), "recipe", pack_recipe(m),
                     "nonfinite", "policy", m->nonfinite_allowed ? "profile" : "error", "found", m->nonfinite,
                     "pad_fill", m->pad_fill, "format", mxq_format_name(m->format), "gzip", m->gzip, "buffers",
                     pack_buffers(m), "backend", "device", m->device, "kernel", m->kernel);
}

char *mxq_format_manifest(const struct mxq_manifest *manifest)
{
    json_t *root = pack_manifest(manifest);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    char *line = NULL;
    size_t nbytes;

    json_decref(root);
    if (text == NULL || mxq_json_memory_failed()) {
        free(text);
        return NULL;
    }
    nbytes = strlen(text);
    line = realloc(text, nbytes + 2);
    if (line == NULL) {
        free(text);
        return NULL;
    }
    memcpy(line + nbytes, "\n", 2);
    return line;
}

/* ---------------------------------------------------------------------------------------------- reading */

/* Walks a JSON tree; the first thing that is missing or wrong is remembered and everything after it is moot. */
struct reader {
    const char *path;
    struct mxq_fault *fault;
    bool good;
};

static void complain(struct reader *reader, const char *key, const char *what)
{
    if (reader->good)
        mxq_set_fault(reader->fault, reader->path, 0, "not a usable manifest: \"%s\" %s", key, what);
    reader->good = false;
}

static const json_t *get(struct reader *reader, const json_t *object, const char *key, json_type type)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL)
        complain(reader, key, "is missing");
    else if (json_typeof(value) != type && !(type == JSON_TRUE && json_is_boolean(value)))
        complain(reader, key, "has the wrong type");
    else
        return value;
    return NULL;
}

static const char *get_string(struct reader *reader, const json_t *object, const char *key)
{
    return json_string_value(get(reader, object, key, JSON_STRING));
}

static const char *get_string_or_null(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : get_string(reader, object, key);
}

static bool get_bool(struct reader *reader, const json_t *object, const char *key)
{
    return json_is_true(get(reader, object, key, JSON_TRUE));
}

static uint64_t get_u64(struct reader *reader, const json_t *object, const char *key, uint64_t max)
{
    const json_t *value = get(reader, object, key, JSON_INTEGER);
    const json_int_t number = json_integer_value(value);

    if (value != NULL && (number < 0 || (uint64_t)number > max))
        complain(reader, key, "is out of range");
    return reader->good ? (uint64_t)number : 0;
}

static uint32_t get_hex(struct reader *reader, const json_t *object, const char *key)
{
    const char *text = get_string(reader, object, key);

    if (text != NULL && (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8))
        complain(reader, key, "is not eight hexadecimal digits");
    return reader->good ? (uint32_t)strtoul(text, NULL, 16) : 0;
}

static void get_signs(struct reader *reader, const json_t *object, const char *key, uint32_t signs[MXQ_HADAMARD_NWORDS])
{
    const char *text = get_string(reader, object, key);
    const size_t length = text != NULL ? strlen(text) : 0;
    char word[9] = "";

    if (text != NULL && ((length != 8 && length != 32) || strspn(text, "0123456789abcdef") != length))
        complain(reader, key, "is not 8 or 32 hexadecimal digits");
    for (unsigned i = 0; i < MXQ_HADAMARD_NWORDS && reader->good; i++) {
        memcpy(word, length == 32 ? text + 24 - 8 * i : text, 8);
        signs[i] = (uint32_t)strtoul(word, NULL, 16);
    }
}

/* False: there is none. */
static bool get_seed(struct reader *reader, const json_t *object, const char *key, uint64_t *seed)
{
    const json_t *value = json_object_get(object, key);
    const char *text;

    if (value == NULL || json_is_null(value))
        return false;
    text = get_string(reader, object, key);
    errno = 0;
    *seed = text != NULL ? strtoull(text, NULL, 10) : 0;
    if (text != NULL && (errno != 0 || text[0] == '\0' || text[strspn(text, "0123456789")] != '\0'))
        complain(reader, key, "is not a decimal number of 64 bits");
    return reader->good;
}

/* The names of an enum, with the value as a plain number. */
typedef const char *(*name_func)(unsigned value);

#define NAME_FUNC(function, type)                                                                                      \
    static const char *function##_of(unsigned value)                                                                   \
    {                                                                                                                  \
        return function((enum type)value);                                                                             \
    }

NAME_FUNC(mxq_dtype_name, mxq_dtype)
NAME_FUNC(mxq_scale_rule_name, mxq_scale_rule)
NAME_FUNC(mxq_ties_name, mxq_ties)
NAME_FUNC(mxq_sign_name, mxq_sign)
NAME_FUNC(mxq_underflow_name, mxq_underflow)
NAME_FUNC(mxq_sixth_name, mxq_sixth)
NAME_FUNC(mxq_block_name, mxq_block)
NAME_FUNC(mxq_format_name, mxq_format)

static unsigned get_word(struct reader *reader, const json_t *object, const char *key, name_func name)
{
    const char *text = get_string(reader, object, key);

    for (unsigned i = 0; text != NULL && name(i) != NULL; i++)
        if (strcmp(name(i), text) == 0)
            return i;
    complain(reader, key, "is a word that this version does not know");
    return 0;
}

static unsigned get_sizes(struct reader *reader, const json_t *object, const char *key, uint64_t *sizes, unsigned max)
{
    const json_t *array = get(reader, object, key, JSON_ARRAY);
    const size_t nsizes = json_array_size(array);

    if (nsizes > max)
        complain(reader, key, "has too many sizes");
    for (size_t i = 0; i < nsizes && reader->good; i++) {
        const json_t *size = json_array_get(array, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            complain(reader, key, "has something that is no size");
        sizes[i] = (uint64_t)json_integer_value(size);
    }
    return reader->good ? (unsigned)nsizes : 0;
}

static void read_pair(struct reader *reader, const json_t *object, const char *key, uint64_t *rows, uint64_t *cols)
{
    uint64_t sizes[2] = {0, 0};

    if (get_sizes(reader, object, key, sizes, 2) != 2)
        complain(reader, key, "does not have two sizes");
    *rows = sizes[0];
    *cols = sizes[1];
}

static void read_input(struct reader *reader, const json_t *input, struct mxq_manifest *m)
{
    const char *order;

    m->input_file = get_string_or_null(reader, input, "file");
    m->tensor.name = get_string_or_null(reader, input, "member");
    m->input_format = get_string(reader, input, "format");
    m->tensor.dtype = get_word(reader, input, "dtype", mxq_dtype_name_of);
    m->tensor.rank = get_sizes(reader, input, "shape", m->tensor.shape, MXQ_MAX_RANK);
    order = get_string(reader, input, "order");
    m->tensor.fortran_order = order != NULL && strcmp(order, "F") == 0;
    order = get_string(reader, input, "byte_order");
    m->tensor.swap_bytes =
        order != NULL && strcmp(order, __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? "little" : "big") == 0;
    m->tensor.nbytes = get_u64(reader, input, "nbytes", INT64_MAX);
    m->tensor.elem_nbytes = (unsigned)mxq_dtype_nbytes(m->tensor.dtype);
    m->tensor.nelems = m->tensor.nbytes / m->tensor.elem_nbytes;
    m->input_crc = get_hex(reader, input, "crc32");
}

/* What earlier versions did not write, because it was always the same. */
static void read_later_fields(struct reader *reader, const json_t *recipe, struct mxq_manifest *m)
{
    struct mxq_recipe *r = &m->recipe;
    const bool has_seed = get_seed(reader, recipe, "seed", &r->seed);

    if (has_seed != (r->ties == MXQ_TIES_STOCHASTIC))
        complain(reader, "seed", has_seed ? "is given without stochastic ties" : "is missing");
    if (json_object_get(recipe, "block") != NULL)
        r->block = get_word(reader, recipe, "block", mxq_block_name_of);
    if (json_object_get(recipe, "amax_floor") != NULL)
        r->amax_floor = get_hex(reader, recipe, "amax_floor");
    if (r->amax_floor >= 0x7f800000)
        complain(reader, "amax_floor", "is out of range");
    m->has_hadamard_seed = get_seed(reader, recipe, "hadamard_seed", &m->hadamard_seed);
}

static void read_recipe(struct reader *reader, const json_t *recipe, struct mxq_manifest *m)
{
    struct mxq_recipe *r = &m->recipe;

    m->profile = get_string(reader, recipe, "profile");
    r->scale = get_word(reader, recipe, "scale", mxq_scale_rule_name_of);
    r->ties = get_word(reader, recipe, "ties", mxq_ties_name_of);
    r->sign = get_word(reader, recipe, "sign", mxq_sign_name_of);
    r->zero_byte = (uint8_t)get_u64(reader, recipe, "zero_byte", 255);
    r->hadamard_nelems = (unsigned)get_u64(reader, recipe, "hadamard", MXQ_HADAMARD_NELEMS);
    if (r->hadamard_nelems != 0 && (r->hadamard_nelems < 16 || (r->hadamard_nelems & (r->hadamard_nelems - 1)) != 0))
        complain(reader, "hadamard", "is out of range");
    get_signs(reader, recipe, "hadamard_signs", r->hadamard_signs);
    read_later_fields(reader, recipe, m);
    r->underflow = get_word(reader, recipe, "underflow", mxq_underflow_name_of);
    r->sixth = get_word(reader, recipe, "sixth", mxq_sixth_name_of);
    r->huge_byte = (uint8_t)get_u64(reader, recipe, "huge_byte", 255);
    r->infinity_byte = (uint8_t)get_u64(reader, recipe, "infinity_byte", 255);
    r->nan_poisons = get_bool(reader, recipe, "nan_poisons");
    r->nan_fills = get_bool(reader, recipe, "nan_fills");
    r->nan_code = (uint8_t)get_u64(reader, recipe, "nan_code", 15);
    r->nan_keeps_sign = get_bool(reader, recipe, "nan_keeps_sign");
}

static void read_layout(struct reader *reader, const json_t *object, bool scale, struct mxq_manifest_buffer *buffer)
{
    const char *text = get_string(reader, object, "layout");

    for (unsigned i = 0; text != NULL && i < MXQ_NUM_LAYOUTS; i++) {
        buffer->layout = i;
        for (unsigned high = 0; high <= (scale ? 0 : 1); high++) {
            buffer->high_first = high != 0;
            if (strcmp(text, mxq_manifest_layout(buffer)) == 0)
                return;
        }
    }
    complain(reader, "layout", "is a word that this version does not know");
}

static void read_buffer(struct reader *reader, const json_t *object, bool scale, struct mxq_manifest_buffer *buffer)
{
    buffer->present = true;
    buffer->file = get_string_or_null(reader, object, "file");
    buffer->member = get_string_or_null(reader, object, "member");
    read_layout(reader, object, scale, buffer);
    read_pair(reader, object, "shape", &buffer->extent.rows, &buffer->extent.cols);
    read_pair(reader, object, "valid", &buffer->extent.valid_rows, &buffer->extent.valid_cols);
    buffer->extent.nbytes = get_u64(reader, object, "nbytes", INT64_MAX);
    buffer->crc = get_hex(reader, object, "crc32");
}

static void read_buffers(struct reader *reader, const json_t *buffers, struct mxq_manifest *m)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (json_object_get(buffers, mxq_buffer_name(b)) != NULL)
            read_buffer(reader, get(reader, buffers, mxq_buffer_name(b), JSON_OBJECT),
                        b == MXQ_ROWWISE_SCALE || b == MXQ_COLUMNWISE_SCALE, &m->buffer[b]);
}

/* What can be computed from the rest must be what it says. */
static void check_extents(struct reader *reader, const struct mxq_manifest *m)
{
    struct mxq_options options;
    struct mxq_plan plan;

    mxq_init_options(&options, NULL);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = m->buffer[b].present ? m->buffer[b].layout : MXQ_LINEAR;
    if (mxq_make_plan(&plan, &options, m->rows, m->cols) != MXQ_OK) {
        complain(reader, "matrix", "is too large");
        return;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (m->buffer[b].present && memcmp(&plan.extent[b], &m->buffer[b].extent, sizeof(plan.extent[b])) != 0)
            complain(reader, mxq_buffer_name(b), "has sizes that do not follow from the matrix and the layout");
}

/* The matrix is the input's shape, split somewhere. */
static void check_matrix(struct reader *reader, const struct mxq_manifest *m)
{
    uint64_t nelems = 1;
    uint64_t rows, cols;
    bool fits = true;

    for (unsigned i = 0; i < m->tensor.rank; i++)
        if (m->tensor.shape[i] != 0)
            fits = fits && !__builtin_mul_overflow(nelems, m->tensor.shape[i], &nelems);
    for (int32_t axis = 0; axis <= (int32_t)m->tensor.rank && fits; axis++)
        if (mxq_flatten_tensor(&m->tensor, axis, &rows, &cols) && rows == m->rows && cols == m->cols)
            return;
    complain(reader, "matrix", "does not follow from the shape of the input");
}

static void read_root(struct reader *reader, const json_t *root, struct mxq_manifest *m)
{
    const json_t *matrix, *nonfinite, *backend;
    const char *policy;

    m->tool_version = get_string(reader, root, "tool_version");
    read_input(reader, get(reader, root, "input", JSON_OBJECT), m);
    matrix = get(reader, root, "matrix", JSON_OBJECT);
    m->rows = get_u64(reader, matrix, "rows", INT64_MAX);
    m->cols = get_u64(reader, matrix, "cols", INT64_MAX);
    read_recipe(reader, get(reader, root, "recipe", JSON_OBJECT), m);
    nonfinite = get(reader, root, "nonfinite", JSON_OBJECT);
    policy = get_string(reader, nonfinite, "policy");
    m->nonfinite_allowed = policy != NULL && strcmp(policy, "profile") == 0;
    m->nonfinite = get_bool(reader, nonfinite, "found");
    m->pad_fill = (uint8_t)get_u64(reader, root, "pad_fill", 255);
    m->format = get_word(reader, root, "format", mxq_format_name_of);
    m->gzip = get_bool(reader, root, "gzip");
    read_buffers(reader, get(reader, root, "buffers", JSON_OBJECT), m);
    backend = get(reader, root, "backend", JSON_OBJECT);
    m->device = get_string(reader, backend, "device");
    m->kernel = get_string(reader, backend, "kernel");
    if (reader->good)
        check_extents(reader, m);
    if (reader->good)
        check_matrix(reader, m);
}

static bool check_kind(const char *path, const json_t *root, struct mxq_fault *fault)
{
    const char *kind = json_string_value(json_object_get(root, "kind"));
    const json_int_t version = json_integer_value(json_object_get(root, "version"));

    if (kind == NULL || strcmp(kind, KIND) != 0) {
        mxq_set_fault(fault, path, 0, "JSON, but not a manifest of mxfp4q");
        return false;
    }
    if (version != MXQ_MANIFEST_VERSION) {
        mxq_set_fault(fault, path, 0, "a manifest of version %lld; this program reads version %d", (long long)version,
                      MXQ_MANIFEST_VERSION);
        return false;
    }
    return true;
}

static json_t *parse_member(const char *archive, const char *member, json_error_t *error, struct mxq_fault *fault)
{
    size_t nbytes = 0;
    char *text = mxq_read_archive_member(archive, member, MAX_NBYTES, &nbytes, fault);
    json_t *root = text != NULL ? json_loadb(text, nbytes, JSON_REJECT_DUPLICATES, error) : NULL;

    if (text != NULL && root == NULL)
        mxq_set_fault(fault, archive, 0, "its member \"%s\" is no manifest: line %d: %s", member, error->line,
                      error->text);
    free(text);
    return root;
}

static json_t *parse_file(const char *path, json_error_t *error, struct mxq_fault *fault)
{
    FILE *file = fopen(path, "re");
    json_t *root;

    if (file == NULL) {
        mxq_set_fault(fault, path, errno, "cannot open");
        return NULL;
    }
    root = json_loadf(file, JSON_REJECT_DUPLICATES, error);
    fclose(file);
    if (root == NULL)
        mxq_set_fault(fault, path, 0, "not a manifest: line %d: %s", error->line, error->text);
    return root;
}

/* A file, or a member of an archive; NULL on a fault. */
static json_t *load_json(const char *path, struct mxq_fault *fault)
{
    char archive[ARCHIVE_PATH_NBYTES];
    const char *member;
    json_error_t error;

    if (mxq_split_archive_path(path, archive, sizeof(archive), &member))
        return parse_member(archive, member, &error, fault);
    return parse_file(path, &error, fault);
}

bool mxq_load_manifest(const char *path, struct mxq_manifest *manifest, struct mxq_fault *fault)
{
    struct reader reader = {path, fault, true};
    json_t *root = load_json(path, fault);

    memset(manifest, 0, sizeof(*manifest));
    if (root == NULL)
        return false;
    manifest->owner = root;
    if (check_kind(path, root, fault)) {
        read_root(&reader, root, manifest);
        if (reader.good)
            return true;
    }
    mxq_free_manifest(manifest);
    return false;
}

void mxq_free_manifest(struct mxq_manifest *manifest)
{
    json_decref(manifest->owner);
    memset(manifest, 0, sizeof(*manifest));
}
