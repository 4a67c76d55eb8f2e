/* gguf.c - headers of GGUF files, read */
#include "io/gguf.h"

#include "io/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "GGUF"
#define MAX_NAME_NBYTES 65535
#define DEFAULT_ALIGNMENT 32
/* A description has a name of one byte and no axis at least. */
#define MIN_TENSOR_NBYTES 25
#define MIN_KEY_NBYTES 14

/* ---- types */

struct type {
    const char *name;
    unsigned nelems; /* of a block */
    unsigned nbytes;
};

static const struct type types[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},        [2] = {"Q4_0", 32, 18},      [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},     [8] = {"Q8_0", 32, 34},      [10] = {"Q2_K", 256, 84},
    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},  [13] = {"Q5_K", 256, 176},   [14] = {"Q6_K", 256, 210},
    [16] = {"IQ2_XXS", 256, 66}, [17] = {"IQ2_XS", 256, 74}, [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},
    [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110}, [22] = {"IQ2_S", 256, 82},   [23] = {"IQ4_XS", 256, 136},
    [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},       [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},
    [28] = {"F64", 1, 8},        [29] = {"IQ1_M", 256, 56},  [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},
    [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},   [40] = {"NVFP4", 64, 36},    [41] = {"Q1_0", 128, 18},
};

static const struct type *get_type(uint32_t type)
{
    return type < sizeof(types) / sizeof(types[0]) && types[type].name != NULL ? &types[type] : NULL;
}

const char *mxq_gguf_type_name(uint32_t type)
{
    return get_type(type) != NULL ? get_type(type)->name : NULL;
}

/* ---- a reader of small things, which never goes past the end of the file */

struct reader {
    int fd;
    const char *name;
    uint64_t nbytes; /* of the file */
    uint64_t at;
    uint64_t buffer_at; /* what the buffer begins with */
    size_t buffered;
    uint8_t buffer[65536];
    struct mxq_fault *fault;
};

static bool refuse(struct reader *r, const char *why)
{
    mxq_set_fault(r->fault, r->name, 0, "%s", why);
    return false;
}

static bool refuse_cut(struct reader *r)
{
    return refuse(r, "its header goes past its end: not a GGUF file, or cut short");
}

static bool skip(struct reader *r, uint64_t nbytes)
{
    if (nbytes > r->nbytes - r->at)
        return refuse_cut(r);
    r->at += nbytes;
    return true;
}

static bool take(struct reader *r, void *bytes, size_t nbytes)
{
    uint8_t *to = bytes;

    if (nbytes > r->nbytes - r->at)
        return refuse_cut(r);
    while (nbytes > 0) {
        size_t n;
        if (r->at < r->buffer_at || r->at >= r->buffer_at + r->buffered) {
            const uint64_t left = r->nbytes - r->at;
            const size_t size = left < sizeof(r->buffer) ? (size_t)left : sizeof(r->buffer);
            if (!mxq_pread_all(r->fd, r->buffer, size, r->at, r->name, r->fault))
                return false;
            r->buffer_at = r->at;
            r->buffered = size;
        }
        n = r->buffered - (size_t)(r->at - r->buffer_at);
        if (n > nbytes)
            n = nbytes;
        memcpy(to, r->buffer + (r->at - r->buffer_at), n);
        to += n;
        r->at += n;
        nbytes -= n;
    }
    return true;
}

static bool take_number(struct reader *r, unsigned nbytes, uint64_t *number)
{
    uint8_t bytes[8];

    if (!take(r, bytes, nbytes))
        return false;
    *number = 0;
    for (unsigned i = 0; i < nbytes; i++)
        *number |= (uint64_t)bytes[i] << 8 * i;
    return true;
}

