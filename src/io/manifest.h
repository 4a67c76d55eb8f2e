/*
 * manifest.h - OUT.json: what was made, how, from what
 *
 * Whatever reads a result reads its manifest, so that nobody has to remember a layout. mxfp4q(5), MANIFEST, specifies
 * the file. A manifest says nothing about when or where it was made: the same job makes the same bytes.
 */
#ifndef MXQ_MANIFEST_H
#define MXQ_MANIFEST_H

#include "io/fault.h"
#include "io/result.h"
#include "io/tensor.h"
#include "kernels/mxq.h"

#include <jansson.h>

#define MXQ_MANIFEST_VERSION 1

struct mxq_manifest_buffer {
    bool present;
    const char *file;   /* relative to the manifest's folder; NULL: standard output */
    const char *member; /* in an archive, or NULL */
    enum mxq_layout layout;
    bool high_first; /* data only: the even element is in the high nibble, as no quantizer here makes it */
    struct mxq_extent extent;
    uint32_t crc;
};

/* Strings belong to whoever filled it in: the caller, or after mxq_load_manifest() the manifest. */
struct mxq_manifest {
    const char *tool_version;
    const char *input_file;
    const char *input_format;
    struct mxq_tensor tensor; /* its name is the input's member */
    uint32_t input_crc;
    uint64_t rows;
    uint64_t cols;
    const char *profile;
    struct mxq_recipe recipe;
    bool has_hadamard_seed;
    uint64_t hadamard_seed; /* what the signs were drawn from */
    bool nonfinite_allowed; /* --nonfinite profile */
    bool nonfinite;         /* there were infinities or NaNs */
    uint8_t pad_fill;
    enum mxq_format format;
    bool gzip;
    struct mxq_manifest_buffer buffer[MXQ_NUM_BUFFERS];
    const char *device;
    const char *kernel;

    void *owner; /* internal */
};

#define MXQ_SIGNS_TEXT_NBYTES 33

/* The signs of a transform as hexadecimal digits: 8 when all words are the same, else 32. */
void mxq_format_signs(const uint32_t signs[MXQ_HADAMARD_NWORDS], char text[MXQ_SIGNS_TEXT_NBYTES]);

/* The word for the layout of a buffer: "linear", "aiter"; "linear-high", "aiter-high" with the high nibble first. */
const char *mxq_manifest_layout(const struct mxq_manifest_buffer *buffer);

/*
 * A name as a JSON string, or null. A name may have any bytes and JSON has UTF-8 only: in one that is not, bytes from 0x80
 * on become '?'.
 */
json_t *mxq_pack_name(const char *name);

/* The recipe of a manifest, with the profile that it is of; NULL when there is no memory. */
json_t *mxq_pack_recipe(const char *profile, const struct mxq_recipe *recipe);

/* The fields of a profile's recipe as manifests have them. NULL when there is no memory. */
json_t *mxq_pack_profile(const struct mxq_profile *profile);

/* The text of a manifest, to be freed; NULL when there is no memory. */
char *mxq_format_manifest(const struct mxq_manifest *manifest);

/*
 * Reads one. A file that is no manifest, or of a newer version, is a fault; a manifest that contradicts itself (sizes
 * that do not follow from shape and layout) is one too. path may go through an archive (archive_folder.h).
 */
bool mxq_load_manifest(const char *path, struct mxq_manifest *manifest, struct mxq_fault *fault);
void mxq_free_manifest(struct mxq_manifest *manifest);

#endif /* MXQ_MANIFEST_H */
