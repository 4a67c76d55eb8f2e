/*
 * result.h - the buffers of one quantized tensor, on their way into files
 *
 * A result is up to four buffers (mxq.h) and a manifest. Shares of panels are written in any order, by any number of
 * threads; mxq_finish_result() then has every buffer in the files' format, and the files are those of an outset, so they
 * appear when the outset is committed. Formats:
 *
 *     MXQ_FORMAT_NPY   PREFIX.rowwise_data.npy ..., a version 1.0 header and uint8 in C order
 *     MXQ_FORMAT_RAW   PREFIX.rowwise_data.raw ..., the bytes alone
 *     MXQ_FORMAT_NPZ   PREFIX.npz, a zip archive of rowwise_data.npy ...
 *
 * With a collection there are no files: what would be the files of MXQ_FORMAT_NPY become members of its archive.
 *
 * With gzip each .npy or .raw is compressed (name + ".gz"), and the members of an .npz are deflated. A buffer that goes
 * to standard output has no file. Bytes that cannot be put in place (compressed ones, pipes) are collected in
 * unlinked temporary files first. The same result makes the same files, whenever and wherever: no times, no names inside.
 */
#ifndef MXQ_RESULT_H
#define MXQ_RESULT_H

#include "io/collection.h"
#include "io/outfile.h"
#include "kernels/mxq.h"

enum mxq_format {
    MXQ_FORMAT_NPY,
    MXQ_FORMAT_RAW,
    MXQ_FORMAT_NPZ,
    MXQ_NUM_FORMATS
};

/* "npy", "raw", "npz"; NULL out of range. */
const char *mxq_format_name(enum mxq_format format);

struct mxq_result_options {
    enum mxq_format format;
    bool gzip;
    int only;              /* an enum mxq_buffer: write this one alone; -1: all that the plan has */
    bool to_stdout;        /* write it to standard output instead of a file; not with .npz, and only one */
    const char *spool_dir; /* folder for bytes that are collected first; NULL: $TMPDIR, else /tmp */
    struct mxq_collection
        *collection; /* with MXQ_FORMAT_NPY: take the buffers as members; it must outlive the result */
};

struct mxq_result;

/* What is in the files once a result is finished. */
struct mxq_result_buffer {
    bool present;
    const char
        *path; /* its file; of an .npz, the archive; in a collection, PREFIX.rowwise_data.npy; NULL: standard output */
    const char *member; /* its name in an archive of its own, or NULL */
    uint64_t nbytes;    /* of the buffer alone */
    uint32_t crc;       /* CRC-32 of the buffer alone */
};

/*
 * Creates the files for the buffers that plan has, in outset (not used when a buffer goes to standard output). prefix is
 * the OUT of the command line; what follows its last slash begins the names of members of a collection. The result refers to plan and outset; they must outlive it.
 */
bool mxq_begin_result(const struct mxq_result_options *options, const struct mxq_plan *plan, const char *prefix,
                      struct mxq_outset *outset, struct mxq_result **result, struct mxq_fault *fault);

/* Whether this buffer is to be written; mxq_write_share() ignores the others. */
bool mxq_result_wants(const struct mxq_result *result, enum mxq_buffer buffer);

/* Writes the share of a panel: nruns * run_nbytes bytes without gaps. May be called by several threads at once. */
bool mxq_write_share(struct mxq_result *result, enum mxq_buffer buffer, const struct mxq_share *share,
                     const uint8_t *bytes, struct mxq_fault *fault);

/*
 * Completes the files (or standard output) and computes the checksums. Once, after all shares. Standard output is written
 * with write(2) and stays open.
 */
bool mxq_finish_result(struct mxq_result *result, struct mxq_fault *fault);

/* Of a finished result. */
const struct mxq_result_buffer *mxq_get_result_buffer(const struct mxq_result *result, enum mxq_buffer buffer);

/* Accepts NULL. Closes and frees; files are the outset's. */
void mxq_free_result(struct mxq_result *result);

#endif /* MXQ_RESULT_H */