/* A name or a key, to be freed. */
static bool take_name(struct reader *r, const char *what, char **name)
{
    uint64_t length;

    *name = NULL;
    if (!take_number(r, 8, &length))
        return false;
    if (length == 0 || length > MAX_NAME_NBYTES) {
        mxq_set_fault(r->fault, r->name, 0, "a name of a %s has %llu bytes, not 1 to %d", what,
                      (unsigned long long)length, MAX_NAME_NBYTES);
        return false;
    }
    if (length > r->nbytes - r->at)
        return refuse_cut(r);
    *name = malloc((size_t)length + 1);
    if (*name == NULL) {
        mxq_set_fault(r->fault, r->name, ENOMEM, "cannot read");
        return false;
    }
    (*name)[length] = '\0';
    if (take(r, *name, (size_t)length) && memchr(*name, '\0', (size_t)length) == NULL)
        return true;
    if (strlen(*name) < length)
        mxq_set_fault(r->fault, r->name, 0, "a name of a %s has a byte 0", what);
    free(*name);
    *name = NULL;
    return false;
}

/* ---- keys */

enum value_type {
    VALUE_U32 = 4,
    VALUE_STRING = 8,
    VALUE_ARRAY = 9,
    NUM_VALUE_TYPES = 13
};

/* Bytes of a value; 0 for strings and arrays. */
static const uint8_t value_nbytes[NUM_VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
static const bool is_integer[NUM_VALUE_TYPES] = {
    [0] = true, [1] = true, [2] = true, [3] = true, [4] = true, [5] = true, [10] = true, [11] = true};

static bool skip_string(struct reader *r)
{
    uint64_t length;

    return take_number(r, 8, &length) && skip(r, length);
}

static bool skip_array(struct reader *r)
{
    uint64_t type, n;

    if (!take_number(r, 4, &type) || !take_number(r, 8, &n))
        return false;
    if (type >= NUM_VALUE_TYPES || type == VALUE_ARRAY)
        return refuse(r, "an array of its metadata has elements of no type that is known");
    if (type != VALUE_STRING)
        return n > (r->nbytes - r->at) / value_nbytes[type] ? refuse_cut(r) : skip(r, n * value_nbytes[type]);
    if (n > (r->nbytes - r->at) / 8)
        return refuse_cut(r);
    while (n-- > 0)
        if (!skip_string(r))
            return false;
    return true;
}

static bool refuse_key(struct reader *r, const char *key, const char *why)
{
    mxq_set_fault(r->fault, r->name, 0, "key \"%.200s\": %s", key, why);
    return false;
}

/* The keys that say how to read the file. */
static bool heed_key(struct reader *r, struct mxq_gguf *gguf, const char *key, uint64_t type, uint64_t value)
{
    if (strcmp(key, "general.alignment") == 0) {
        if (type != VALUE_U32 || value == 0 || (value & (value - 1)) != 0)
            return refuse_key(r, key, "not a power of two of type UINT32");
        gguf->alignment = value;
    }
    if (strcmp(key, "split.count") == 0 && is_integer[type] && value > 1)
        return refuse(r, "one part of a split model: join the parts first (llama-gguf-split --merge)");
    return true;
}

static bool note_place(struct reader *r, struct mxq_gguf *gguf, const char *key, uint64_t begin)
{
    static const char *const keys[] = {"general.file_type", "general.quantization_version"};

    for (unsigned k = 0; k < MXQ_GGUF_NUM_KEYS; k++) {
        if (strcmp(key, keys[k]) != 0)
            continue;
        if (gguf->place[k].nbytes != 0)
            return refuse_key(r, key, "its metadata has it twice");
        gguf->place[k] = (struct mxq_gguf_place){begin, r->at - begin};
    }
    return true;
}

static bool read_value(struct reader *r, struct mxq_gguf *gguf, const char *key)
{
    uint64_t type, value;

    if (!take_number(r, 4, &type))
        return false;
    if (type >= NUM_VALUE_TYPES)
        return refuse_key(r, key, "its value is of no type that is known");
    if (type == VALUE_ARRAY)
        return skip_array(r);
    if (type == VALUE_STRING)
        return skip_string(r);
    return take_number(r, value_nbytes[type], &value) && heed_key(r, gguf, key, type, value);
}

static bool read_keys(struct reader *r, struct mxq_gguf *gguf)
{
    for (uint64_t i = 0; i < gguf->nkeys; i++) {
        const uint64_t begin = r->at;
        char *key;
        bool good = take_name(r, "key", &key);
        good = good && read_value(r, gguf, key) && note_place(r, gguf, key, begin);
        free(key);
        if (!good)
            return false;
    }
    gguf->keys_nbytes = r->at - MXQ_GGUF_KEYS_OFFSET;
    return true;
}

/* ---- tensors */

static bool refuse_tensor(struct reader *r, const struct mxq_gguf_tensor *tensor, const char *why)
{
    mxq_set_fault(r->fault, r->name, 0, "tensor \"%.200s\": %s", tensor->name, why);
    return false;
}

/* Rows are whole blocks, and the product fits. */
static bool count_bytes(struct mxq_gguf_tensor *tensor)
{
    const struct type *type = get_type(tensor->type);
    uint64_t nbytes = tensor->shape[0] / type->nelems;

    if (tensor->shape[0] % type->nelems != 0 || __builtin_mul_overflow(nbytes, type->nbytes, &nbytes))
        return false;
    for (unsigned d = 1; d < MXQ_GGUF_MAX_RANK; d++)
        if (__builtin_mul_overflow(nbytes, tensor->shape[d], &nbytes))
            return false;
    tensor->nbytes = nbytes;
    return nbytes <= INT64_MAX;
}

static bool read_tensor(struct reader *r, struct mxq_gguf_tensor *tensor)
{
    uint64_t rank, type;

    if (!take_name(r, "tensor", &tensor->name) || !take_number(r, 4, &rank))
        return false;
    if (rank > MXQ_GGUF_MAX_RANK)
        return refuse_tensor(r, tensor, "it has more than 4 axes");
    tensor->rank = (unsigned)rank;
    for (unsigned d = 0; d < MXQ_GGUF_MAX_RANK; d++) {
        tensor->shape[d] = 1;
        if (d < rank && !take_number(r, 8, &tensor->shape[d]))
            return false;
    }
    if (!take_number(r, 4, &type) || !take_number(r, 8, &tensor->offset))
        return false;
    tensor->type = (uint32_t)type;
    if (get_type(tensor->type) == NULL) {
        mxq_set_fault(r->fault, r->name, 0, "tensor \"%.200s\": type %llu is not known", tensor->name,
                      (unsigned long long)type);
        return false;
    }
    if (!count_bytes(tensor))
        return refuse_tensor(r, tensor, "its shape is too large, or its rows do not fill whole blocks of its type");
    return true;
}

static bool read_tensors(struct reader *r, struct mxq_gguf *gguf, uint64_t ntensors)
{
    size_t room = 0;

    while (gguf->ntensors < ntensors) {
        /* It grows with what has been read, whatever the number says. */
        if (gguf->ntensors == room) {
            struct mxq_gguf_tensor *grown;
            room = room > 0 ? 2 * room : 64;
            grown = realloc(gguf->tensors, room * sizeof(*grown));
            if (grown == NULL) {
                mxq_set_fault(r->fault, r->name, ENOMEM, "cannot read");
                return false;
            }
            gguf->tensors = grown;
        }
        memset(&gguf->tensors[gguf->ntensors], 0, sizeof(*gguf->tensors));
        if (!read_tensor(r, &gguf->tensors[gguf->ntensors++]))
            return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool check_names(struct reader *r, const struct mxq_gguf *gguf)
{
    const char **names = malloc((gguf->ntensors + 1) * sizeof(*names));
    const char *twice = NULL;

    if (names == NULL) {
        mxq_set_fault(r->fault, r->name, ENOMEM, "cannot read");
        return false;
    }
    for (size_t i = 0; i < gguf->ntensors; i++)
        names[i] = gguf->tensors[i].name;
    qsort(names, gguf->ntensors, sizeof(*names), compare_names);
    for (size_t i = 1; i < gguf->ntensors && twice == NULL; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            twice = names[i];
    if (twice != NULL)
        mxq_set_fault(r->fault, r->name, 0, "tensor \"%.200s\": its header has this name twice", twice);
    free(names);
    return twice == NULL;
}

static uint64_t pad(uint64_t nbytes, uint64_t alignment)
{
    return (nbytes + alignment - 1) & ~(alignment - 1);
}

/* As ggml's reader has it: one after the other, each padded; the padding of the last one may be missing. */
static bool check_offsets(struct reader *r, struct mxq_gguf *gguf)
{
    uint64_t end = pad(r->at, gguf->alignment), used = r->at;

    if (gguf->ntensors > 0)
        gguf->data_offset = end;
    for (size_t i = 0; i < gguf->ntensors; i++) {
        struct mxq_gguf_tensor *tensor = &gguf->tensors[i];
        if (tensor->offset != end - gguf->data_offset)
            return refuse_tensor(r, tensor, "it does not begin where the one before it ends");
        if (end > r->nbytes || tensor->nbytes > r->nbytes - end)
            return refuse_tensor(r, tensor, "it ends after the file: the file has been cut short");
        tensor->offset = end;
        used = end + tensor->nbytes;
        end = pad(used, gguf->alignment);
    }
    if (gguf->ntensors == 0)
        gguf->data_offset = used;
    if (r->nbytes > end) {
        mxq_set_fault(r->fault, r->name, 0, "%llu bytes after the last tensor belong to none",
                      (unsigned long long)(r->nbytes - end));
        return false;
    }
    return true;
}

/* ---- the whole */

static bool read_start(struct reader *r, struct mxq_gguf *gguf, uint64_t *ntensors)
{
    char magic[4];
    uint64_t version;

    if (r->nbytes < MXQ_GGUF_KEYS_OFFSET)
        return refuse(r, "not a GGUF file: too short");
    if (!take(r, magic, sizeof(magic)) || !take_number(r, 4, &version) || !take_number(r, 8, ntensors) ||
        !take_number(r, 8, &gguf->nkeys))
        return false;
    if (memcmp(magic, MAGIC, sizeof(magic)) != 0)
        return refuse(r, "not a GGUF file: wrong magic");
    if (version != 0 && (version & 0xffff) == 0)
        return refuse(r, "big-endian GGUF is not supported");
    if (version != 2 && version != 3) {
        mxq_set_fault(r->fault, r->name, 0, "version %llu of GGUF is not supported, 2 and 3 are",
                      (unsigned long long)version);
        return false;
    }
    gguf->version = (uint32_t)version;
    if (*ntensors > r->nbytes / MIN_TENSOR_NBYTES || gguf->nkeys > r->nbytes / MIN_KEY_NBYTES)
        return refuse(r, "it has more tensors or keys than bytes for them: not a GGUF file, or cut short");
    return true;
}

bool mxq_is_gguf(const char *path)
{
    struct stat status;
    char magic[4];
    bool is_gguf = false;
    int fd;

    /* Opening anything else may wait or have effects. */
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return false;
    is_gguf = pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && memcmp(magic, MAGIC, sizeof(magic)) == 0;
    close(fd);
    return is_gguf;
}

bool mxq_read_gguf(int fd, const char *name, struct mxq_gguf *gguf, struct mxq_fault *fault)
{
    struct reader *r = calloc(1, sizeof(*r));
    struct stat status;
    uint64_t ntensors;
    bool good = false;

    memset(gguf, 0, sizeof(*gguf));
    gguf->alignment = DEFAULT_ALIGNMENT;
    if (r == NULL || fstat(fd, &status) != 0) {
        mxq_set_fault(fault, name, r == NULL ? ENOMEM : errno, "cannot read");
    } else {
        r->fd = fd;
        r->name = name;
        r->fault = fault;
        gguf->nbytes = r->nbytes = (uint64_t)status.st_size;
        good = read_start(r, gguf, &ntensors) && read_keys(r, gguf) && read_tensors(r, gguf, ntensors) &&
               check_names(r, gguf) && check_offsets(r, gguf);
    }
    free(r);
    if (!good)
        mxq_free_gguf(gguf);
    return good;
}

void mxq_free_gguf(struct mxq_gguf *gguf)
{
    for (size_t i = 0; i < gguf->ntensors; i++)
        free(gguf->tensors[i].name);
    free(gguf->tensors);
    gguf->tensors = NULL;
    gguf->ntensors = 0;
}
