/* readback.c - reading results: the options that say how, and panels of one */
#include "cli/readback.h"

#include "cli/msg.h"
#include "cli/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------- options */

const char *mxq_nibbles_word(unsigned value)
{
    static const char *const words[] = {"low", "high", NULL};

    return words[value];
}

void mxq_init_readback_request(struct mxq_readback_request *request)
{
    memset(request, 0, sizeof(*request));
    request->direction = -1;
    request->spec.buffer = -1;
    request->spec.data_layout = -1;
    request->spec.scale_layout = -1;
    request->spec.source.warn = mxq_warn_user;
}

/* One word for both, or one for the data and one for the scales. */
static bool parse_layouts(struct mxq_readback_request *request, const char *text)
{
    const char *comma = strchr(text, ',');
    char first[32] = "";
    unsigned data, scale;

    if (comma != NULL && (size_t)(comma - text) < sizeof(first))
        memcpy(first, text, (size_t)(comma - text));
    if (!mxq_parse_word("--from-layout", comma != NULL ? first : text, mxq_layout_word, &data) ||
        !mxq_parse_word("--from-layout", comma != NULL ? comma + 1 : text, mxq_layout_word, &scale))
        return false;
    request->spec.data_layout = (int)data;
    request->spec.scale_layout = (int)scale;
    return true;
}

static bool parse_matrix(struct mxq_readback_request *request, const char *text)
{
    uint64_t shape[MXQ_MAX_RANK];
    unsigned rank;

    if (!mxq_parse_shape("--shape", text, shape, MXQ_MAX_RANK, &rank))
        return false;
    if (rank != 2) {
        mxq_print_error("--shape: \"%s\" is not the rows and columns of a matrix, as in 128x512", text);
        return false;
    }
    request->spec.has_matrix = true;
    request->spec.rows = shape[0];
    request->spec.cols = shape[1];
    return true;
}

bool mxq_parse_readback_option(struct mxq_readback_request *request, int opt, const char *value)
{
    unsigned word;

    request->is_bare |= opt != MXQ_OPT_NO_VERIFY;
    request->has_layout |= opt == MXQ_OPT_SCALE_FILE || opt == MXQ_OPT_FROM_LAYOUT || opt == MXQ_OPT_FROM_NIBBLES;
    switch (opt) {
    case MXQ_OPT_SCALE_FILE:
        request->spec.scale_path = value;
        return true;
    case MXQ_OPT_FROM_LAYOUT:
        return parse_layouts(request, value);
    case MXQ_OPT_FROM_NIBBLES:
        if (!mxq_parse_word("--from-nibbles", value, mxq_nibbles_word, &word))
            return false;
        request->spec.high_first = word == 1;
        return true;
    case MXQ_OPT_MATRIX:
        return parse_matrix(request, value);
    case MXQ_OPT_RAW:
        return request->spec.source.raw = true;
    default: /* MXQ_OPT_NO_VERIFY */
        return request->no_verify = true;
    }
}

/* ---------------------------------------------------------------------------------------------- opening */

