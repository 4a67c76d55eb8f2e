/* gguf_write.c - headers of GGUF files whose tensors became MXFP4 */
#include "io/ggml.h"
#include "io/gguf.h"
#include "io/outfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_U32 4

/* What llama.cpp calls LLAMA_FTYPE_MOSTLY_MXFP4_MOE and GGML_QNT_VERSION. */
static const struct {
    const char *key;
    uint32_t value;
} set[MXQ_GGUF_NUM_KEYS] = {
    [MXQ_GGUF_FILE_TYPE] = {"general.file_type", 38},
    [MXQ_GGUF_QUANTIZATION_VERSION] = {"general.quantization_version", 2},
};

static uint64_t pad(uint64_t nbytes, uint64_t alignment)
{
    return (nbytes + alignment - 1) & ~(alignment - 1);
}

/* ---- layout */

static uint64_t count_key_bytes(unsigned key)
{
    return 8 + strlen(set[key].key) + 4 + 4;
}

static void lay_out_keys(const struct mxq_gguf *source, struct mxq_gguf *out)
{
    for (unsigned k = 0; k < MXQ_GGUF_NUM_KEYS; k++) {
        out->nkeys += source->place[k].nbytes == 0;
        out->keys_nbytes += count_key_bytes(k) - source->place[k].nbytes;
    }
}

static bool copy_tensors(const struct mxq_gguf *source, const bool is_quantized[], struct mxq_gguf *out, bool *any)
{
    out->tensors = calloc(source->ntensors + 1, sizeof(*out->tensors));
    out->ntensors = 0;
    if (out->tensors == NULL)
        return false;
    for (size_t i = 0; i < source->ntensors; i++) {
        struct mxq_gguf_tensor *tensor = &out->tensors[i];
        *tensor = source->tensors[i];
        tensor->name = strdup(source->tensors[i].name);
        if (tensor->name == NULL)
            return false;
        out->ntensors++;
        if (!is_quantized[i])
            continue;
        *any = true;
        tensor->type = MXQ_GGUF_MXFP4;
        tensor->nbytes = tensor->shape[0] / MXQ_BLOCK_NELEMS * MXQ_GGML_BLOCK_NBYTES;
        for (unsigned d = 1; d < MXQ_GGUF_MAX_RANK; d++)
            tensor->nbytes *= tensor->shape[d];
    }
    return true;
}

static uint64_t count_tensor_bytes(const struct mxq_gguf_tensor *tensor)
{
    return 8 + strlen(tensor->name) + 4 + 8 * (uint64_t)tensor->rank + 4 + 8;
}

bool mxq_lay_out_gguf(const struct mxq_gguf *source, const bool is_quantized[], struct mxq_gguf *out,
                      struct mxq_fault *fault)
{
    uint64_t end;
    bool any = false;

    *out = *source;
    if (!copy_tensors(source, is_quantized, out, &any)) {
        mxq_free_gguf(out);
        mxq_set_fault(fault, NULL, ENOMEM, "cannot plan");
        return false;
    }
    if (any)
        lay_out_keys(source, out);
    end = MXQ_GGUF_KEYS_OFFSET + out->keys_nbytes;
    for (size_t i = 0; i < out->ntensors; i++)
        end += count_tensor_bytes(&out->tensors[i]);
    if (out->ntensors > 0)
        end = pad(end, out->alignment);
    out->data_offset = end;
    for (size_t i = 0; i < out->ntensors; i++) {
        out->tensors[i].offset = end;
        end = pad(end + out->tensors[i].nbytes, out->alignment);
    }
    out->nbytes = end;
    return true;
}

/* ---- writing */

struct writer {
    int fd;
    const char *name;
    uint64_t at;
    size_t nbytes; /* in the buffer, which goes to at */
    uint8_t buffer[65536];
    struct mxq_fault *fault;
};

static bool flush(struct writer *w)
{
    const bool good = mxq_pwrite_all(w->fd, w->buffer, w->nbytes, w->at, w->name, w->fault);

    w->at += w->nbytes;
    w->nbytes = 0;
    return good;
}

static bool put(struct writer *w, const void *bytes, uint64_t nbytes)
{
    const uint8_t *from = bytes;

    while (nbytes > 0) {
        const size_t room = sizeof(w->buffer) - w->nbytes;
        const size_t n = nbytes < room ? (size_t)nbytes : room;
        memcpy(w->buffer + w->nbytes, from, n);
        w->nbytes += n;
        from += n;
        nbytes -= n;
        if (w->nbytes == sizeof(w->buffer) && !flush(w))
            return false;
    }
    return true;
}

