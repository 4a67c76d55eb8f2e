/*
 * source_internal.h - what the readers share among themselves
 *
 * Bytes come from streams, which stand on each other: the input file; what is inside a gzip; a member of an archive. A
 * format (npy, npz, raw) finds tensors in the stream of a source. Whatever is not said here is said in tensor.h.
 */
#ifndef MXQ_SOURCE_INTERNAL_H
#define MXQ_SOURCE_INTERNAL_H

#include "io/tensor.h"

#include <sys/types.h>
#include <time.h>

/* What is read at once where the size is free. */
#define MXQ_CHUNK_NBYTES ((size_t)1 << 20)

/* Enough to tell all formats apart. */
#define MXQ_PEEK_NBYTES 8

static inline uint64_t mxq_smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---------------------------------------------------------------------------------------------- stream.c */

/* Bytes from the first to the last. */
struct mxq_stream {
    const char *name; /* for faults */

    /* Stores from 1 to nbytes bytes and returns how many; 0 at the end, -1 on a fault. nbytes is not 0. */
    int64_t (*read)(struct mxq_stream *stream, void *bytes, size_t nbytes, struct mxq_fault *fault);
    void *state;

    bool has_nbytes;  /* the length of the whole stream is known: */
    uint64_t nbytes;  /* this */
    bool can_skip;    /* read() goes by fetched, so that bytes can be left out without reading them */
    bool has_checks;  /* whether the bytes were right is known only at the end */
    bool has_garbage; /* set at the end when the file goes on with something else */

    uint64_t position; /* bytes given out */
    uint64_t fetched;  /* bytes that read() has returned: position, and what was peeked at */
    uint8_t peeked[MXQ_PEEK_NBYTES];
    size_t npeeked;
};

/* Shows the next bytes without taking them. Fewer than MXQ_PEEK_NBYTES only at the end. */
bool mxq_peek_stream(struct mxq_stream *stream, struct mxq_fault *fault);

/* Takes nbytes bytes; *got is less only at the end. */
bool mxq_read_stream(struct mxq_stream *stream, void *bytes, uint64_t nbytes, uint64_t *got, struct mxq_fault *fault);

/* The same without keeping them. With nbytes UINT64_MAX: to the end. */
bool mxq_skip_stream(struct mxq_stream *stream, uint64_t nbytes, uint64_t *got, struct mxq_fault *fault);

/* ---------------------------------------------------------------------------------------------- input.c */

/* The file that was opened. Its stream refers to it, so it must stay where it is. */
struct mxq_input {
    int fd;
    bool is_stdin;
    bool is_regular;
    uint64_t base; /* where it starts in the file: standard input may have been read from before */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec mtime;
    struct mxq_stream stream;
};

/*
 * Opens path, or another descriptor of the file that fd, unless negative, has open. name is for faults and must outlive the
 * input. After a failure the input can be closed.
 */
bool mxq_open_input(struct mxq_input *input, const char *path, int fd, const char *name, struct mxq_fault *fault);

/* False, with a fault, when somebody has written to a regular file since it was opened. */
bool mxq_check_input(const struct mxq_input *input, struct mxq_fault *fault);

void mxq_close_input(struct mxq_input *input);

/* ---------------------------------------------------------------------------------------------- gz.c */

bool mxq_is_gz(const uint8_t *magic, size_t nbytes);

/* Makes outer a stream of what the gzip stream inner holds. inner must stay where it is until outer is closed. */
bool mxq_open_gz(struct mxq_stream *outer, struct mxq_stream *inner, struct mxq_fault *fault);

/* Accepts a zeroed stream. */
void mxq_close_gz(struct mxq_stream *outer);

/* ---------------------------------------------------------------------------------------------- formats */

struct mxq_source_format {
    const char *name;
    const char *gz_name; /* when it came out of a gzip; NULL: it cannot */
    bool (*probe)(const uint8_t *magic, size_t nbytes);
    bool (*open)(struct mxq_source *source, struct mxq_fault *fault); /* may be NULL */

    /*
     * Finds the next tensor: fills in source->tensor and leaves source->stream at its first byte. Returns what
     * mxq_next_tensor() returns. The length of the stream is checked by the caller.
     */
    int (*next)(struct mxq_source *source, struct mxq_fault *fault);
    bool (*has_many)(const struct mxq_source *source); /* NULL: never */
    void (*close)(struct mxq_source *source);          /* may be NULL; also after open failed */
};

extern const struct mxq_source_format mxq_npy_format;
extern const struct mxq_source_format mxq_npz_format;
extern const struct mxq_source_format mxq_raw_format;

/* Reads the header of a .npy and fills in tensor, except for its name. */
bool mxq_read_npy_header(struct mxq_stream *stream, const struct mxq_source_options *options, struct mxq_tensor *tensor,
                         struct mxq_fault *fault);

/* ---------------------------------------------------------------------------------------------- flatten.c */

/* Sets nelems and nbytes from dtype and shape, and clears fortran_order where it makes no difference. */
bool mxq_measure_tensor(struct mxq_tensor *tensor, const char *name, struct mxq_fault *fault);

/* ---------------------------------------------------------------------------------------------- source.c */

struct mxq_archive; /* npz.c */

struct mxq_source {
    struct mxq_source_options options;
    char *member; /* options.member points here */
    const char *name;
    char *path; /* name points here unless it is standard input */

    struct mxq_input input;
    struct mxq_stream gz;        /* when the input is a gzip */
    struct mxq_archive *archive; /* when it is an .npz */
    struct mxq_stream *stream;   /* that the current tensor is in */
    const struct mxq_source_format *format;
    bool is_gz;
    unsigned ntensors; /* found so far */

    bool has_tensor;
    bool is_finished;
    struct mxq_tensor tensor;
    uint64_t tensor_start; /* position of its first byte in its stream */
    uint64_t stream_left;  /* bytes of the tensor that have not been taken from the stream */
    bool is_seekable;      /* the bytes are in data_fd at data_offset */
    int data_fd;
    uint64_t data_offset;

    int spool_fd; /* -1: none */
    uint32_t spool_crc;
    const void *map; /* of the spool, for a Fortran-order tensor that is not empty */
};

/* The stream is the input file itself, unwrapped, and can be read anywhere. */
bool mxq_source_is_plain(const struct mxq_source *source);

/* Takes bytes of the current tensor from its stream; to run out of them is a fault. */
bool mxq_take_bytes(struct mxq_source *source, void *bytes, uint64_t nbytes, struct mxq_fault *fault);

#endif /* MXQ_SOURCE_INTERNAL_H */
