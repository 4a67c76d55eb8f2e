/*
 * tensor.h - tensors in files: what they are, and reading them
 *
 * A source is an opened input file; it yields one tensor (.npy, raw) or several (.npz). Formats are recognised by their
 * first bytes, never by the name; a raw file is whatever the caller gives a shape for. gzip around a .npy or a raw file
 * is undone on the way.
 *
 *     mxq_open_source()
 *     while (mxq_next_tensor() == 1)
 *         mxq_flatten_tensor(), then mxq_read_panel() for panels that tile the matrix, then mxq_finish_tensor()
 *     mxq_close_source()
 */
#ifndef MXQ_TENSOR_H
#define MXQ_TENSOR_H

#include "io/fault.h"
#include "kernels/mxq.h"

#include <stdbool.h>
#include <stdint.h>

#define MXQ_MAX_RANK 32

/* One tensor. Its elements are stored in C order (last axis fastest) or in Fortran order (first axis fastest). */
struct mxq_tensor {
    /*
     * The member of an archive without ".npy"; NULL for a file that holds one tensor. The file's word: it may hold
     * slashes, "..", control characters.
     */
    const char *name;
    enum mxq_dtype dtype; /* means nothing when the source was opened for bytes */
    unsigned elem_nbytes;
    unsigned rank;
    uint64_t shape[MXQ_MAX_RANK];
    bool fortran_order; /* never set where both orders are the same */
    bool swap_bytes;    /* stored in the other byte order than this machine's */
    uint64_t nelems;
    uint64_t nbytes;
};

/* "little" or "big": how the file stores the tensor, whatever this machine is. */
static inline const char *mxq_tensor_byte_order(const struct mxq_tensor *tensor)
{
    return (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__) != tensor->swap_bytes ? "big" : "little";
}

struct mxq_source_options {
    bool bytes;     /* tensors are of bytes, as results are, and not of numbers; dtype is not looked at */
    bool raw;       /* the file has no header: dtype, rank and shape describe it */
    bool has_dtype; /* dtype is given: needed for raw, and for .npy with 16-bit integers */
    enum mxq_dtype dtype;
    unsigned rank;
    uint64_t shape[MXQ_MAX_RANK];
    uint64_t offset;    /* raw: bytes to skip at the start (after decompression) */
    bool has_offset;    /* raw: offset was given, so that bytes may follow the tensor (see partial) */
    bool partial;       /* raw: the file may be longer than the tensor */
    bool plain;         /* raw: not compressed, even when it begins like a gzip */
    const char *member; /* .npz: only this one, with or without ".npy"; NULL means all, which must all be .npy */
    bool has_fd; /* the file is open already as fd, from its first byte on: path is only its name, and fd stays open */
    int fd;
    const char *spool_dir; /* folder for the copy of an .npz that comes from a pipe (NULL: $TMPDIR, else /tmp) */
    mxq_warn_func warn;
    void *warn_context;
};

struct mxq_source;

/*
 * Opens path, "-" being standard input. On failure *source is NULL. The options are copied, except for what is behind
 * warn_context.
 */
bool mxq_open_source(const struct mxq_source_options *options, const char *path, struct mxq_source **source,
                     struct mxq_fault *fault);

/* The name of the format, for a report: "npy", "npz", "raw", "npy.gz", "raw.gz". */
const char *mxq_source_format(const struct mxq_source *source);

/*
 * The file itself, to find out whether an output would overwrite it. False when there is none (a pipe).
 */
bool mxq_source_is_file(const struct mxq_source *source, uint64_t *device, uint64_t *inode);

/* Whether it may hold more than one tensor: an archive of several members, of which none was asked for. */
bool mxq_source_has_many(const struct mxq_source *source);

/*
 * Moves to the next tensor: 1 and *tensor (the source's; valid until the next call), 0 when there is none, -1 on a
 * fault, after which the source can only be closed. The header has been checked against the size of the file where the
 * file has one. Nothing was allocated because of it, so nbytes may still be anything up to 2^63 - 1 in a pipe or a gzip.
 */
int mxq_next_tensor(struct mxq_source *source, const struct mxq_tensor **tensor, struct mxq_fault *fault);

/*
 * Splits the shape before axis: rows is the product of the sizes before it, cols of those from it on. axis is from 0 to
 * rank, and counts from the end when negative; MXQ_FLATTEN_LAST means the last one (rank 1: one row; rank 0: 1 x 1).
 * False: no such axis. (The products were checked for overflow when the header was read.)
 */
#define MXQ_FLATTEN_LAST INT32_MIN
bool mxq_flatten_tensor(const struct mxq_tensor *tensor, int32_t axis, uint64_t *rows, uint64_t *cols);

/*
 * Whether panels may be read in any order and by several threads at once. Otherwise (a pipe, gzip, an archive member)
 * they must be full rows of a C-order tensor, read one at a time, from the first to the last.
 */
bool mxq_tensor_is_seekable(const struct mxq_source *source);

/*
 * Makes the current tensor seekable if it is not: copies it into an unlinked temporary file in the folder dir (NULL:
 * $TMPDIR, else /tmp). A Fortran-order tensor must be spooled before panels are read, seekable or not.
 */
bool mxq_spool_tensor(struct mxq_source *source, const char *dir, struct mxq_fault *fault);

/*
 * Reads a panel of the flattened tensor into panel->rows x panel->cols elements without gaps, in the byte order of the
 * machine; elements is aligned to the element size. cols is the flattened width. When the panel is full rows of a
 * C-order tensor and crc is not NULL, *crc is the CRC-32 of its bytes as they are in the file.
 */
bool mxq_read_panel(struct mxq_source *source, uint64_t cols, const struct mxq_panel *panel, void *elements,
                    uint32_t *crc, struct mxq_fault *fault);

/* The CRC-32 of all bytes of a seekable tensor as they are in the file: another pass over it, unless it was spooled. */
bool mxq_checksum_tensor(struct mxq_source *source, uint32_t *crc, struct mxq_fault *fault);

/*
 * To be called after the last panel: reads what is left of a stream and checks its integrity (gzip and zip checksums;
 * that nobody has written to the file), and warns about bytes after the tensor. Of a plain pipe only one byte after the
 * tensor is read. That a compressed or piped raw file is longer than its shape is found out here.
 */
bool mxq_finish_tensor(struct mxq_source *source, struct mxq_fault *fault);

/* Accepts NULL. */
void mxq_close_source(struct mxq_source *source);

#endif /* MXQ_TENSOR_H */
