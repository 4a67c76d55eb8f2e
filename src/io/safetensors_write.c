/* safetensors_write.c - the headers of .safetensors files that are written */
#include "io/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mxq_add_st_tensor(struct mxq_st_header *header, const char *name, enum mxq_st_dtype dtype, unsigned rank,
                       const uint64_t shape[], struct mxq_fault *fault)
{
    struct mxq_st_tensor tensor = {.dtype = dtype, .rank = rank};
    struct mxq_st_tensor *grown;

    if (rank > MXQ_ST_MAX_RANK || !mxq_count_st_bytes(dtype, rank, shape, &tensor.nbytes)) {
        mxq_set_fault(fault, NULL, 0, "tensor \"%.200s\" would be too large", name);
        return false;
    }
    for (unsigned i = 0; i < rank; i++)
        tensor.shape[i] = shape[i];
    /* The room doubles whenever the number is a power of two. */
    if ((header->ntensors & (header->ntensors - 1)) == 0) {
        const size_t room = header->ntensors == 0 ? 1 : 2 * header->ntensors;
        grown = realloc(header->tensors, room * sizeof(*grown));
        if (grown != NULL)
            header->tensors = grown;
    } else {
        grown = header->tensors;
    }
    tensor.name = grown != NULL ? strdup(name) : NULL;
    if (tensor.name == NULL) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot make a header");
        return false;
    }
    header->tensors[header->ntensors++] = tensor;
    return true;
}

/* ---- text */

struct text {
    char *bytes;
    size_t nbytes;
    size_t room;
    bool failed;
};

static void add_bytes(struct text *text, const char *bytes, size_t nbytes)
{
    if (!text->failed && nbytes > text->room - text->nbytes) {
        const size_t room = 2 * text->room + nbytes + 4096;
        char *grown = realloc(text->bytes, room);
        text->failed = grown == NULL;
        if (grown != NULL) {
            text->bytes = grown;
            text->room = room;
        }
    }
    if (text->failed)
        return;
    memcpy(text->bytes + text->nbytes, bytes, nbytes);
    text->nbytes += nbytes;
}

static void add_string(struct text *text, const char *string)
{
    add_bytes(text, string, strlen(string));
}

static void add_u64(struct text *text, uint64_t value)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%" PRIu64, value);
    add_string(text, digits);
}

static void add_json(struct text *text, const json_t *json)
{
    char *dumped = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);

    if (dumped != NULL)
        add_string(text, dumped);
    else
        text->failed = true;
    free(dumped);
}

static void add_name(struct text *text, const char *name)
{
    json_t *string = json_string(name);

    if (string != NULL)
        add_json(text, string);
    else
        text->failed = true;
    json_decref(string);
}

static void add_tensor(struct text *text, const struct mxq_st_tensor *tensor, uint64_t data_offset)
{
    add_name(text, tensor->name);
    add_string(text, ":{\"dtype\":\"");
    add_string(text, mxq_st_dtype_name(tensor->dtype));
    add_string(text, "\",\"shape\":[");
    for (unsigned i = 0; i < tensor->rank; i++) {
        add_string(text, i == 0 ? "" : ",");
        add_u64(text, tensor->shape[i]);
    }
    add_string(text, "],\"data_offsets\":[");
    add_u64(text, tensor->offset - data_offset);
    add_string(text, ",");
    add_u64(text, tensor->offset - data_offset + tensor->nbytes);
    add_string(text, "]}");
}

/* The whole start of the file. */
static bool pack_text(const struct mxq_st_header *header, struct text *text, struct mxq_fault *fault)
{
    uint64_t length;

    memset(text, 0, sizeof(*text));
    add_bytes(text, "\0\0\0\0\0\0\0\0{", 9);
    if (header->metadata != NULL && json_object_size(header->metadata) > 0) {
        add_string(text, "\"__metadata__\":");
        add_json(text, header->metadata);
        add_string(text, header->ntensors > 0 ? "," : "");
    }
    for (size_t i = 0; i < header->ntensors; i++) {
        add_string(text, i == 0 ? "" : ",");
        add_tensor(text, &header->tensors[i], header->data_offset);
    }
    add_string(text, "}");
    while (!text->failed && text->nbytes % 8 != 0)
        add_string(text, " ");
    if (text->failed) {
        mxq_set_fault(fault, NULL, ENOMEM, "cannot make a header");
        free(text->bytes);
        return false;
    }
    length = text->nbytes - 8;
    for (unsigned i = 0; i < 8; i++)
        text->bytes[i] = (char)(length >> (8 * i) & 0xff);
    return true;
}

/* ---- layout */

static int compare_places(const void *a, const void *b)
{
    const struct mxq_st_tensor *left = a, *right = b;

    if (left->dtype != right->dtype)
        return left->dtype > right->dtype ? -1 : 1;
    return strcmp(left->name, right->name);
}

static bool check_names(const struct mxq_st_header *header, const char *file, struct mxq_fault *fault)
{
    const char *duplicate;

    if (!mxq_find_st_duplicate(header, &duplicate))
        mxq_set_fault(fault, file, ENOMEM, "cannot make a header");
    else if (duplicate != NULL)
        mxq_set_fault(fault, file, 0, "two tensors would be called \"%.200s\"", duplicate);
    else
        return true;
    return false;
}

bool mxq_lay_out_st_header(struct mxq_st_header *header, const char *file, struct mxq_fault *fault)
{
    struct text text;
    uint64_t end = 0;

    if (!check_names(header, file, fault))
        return false;
    if (header->ntensors > 0)
        qsort(header->tensors, header->ntensors, sizeof(*header->tensors), compare_places);
    header->data_offset = 0;
    for (size_t i = 0; i < header->ntensors; i++) {
        header->tensors[i].offset = end;
        if (__builtin_add_overflow(end, header->tensors[i].nbytes, &end) || end > INT64_MAX / 2) {
            mxq_set_fault(fault, file, 0, "the file would be too large");
            return false;
        }
    }
    if (!pack_text(header, &text, fault))
        return false;
    free(text.bytes);
    if (text.nbytes - 8 > MXQ_ST_MAX_HEADER_NBYTES) {
        mxq_set_fault(fault, file, 0, "its header would be longer than 100000000 bytes");
        return false;
    }
    header->data_offset = text.nbytes;
    header->nbytes = text.nbytes + end;
    for (size_t i = 0; i < header->ntensors; i++)
        header->tensors[i].offset += header->data_offset;
    return true;
}

bool mxq_pack_st_header(const struct mxq_st_header *header, uint8_t **bytes, struct mxq_fault *fault)
{
    struct text text;

    if (!pack_text(header, &text, fault))
        return false;
    *bytes = (uint8_t *)text.bytes;
    return true;
}