static bool put_number(struct writer *w, unsigned nbytes, uint64_t number)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < nbytes; i++)
        bytes[i] = (uint8_t)(number >> 8 * i);
    return put(w, bytes, nbytes);
}

static bool put_string(struct writer *w, const char *text)
{
    return put_number(w, 8, strlen(text)) && put(w, text, strlen(text));
}

static bool put_key(struct writer *w, unsigned key)
{
    return put_string(w, set[key].key) && put_number(w, 4, VALUE_U32) && put_number(w, 4, set[key].value);
}

struct source {
    const struct mxq_gguf *header;
    int fd;
    const char *name;
};

static bool copy_keys(struct writer *w, const struct source *source, uint64_t from, uint64_t to)
{
    uint8_t bytes[4096];

    while (from < to) {
        const size_t n = to - from < sizeof(bytes) ? (size_t)(to - from) : sizeof(bytes);
        if (!mxq_pread_all(source->fd, bytes, n, from, source->name, w->fault) || !put(w, bytes, n))
            return false;
        from += n;
    }
    return true;
}

/* The one that comes first in the file, from an offset on; MXQ_GGUF_NUM_KEYS: none. */
static unsigned next_place(const struct mxq_gguf *header, uint64_t from)
{
    unsigned next = MXQ_GGUF_NUM_KEYS;

    for (unsigned k = 0; k < MXQ_GGUF_NUM_KEYS; k++) {
        const struct mxq_gguf_place *place = &header->place[k];
        if (place->nbytes != 0 && place->offset >= from &&
            (next == MXQ_GGUF_NUM_KEYS || place->offset < header->place[next].offset))
            next = k;
    }
    return next;
}

static bool put_changed_keys(struct writer *w, const struct source *source)
{
    const struct mxq_gguf *header = source->header;
    uint64_t from = MXQ_GGUF_KEYS_OFFSET;
    unsigned k;

    while ((k = next_place(header, from)) != MXQ_GGUF_NUM_KEYS) {
        if (!copy_keys(w, source, from, header->place[k].offset) || !put_key(w, k))
            return false;
        from = header->place[k].offset + header->place[k].nbytes;
    }
    if (!copy_keys(w, source, from, MXQ_GGUF_KEYS_OFFSET + header->keys_nbytes))
        return false;
    for (k = 0; k < MXQ_GGUF_NUM_KEYS; k++)
        if (header->place[k].nbytes == 0 && !put_key(w, k))
            return false;
    return true;
}

static bool put_keys(struct writer *w, const struct source *source, const struct mxq_gguf *out)
{
    for (size_t i = 0; i < out->ntensors; i++)
        if (out->tensors[i].type != source->header->tensors[i].type)
            return put_changed_keys(w, source);
    return copy_keys(w, source, MXQ_GGUF_KEYS_OFFSET, MXQ_GGUF_KEYS_OFFSET + source->header->keys_nbytes);
}

static bool put_tensor(struct writer *w, const struct mxq_gguf *out, const struct mxq_gguf_tensor *tensor)
{
    bool good = put_string(w, tensor->name) && put_number(w, 4, tensor->rank);

    for (unsigned d = 0; d < tensor->rank; d++)
        good = good && put_number(w, 8, tensor->shape[d]);
    return good && put_number(w, 4, tensor->type) && put_number(w, 8, tensor->offset - out->data_offset);
}

static bool put_header(struct writer *w, const struct source *source, const struct mxq_gguf *out)
{
    bool good = put(w, "GGUF", 4) && put_number(w, 4, out->version) && put_number(w, 8, out->ntensors) &&
                put_number(w, 8, out->nkeys) && put_keys(w, source, out);

    for (size_t i = 0; good && i < out->ntensors; i++)
        good = put_tensor(w, out, &out->tensors[i]);
    while (good && w->at + w->nbytes < out->data_offset)
        good = put_number(w, 1, 0);
    return good && flush(w);
}

bool mxq_write_gguf_header(const struct mxq_gguf *source, int source_fd, const char *source_name,
                           const struct mxq_gguf *out, int fd, const char *name, struct mxq_fault *fault)
{
    const struct source from = {source, source_fd, source_name};
    struct writer *w = calloc(1, sizeof(*w));
    bool good;

    if (w == NULL) {
        mxq_set_fault(fault, name, ENOMEM, "cannot write");
        return false;
    }
    w->fd = fd;
    w->name = name;
    w->fault = fault;
    good = put_header(w, &from, out);
    free(w);
    return good;
}
