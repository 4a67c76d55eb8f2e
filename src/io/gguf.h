/*
 * gguf.h - GGUF files, llama.cpp's: headers, read under the rules of ggml's own reader, and written with other types
 *
 * A file is 24 bytes (magic, version, the numbers of tensors and of keys), the keys with their values, the descriptions of
 * the tensors, and the bytes of the tensors, each from a multiple of general.alignment on. Everything is little-endian.
 */
#ifndef MXQ_GGUF_H
#define MXQ_GGUF_H

#include "io/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MXQ_GGUF_MAX_RANK 4

/* Types of elements that are not only copied, by ggml's numbers. */
enum mxq_gguf_type {
    MXQ_GGUF_F32 = 0,
    MXQ_GGUF_F16 = 1,
    MXQ_GGUF_BF16 = 30,
    MXQ_GGUF_MXFP4 = 39
};

/* "BF16"; NULL for a type whose size is not known. */
const char *mxq_gguf_type_name(uint32_t type);

struct mxq_gguf_tensor {
    char *name; /* without NUL, otherwise anything */
    unsigned rank;
    uint64_t shape[MXQ_GGUF_MAX_RANK]; /* as in the file: that of a row first; 1 from rank on */
    uint32_t type;
    uint64_t offset; /* of its first byte, from the start of the FILE */
    uint64_t nbytes;
};

/* The keys that a quantized file has anew. */
enum mxq_gguf_key {
    MXQ_GGUF_FILE_TYPE,            /* general.file_type: 38, MXFP4 */
    MXQ_GGUF_QUANTIZATION_VERSION, /* general.quantization_version: 2 */
    MXQ_GGUF_NUM_KEYS
};

/* Where a key and its value are in the file; nbytes is 0 when it has none. */
struct mxq_gguf_place {
    uint64_t offset;
    uint64_t nbytes;
};

struct mxq_gguf {
    uint32_t version; /* 2 or 3 */
    uint64_t nkeys;
    uint64_t keys_nbytes; /* they begin at MXQ_GGUF_KEYS_OFFSET */
    struct mxq_gguf_place place[MXQ_GGUF_NUM_KEYS];
    uint64_t alignment;
    size_t ntensors;
    struct mxq_gguf_tensor *tensors; /* as the file has them, which is by offset, too */
    uint64_t data_offset;            /* where tensors begin */
    uint64_t nbytes;                 /* of the whole file */
};

#define MXQ_GGUF_KEYS_OFFSET 24

/* Whether path is a regular file that begins as GGUF files do. */
bool mxq_is_gguf(const char *path);

/*
 * Reads the header of the regular file fd; name is for faults. Everything that it says has been checked against the size of
 * the file. What is allocated is at most a few times what the descriptions of the tensors take in it. gguf is to be freed
 * when it was good, and may be.
 */
bool mxq_read_gguf(int fd, const char *name, struct mxq_gguf *gguf, struct mxq_fault *fault);
void mxq_free_gguf(struct mxq_gguf *gguf);

/*
 * The header of a file with the same tensors, of which those with is_quantized[i] become MXFP4; their rows are whole blocks.
 * When there are any, both keys are set: where they are, or after the others. out is to be freed.
 */
bool mxq_lay_out_gguf(const struct mxq_gguf *source, const bool is_quantized[], struct mxq_gguf *out,
                      struct mxq_fault *fault);

/* Writes the out->data_offset bytes before the tensors: keys from source_fd, copied but for the two. */
bool mxq_write_gguf_header(const struct mxq_gguf *source, int source_fd, const char *source_name,
                           const struct mxq_gguf *out, int fd, const char *name, struct mxq_fault *fault);

#endif /* MXQ_GGUF_H */
