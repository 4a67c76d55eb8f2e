/*
 * safetensors.h - .safetensors files: headers, read under the rules of the reference implementation, and written
 *
 * A file is the length of its header in 8 bytes, little-endian; the header, a JSON object, which may be padded with spaces;
 * and the bytes of the tensors, which cover the rest of the file without gaps and without overlap.
 */
#ifndef MXQ_SAFETENSORS_H
#define MXQ_SAFETENSORS_H

#include "io/fault.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The element types, in the reference's order, which is that of their alignment. */
enum mxq_st_dtype {
    MXQ_ST_BOOL,
    MXQ_ST_F4,
    MXQ_ST_F6_E2M3,
    MXQ_ST_F6_E3M2,
    MXQ_ST_U8,
    MXQ_ST_I8,
    MXQ_ST_F8_E5M2,
    MXQ_ST_F8_E4M3,
    MXQ_ST_F8_E8M0,
    MXQ_ST_F8_E4M3FNUZ,
    MXQ_ST_F8_E5M2FNUZ,
    MXQ_ST_I16,
    MXQ_ST_U16,
    MXQ_ST_F16,
    MXQ_ST_BF16,
    MXQ_ST_I32,
    MXQ_ST_U32,
    MXQ_ST_F32,
    MXQ_ST_C64,
    MXQ_ST_F64,
    MXQ_ST_I64,
    MXQ_ST_U64,
    MXQ_ST_NUM_DTYPES
};

/* "BF16"; NULL for a value out of range. */
const char *mxq_st_dtype_name(enum mxq_st_dtype dtype);
/* Of one element. */
unsigned mxq_st_dtype_nbits(enum mxq_st_dtype dtype);

/* The limits: the first is the reference's, the others are ours, so that a hostile header costs little. */
#define MXQ_ST_MAX_HEADER_NBYTES 100000000
#define MXQ_ST_MAX_METADATA_NBYTES 16777216
#define MXQ_ST_MAX_ENTRY_NBYTES 65536
#define MXQ_ST_MAX_RANK 16

struct mxq_st_tensor {
    char *name; /* UTF-8; it may hold slashes, "..", control characters */
    enum mxq_st_dtype dtype;
    unsigned rank;
    uint64_t shape[MXQ_ST_MAX_RANK];
    uint64_t offset; /* of its first byte, from the start of the FILE */
    uint64_t nbytes;
};

struct mxq_st_header {
    size_t ntensors;
    struct mxq_st_tensor *tensors; /* by offset; those without bytes at one offset by name */
    json_t *metadata;              /* __metadata__: an object of strings, or NULL */
    uint64_t data_offset;          /* where tensors begin */
    uint64_t nbytes;               /* of the whole file */
};

/* Whether the file that begins with these bytes can be nothing else: a header length in its limits, then '{'. */
bool mxq_is_st_start(const uint8_t *bytes, size_t nbytes, uint64_t file_nbytes);

/*
 * Reads the header of the regular file fd, from its first byte on; name is for faults. Everything that it says has been
 * checked against the size of the file. What is allocated is at most a few times the header's length.
 */
bool mxq_read_st_header(int fd, const char *name, struct mxq_st_header **header, struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_free_st_header(struct mxq_st_header *header);

/* An empty header to add tensors to; NULL when there is no memory. */
struct mxq_st_header *mxq_create_st_header(void);

/* Adds a tensor; name and shape are copied. False: no memory, a rank or a size that is too large. */
bool mxq_add_st_tensor(struct mxq_st_header *header, const char *name, enum mxq_st_dtype dtype, unsigned rank,
                       const uint64_t shape[], struct mxq_fault *fault);

/*
 * Puts the tensors into the reference's order (descending alignment, then name) and sets offset, nbytes, data_offset and
 * header->nbytes. file is for faults: two tensors of one name, a header above its limit.
 */
bool mxq_lay_out_st_header(struct mxq_st_header *header, const char *file, struct mxq_fault *fault);

/* The data_offset bytes with which a laid out file begins, to be freed. */
bool mxq_pack_st_header(const struct mxq_st_header *header, uint8_t **bytes, struct mxq_fault *fault);

/* The bytes of a tensor of this dtype and shape. False: too many, or elements that do not fill whole bytes. */
bool mxq_count_st_bytes(enum mxq_st_dtype dtype, unsigned rank, const uint64_t shape[], uint64_t *nbytes);

/* *duplicate: a name that two tensors have, or NULL. False: no memory. */
bool mxq_find_st_duplicate(const struct mxq_st_header *header, const char **duplicate);

/* The tensor of this name, or NULL. Takes time in proportion to ntensors. */
const struct mxq_st_tensor *mxq_find_st_tensor(const struct mxq_st_header *header, const char *name);

#endif /* MXQ_SAFETENSORS_H */