/* A single buffer whose name says so is scales; with scales beside it, it is data. */
static bool names_scale(const struct mxq_stored_spec *spec)
{
    const char *slash = strrchr(spec->path, '/');

    return spec->scale_path == NULL && strstr(slash != NULL ? slash + 1 : spec->path, "scale") != NULL;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* The bytes of a raw buffer are no use for telling what it is, so its name must. */
static bool names_raw(const char *path)
{
    return ends_with(path, ".raw") || ends_with(path, ".raw.gz") || ends_with(path, ".bin");
}

static void complete_spec(struct mxq_readback_request *request, const char *path)
{
    struct mxq_stored_spec *spec = &request->spec;

    spec->path = path;
    spec->source.raw |= names_raw(path);
    if (request->direction == MXQ_ROWWISE)
        spec->buffer = names_scale(spec) ? MXQ_ROWWISE_SCALE : MXQ_ROWWISE_DATA;
    else if (request->direction == MXQ_COLUMNWISE)
        spec->buffer = names_scale(spec) ? MXQ_COLUMNWISE_SCALE : MXQ_COLUMNWISE_DATA;
}

/* Reports what nobody should believe. */
static bool check_readback(const struct mxq_readback_request *request, const struct mxq_stored *stored,
                           struct mxq_fault *fault)
{
    if (!stored->has_manifest || !request->is_bare)
        return request->no_verify || mxq_verify_stored(stored, fault);
    mxq_set_fault(
        fault, request->spec.path, 0,
        "has a manifest: --scale-file, --from-layout, --from-nibbles, --shape and --raw are for files without");
    return false;
}

bool mxq_open_readback(struct mxq_readback_request *request, const char *path, struct mxq_readback *readback,
                       struct mxq_fault *fault)
{
    memset(readback, 0, sizeof(*readback));
    complete_spec(request, path);
    if (request->spec.source.raw && !request->spec.has_matrix) {
        mxq_set_fault(fault, path, 0, "a raw file needs the rows and columns of its matrix (--shape)");
        return false;
    }
    if (!mxq_open_stored(&request->spec, &readback->stored, fault))
        return false;
    if (check_readback(request, readback->stored, fault))
        return true;
    mxq_close_readback(readback);
    return false;
}

void mxq_close_readback(struct mxq_readback *readback)
{
    mxq_close_stored(readback->stored);
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        free(readback->bytes[b]);
    memset(readback, 0, sizeof(*readback));
}

/* ---------------------------------------------------------------------------------------------- directions */

static enum mxq_buffer data_of(enum mxq_direction direction)
{
    return direction == MXQ_ROWWISE ? MXQ_ROWWISE_DATA : MXQ_COLUMNWISE_DATA;
}

static enum mxq_buffer scale_of(enum mxq_direction direction)
{
    return direction == MXQ_ROWWISE ? MXQ_ROWWISE_SCALE : MXQ_COLUMNWISE_SCALE;
}

bool mxq_readback_has(const struct mxq_readback *readback, enum mxq_direction direction)
{
    return readback->stored->present[data_of(direction)] || readback->stored->present[scale_of(direction)];
}

bool mxq_readback_has_both(const struct mxq_readback *readback, enum mxq_direction direction)
{
    return readback->stored->present[data_of(direction)] && readback->stored->present[scale_of(direction)];
}

bool mxq_check_direction(const struct mxq_readback *readback, enum mxq_direction direction, const char *path,
                         struct mxq_fault *fault)
{
    if (mxq_readback_has(readback, direction))
        return true;
    mxq_set_fault(
        fault, path, 0,
        "has no %s buffers, and they cannot be made from the others: their blocks run along the other axis, so "
        "the matrix must be quantized again",
        mxq_direction_name(direction));
    return false;
}

bool mxq_choose_direction(const struct mxq_readback *readback, int asked, const char *path,
                          enum mxq_direction *direction, struct mxq_fault *fault)
{
    *direction = MXQ_ROWWISE;
    if (asked >= 0)
        *direction = (enum mxq_direction)asked;
    else if (!mxq_readback_has_both(readback, MXQ_ROWWISE) && mxq_readback_has(readback, MXQ_COLUMNWISE))
        *direction = MXQ_COLUMNWISE;
    if (!mxq_check_direction(readback, *direction, path, fault))
        return false;
    if (mxq_readback_has_both(readback, *direction))
        return true;
    mxq_set_fault(
        fault, path, 0, "has %s, but no %s%s",
        mxq_buffer_name(readback->stored->present[data_of(*direction)] ? data_of(*direction) : scale_of(*direction)),
        mxq_buffer_name(readback->stored->present[data_of(*direction)] ? scale_of(*direction) : data_of(*direction)),
        readback->stored->has_manifest ? "" : " (see --scale-file)");
    return false;
}

/* ---------------------------------------------------------------------------------------------- panels */

static bool read_buffer(struct mxq_readback *readback, const struct mxq_panel *panel, enum mxq_buffer b,
                        struct mxq_fault *fault)
{
    struct mxq_share share;
    uint64_t nbytes;

    if (mxq_locate_share(&readback->stored->plan, panel, b, &share) != MXQ_OK) {
        mxq_set_fault(fault, NULL, 0, "bug: a panel was refused");
        return false;
    }
    nbytes = share.nruns * share.run_nbytes;
    if (nbytes > readback->room[b]) {
        free(readback->bytes[b]);
        readback->bytes[b] = malloc(nbytes);
        readback->room[b] = readback->bytes[b] != NULL ? nbytes : 0;
        if (readback->bytes[b] == NULL) {
            mxq_set_fault(fault, NULL, ENOMEM, "cannot read the result");
            return false;
        }
    }
    readback->origin[b] = (struct mxq_origin){readback->bytes[b], share.run_nbytes};
    return mxq_read_share(readback->stored, b, &share, readback->bytes[b], fault);
}

bool mxq_read_direction(struct mxq_readback *readback, const struct mxq_panel *panel, enum mxq_direction direction,
                        struct mxq_fault *fault)
{
    const enum mxq_buffer data = data_of(direction);
    const enum mxq_buffer scale = scale_of(direction);

    return (!readback->stored->present[data] || read_buffer(readback, panel, data, fault)) &&
           (!readback->stored->present[scale] || read_buffer(readback, panel, scale, fault));
}
