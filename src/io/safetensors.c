/* safetensors.c - the headers of .safetensors files: reading and checking them */
#include "io/safetensors.h"

#include "io/json_text.h"
#include "io/outfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- element types */

static const struct {
    const char *name;
    unsigned nbits;
} dtypes[MXQ_ST_NUM_DTYPES] = {
    [MXQ_ST_BOOL] = {"BOOL", 8},
    [MXQ_ST_F4] = {"F4", 4},
    [MXQ_ST_F6_E2M3] = {"F6_E2M3", 6},
    [MXQ_ST_F6_E3M2] = {"F6_E3M2", 6},
    [MXQ_ST_U8] = {"U8", 8},
    [MXQ_ST_I8] = {"I8", 8},
    [MXQ_ST_F8_E5M2] = {"F8_E5M2", 8},
    [MXQ_ST_F8_E4M3] = {"F8_E4M3", 8},
    [MXQ_ST_F8_E8M0] = {"F8_E8M0", 8},
    [MXQ_ST_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [MXQ_ST_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [MXQ_ST_I16] = {"I16", 16},
    [MXQ_ST_U16] = {"U16", 16},
    [MXQ_ST_F16] = {"F16", 16},
    [MXQ_ST_BF16] = {"BF16", 16},
    [MXQ_ST_I32] = {"I32", 32},
    [MXQ_ST_U32] = {"U32", 32},
    [MXQ_ST_F32] = {"F32", 32},
    [MXQ_ST_C64] = {"C64", 64},
    [MXQ_ST_F64] = {"F64", 64},
    [MXQ_ST_I64] = {"I64", 64},
    [MXQ_ST_U64] = {"U64", 64},
};

const char *mxq_st_dtype_name(enum mxq_st_dtype dtype)
{
    return (unsigned)dtype < MXQ_ST_NUM_DTYPES ? dtypes[dtype].name : NULL;
}

unsigned mxq_st_dtype_nbits(enum mxq_st_dtype dtype)
{
    return dtypes[dtype].nbits;
}

static bool find_dtype(const char *name, enum mxq_st_dtype *dtype)
{
    for (unsigned i = 0; i < MXQ_ST_NUM_DTYPES; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            *dtype = i;
            return true;
        }
    }
    return false;
}

/* ---- one entry */

/* What is being read; faults go to it. */
struct reading {
    const char *file;
    struct mxq_st_header *header;
    size_t room; /* for tensors */
    bool has_metadata;
    struct mxq_fault *fault;
};

static bool refuse(struct reading *r, const char *tensor, const char *what)
{
    if (tensor != NULL)
        mxq_set_fault(r->fault, r->file, 0, "tensor \"%.200s\": %s", tensor, what);
    else
        mxq_set_fault(r->fault, r->file, 0, "%s", what);
    return false;
}

static bool refuse_memory(struct reading *r)
{
    mxq_set_fault(r->fault, r->file, ENOMEM, "cannot read the header");
    return false;
}

bool mxq_count_st_bytes(enum mxq_st_dtype dtype, unsigned rank, const uint64_t shape[], uint64_t *nbytes)
{
    uint64_t nelems = 1, nbits;

    for (unsigned i = 0; i < rank; i++)
        if (__builtin_mul_overflow(nelems, shape[i], &nelems))
            return false;
    if (__builtin_mul_overflow(nelems, (uint64_t)dtypes[dtype].nbits, &nbits) || nbits % 8 != 0)
        return false;
    *nbytes = nbits / 8;
    return true;
}

static bool read_shape(struct reading *r, const json_t *shape, struct mxq_st_tensor *tensor)
{
    if (!json_is_array(shape))
        return refuse(r, tensor->name, "no shape");
    if (json_array_size(shape) > MXQ_ST_MAX_RANK)
        return refuse(r, tensor->name, "more dimensions than this program takes");
    tensor->rank = (unsigned)json_array_size(shape);
    for (unsigned i = 0; i < tensor->rank; i++) {
        const json_t *size = json_array_get(shape, i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return refuse(r, tensor->name, "a size in its shape is not a whole number from 0 on");
        tensor->shape[i] = (uint64_t)json_integer_value(size);
    }
    return true;
}

/* tensor->offset is from data on, for now. */
static bool read_offsets(struct reading *r, const json_t *offsets, struct mxq_st_tensor *tensor)
{
    json_int_t begin, end;

    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return refuse(r, tensor->name, "its data_offsets are not two whole numbers");
    begin = json_integer_value(json_array_get(offsets, 0));
    end = json_integer_value(json_array_get(offsets, 1));
    if (begin < 0 || end < begin)
        return refuse(r, tensor->name, "its data_offsets are not in order");
    tensor->offset = (uint64_t)begin;
    tensor->nbytes = (uint64_t)(end - begin);
    return true;
}

static bool read_tensor(struct reading *r, const json_t *entry, struct mxq_st_tensor *tensor)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    uint64_t nbytes;

    if (!json_is_object(entry))
        return refuse(r, tensor->name, "its entry is not a JSON object without duplicate keys");
    if (dtype == NULL || !find_dtype(dtype, &tensor->dtype))
        return refuse(r, tensor->name, "no dtype that is known");
    if (!read_shape(r, json_object_get(entry, "shape"), tensor) ||
        !read_offsets(r, json_object_get(entry, "data_offsets"), tensor))
        return false;
    if (!mxq_count_st_bytes(tensor->dtype, tensor->rank, tensor->shape, &nbytes))
        return refuse(r, tensor->name, "its shape is too large, or its elements do not fill whole bytes");
    if (nbytes != tensor->nbytes)
        return refuse(r, tensor->name, "its shape and dtype do not give the bytes that its data_offsets do");
    return true;
}

static struct mxq_st_tensor *make_room(struct mxq_st_header *header, size_t *room)
{
    struct mxq_st_tensor *grown;
    const size_t wanted = *room < 16 ? 16 : *room + *room / 2;

    if (header->ntensors < *room)
        return &header->tensors[header->ntensors];
    grown = realloc(header->tensors, wanted * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    header->tensors = grown;
    *room = wanted;
    return &header->tensors[header->ntensors];
}

static bool add_entry(struct reading *r, const char *name, const struct mxq_json_member *member)
{
    struct mxq_st_tensor *tensor = make_room(r->header, &r->room);
    json_t *entry;
    bool good;

    if (tensor == NULL)
        return refuse_memory(r);
    memset(tensor, 0, sizeof(*tensor));
    tensor->name = strdup(name);
    if (tensor->name == NULL)
        return refuse_memory(r);
    r->header->ntensors++;
    if (member->value.end - member->value.at > MXQ_ST_MAX_ENTRY_NBYTES)
        return refuse(r, name, "its entry is too long");
    entry = mxq_load_json_part(member->value, JSON_REJECT_DUPLICATES);
    good = read_tensor(r, entry, tensor);
    json_decref(entry);
    return good;
}

/* Member by member, so that no text becomes a tree that is much larger. */
static bool add_metadata(struct reading *r, struct mxq_json_text text)
{
    struct mxq_json_walk walk;
    struct mxq_json_member member;
    int more;

    if (r->has_metadata)
        return refuse(r, NULL, "its header has __metadata__ twice");
    r->has_metadata = true;
    if (text.end - text.at == 4 && memcmp(text.at, "null", 4) == 0)
        return true;
    if (text.end - text.at > MXQ_ST_MAX_METADATA_NBYTES)
        return refuse(r, NULL, "its __metadata__ is too long");
    if (!mxq_start_json_walk(&walk, text))
        return refuse(r, NULL, "its __metadata__ is not a JSON object");
    r->header->metadata = json_object();
    while ((more = mxq_next_json_member(&walk, &member)) == 1) {
        json_t *key = mxq_load_json_part(member.key, 0);
        json_t *value = *member.value.at == '"' ? mxq_load_json_part(member.value, JSON_ALLOW_NUL) : NULL;
        const bool good = json_is_string(key) && json_is_string(value) &&
                          json_object_set(r->header->metadata, json_string_value(key), value) == 0;
        json_decref(key);
        json_decref(value);
        if (!good)
            break;
    }
    return more == 0 || refuse(r, NULL, "its __metadata__ is not a JSON object of strings");
}

static bool add_member(struct reading *r, const struct mxq_json_member *member)
{
    json_t *key = mxq_load_json_part(member->key, 0);
    const char *name = json_string_value(key);
    bool good;

    if (name == NULL)
        good = refuse(r, NULL, "a name in its header is not a string of UTF-8");
    else if (strcmp(name, "__metadata__") == 0)
        good = add_metadata(r, member->value);
    else
        good = add_entry(r, name, member);
    json_decref(key);
    return good;
}

static bool parse_header(struct reading *r, struct mxq_json_text text)
{
    struct mxq_json_walk walk;
    struct mxq_json_member member;
    int more;

    if (text.at == text.end || *text.at != '{' || !mxq_start_json_walk(&walk, text))
        return refuse(r, NULL, "not a .safetensors file: its header does not begin with {");
    while ((more = mxq_next_json_member(&walk, &member)) == 1)
        if (!add_member(r, &member))
            return false;
    if (more != 0 || !mxq_is_json_space(walk.rest))
        return refuse(r, NULL, "its header is not a JSON object");
    return true;
}

/* ---- all entries together */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_offsets(const void *a, const void *b)
{
    const struct mxq_st_tensor *left = a, *right = b;

    if (left->offset != right->offset)
        return left->offset < right->offset ? -1 : 1;
    if (left->nbytes != right->nbytes)
        return left->nbytes < right->nbytes ? -1 : 1;
    return strcmp(left->name, right->name);
}

bool mxq_find_st_duplicate(const struct mxq_st_header *header, const char **duplicate)
{
    const char **names = malloc((header->ntensors + 1) * sizeof(*names));

    *duplicate = NULL;
    if (names == NULL)
        return false;
    for (size_t i = 0; i < header->ntensors; i++)
        names[i] = header->tensors[i].name;
    qsort(names, header->ntensors, sizeof(*names), compare_names);
    for (size_t i = 1; i < header->ntensors && *duplicate == NULL; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            *duplicate = names[i];
    free(names);
    return true;
}

/* The tensors must cover the rest of the file, one after the other. */
static bool check_cover(struct reading *r)
{
    struct mxq_st_header *header = r->header;
    const uint64_t room = header->nbytes - header->data_offset;
    uint64_t end = 0;

    if (header->ntensors > 0)
        qsort(header->tensors, header->ntensors, sizeof(*header->tensors), compare_offsets);
    for (size_t i = 0; i < header->ntensors; i++) {
        struct mxq_st_tensor *tensor = &header->tensors[i];
        if (tensor->offset != end)
            return refuse(r, tensor->name,
                          tensor->offset > end ? "bytes before it belong to no tensor" : "it overlaps another tensor");
        if (tensor->nbytes > room - end)
            return refuse(r, tensor->name, "it ends after the file: the file has been cut short");
        end += tensor->nbytes;
        tensor->offset += header->data_offset;
    }
    if (end == room)
        return true;
    mxq_set_fault(r->fault, r->file, 0, "%" PRIu64 " bytes after the last tensor belong to none", room - end);
    return false;
}

static bool check_names(struct reading *r)
{
    const char *duplicate;

    if (!mxq_find_st_duplicate(r->header, &duplicate))
        return refuse_memory(r);
    return duplicate == NULL || refuse(r, duplicate, "its header has this name twice");
}

/* ---- the file */

static uint64_t load_u64(const uint8_t bytes[8])
{
    uint64_t value = 0;

    for (unsigned i = 8; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

bool mxq_is_st_start(const uint8_t *bytes, size_t nbytes, uint64_t file_nbytes)
{
    uint64_t length;

    if (nbytes < 9 || file_nbytes < 10)
        return false;
    length = load_u64(bytes);
    return length >= 2 && length <= MXQ_ST_MAX_HEADER_NBYTES && length <= file_nbytes - 8 && bytes[8] == '{';
}

static bool read_length(int fd, struct reading *r, uint64_t *length)
{
    struct stat status;
    uint8_t bytes[8];

    if (fstat(fd, &status) != 0) {
        mxq_set_fault(r->fault, r->file, errno, "cannot read");
        return false;
    }
    if (!S_ISREG(status.st_mode))
        return refuse(r, NULL, "not a regular file, as a .safetensors file must be here");
    r->header->nbytes = (uint64_t)status.st_size;
    if (r->header->nbytes < sizeof(bytes))
        return refuse(r, NULL, "not a .safetensors file: too short");
    if (!mxq_pread_all(fd, bytes, sizeof(bytes), 0, r->file, r->fault))
        return false;
    *length = load_u64(bytes);
    if (*length > MXQ_ST_MAX_HEADER_NBYTES)
        return refuse(r, NULL, "not a .safetensors file: its header would be longer than 100000000 bytes");
    if (*length > r->header->nbytes - sizeof(bytes))
        return refuse(r, NULL, "not a .safetensors file, or cut short: its header is longer than the file");
    r->header->data_offset = sizeof(bytes) + *length;
    return true;
}

static bool read_header(int fd, struct reading *r)
{
    uint64_t length = 0;
    char *text;
    bool good;

    if (!read_length(fd, r, &length))
        return false;
    text = malloc(length + 1);
    if (text == NULL)
        return refuse_memory(r);
    good = mxq_pread_all(fd, text, length, 8, r->file, r->fault) &&
           parse_header(r, (struct mxq_json_text){text, text + length}) && check_names(r) && check_cover(r);
    free(text);
    return good;
}

bool mxq_read_st_header(int fd, const char *name, struct mxq_st_header **header, struct mxq_fault *fault)
{
    struct reading r = {.file = name, .header = mxq_create_st_header(), .fault = fault};

    *header = r.header;
    if (r.header == NULL)
        return refuse_memory(&r);
    if (read_header(fd, &r))
        return true;
    mxq_free_st_header(r.header);
    *header = NULL;
    return false;
}

struct mxq_st_header *mxq_create_st_header(void)
{
    return calloc(1, sizeof(struct mxq_st_header));
}

void mxq_free_st_header(struct mxq_st_header *header)
{
    if (header == NULL)
        return;
    for (size_t i = 0; i < header->ntensors; i++)
        free(header->tensors[i].name);
    free(header->tensors);
    json_decref(header->metadata);
    free(header);
}

const struct mxq_st_tensor *mxq_find_st_tensor(const struct mxq_st_header *header, const char *name)
{
    for (size_t i = 0; i < header->ntensors; i++)
        if (strcmp(header->tensors[i].name, name) == 0)
            return &header->tensors[i];
    return NULL;
}
