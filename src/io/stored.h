/*
 * stored.h - a result that is read back: its buffers, and what is known about them
 *
 * A stored result is found by its manifest (OUT.json), by the prefix OUT, or by a folder that holds one manifest, where an
 * archive counts as a folder (ARCHIVE.npz/OUT); or it is
 * a single buffer, or a pair of data and scales, in .npy, .npz members, raw and gzip files, of which the caller knows the
 * layout. Whatever it was, afterwards it has a plan like the one it was made by.
 */
#ifndef MXQ_STORED_H
#define MXQ_STORED_H

#include "io/fault.h"
#include "io/manifest.h"
#include "io/tensor.h"
#include "kernels/mxq.h"

/* What the caller says about it. Zero it, set path, and the three ints to -1 where nothing is known. */
struct mxq_stored_spec {
    const char *path;
    const char *scale_path; /* the scales that belong to the data in path, when there is no manifest; or NULL */
    int buffer;             /* what a single buffer is; -1: its name tells, or else rowwise_data */
    int data_layout;        /* of buffers without a manifest; -1: linear */
    int scale_layout;       /* the same */
    bool high_first;        /* the same: the even element is in the high nibble of data */
    bool has_matrix;        /* rows and cols of the original matrix are given, for padded buffers without a manifest */
    uint64_t rows;
    uint64_t cols;
    /*
     * member, raw shape and so on; bytes is set by mxq_open_stored(). With has_matrix, the stored shape of a raw buffer (and
     * of its raw scales) is what follows from matrix and layout, and the one here is not looked at.
     */
    struct mxq_source_options source;
};

/* One result. Read it freely. */
struct mxq_stored {
    bool has_manifest;
    struct mxq_manifest manifest; /* with a manifest; otherwise zero but for tensor.shape: rows, cols */
    struct mxq_plan plan; /* rows, cols, layouts and extents; wanted: the directions of which there is a buffer */
    bool present[MXQ_NUM_BUFFERS];
    bool high_first[MXQ_NUM_BUFFERS]; /* how the file has it; mxq_read_share() gives the low nibble first always */

    struct mxq_stored_buffer *buffers; /* internal */
    uint64_t manifest_device;          /* internal */
    uint64_t manifest_inode;           /* internal */
};

/*
 * Opens it. A manifest whose files are not there or have other sizes is a fault. On failure *stored is NULL.
 */
bool mxq_open_stored(const struct mxq_stored_spec *spec, struct mxq_stored **stored, struct mxq_fault *fault);

/*
 * Reads the share of a panel (mxq_locate_share() with stored->plan) without gaps. Several threads may do so at once.
 */
bool mxq_read_share(const struct mxq_stored *stored, enum mxq_buffer buffer, const struct mxq_share *share,
                    uint8_t *bytes, struct mxq_fault *fault);

/* Compares the checksums of all buffers with those in the manifest, which takes a pass over them. Without one: true. */
bool mxq_verify_stored(const struct mxq_stored *stored, struct mxq_fault *fault);

/* To be called after the last share: that nobody has written to the files meanwhile. */
bool mxq_finish_stored(const struct mxq_stored *stored, struct mxq_fault *fault);

/* Whether path names one of the files that the result is read from, so that an output would replace it. */
bool mxq_stored_has_file(const struct mxq_stored *stored, const char *path);

/* Accepts NULL. */
void mxq_close_stored(struct mxq_stored *stored);

/*
 * The path of the manifest that path means: itself when it ends in .json, PATH.json when there is such a file, or the
 * one .json in the folder or archive PATH. False without a fault when path is something else; with one (*text != '\0') when it is a
 * folder without a manifest or with several, or an archive with several.
 */
bool mxq_find_manifest(const char *path, char *manifest_path, size_t nbytes, struct mxq_fault *fault);

#endif /* MXQ_STORED_H */
