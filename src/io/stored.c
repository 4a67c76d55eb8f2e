/* stored.c - opening a result for reading, and reading shares of its buffers */
#include "io/stored.h"

#include "io/archive_folder.h"
#include "io/checksum.h"
#include "io/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_NBYTES 4096

/* Rows of a Fortran-order buffer that are turned into C order at once. */
#define TURN_ROWS 256

/* What is read at once for a checksum. */
#define CHUNK_NBYTES ((uint64_t)1 << 20)

/* Where the bytes of one buffer are: a source, or a copy of it in C order. */
struct mxq_stored_buffer {
    struct mxq_source *source;
    const struct mxq_tensor *tensor;
    int copy_fd; /* -1: none */
    char *path;
};

/* ---------------------------------------------------------------------------------------------- finding */

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static bool is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool find_in_folder(const char *path, char *manifest_path, size_t nbytes, struct mxq_fault *fault)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    unsigned nfound = 0;

    if (folder == NULL) {
        mxq_set_fault(fault, path, errno, "cannot open");
        return false;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.' || !ends_with(entry->d_name, ".json"))
            continue;
        nfound++;
        snprintf(manifest_path, nbytes, "%s/%s", path, entry->d_name);
    }
    closedir(folder);
    if (nfound == 1)
        return true;
    mxq_set_fault(fault, path, 0, nfound == 0 ? "a folder without a manifest" : "a folder with several manifests");
    return false;
}

/* In the archive that the path goes through. */
static bool find_member(const char *archive, const char *path, const char *member, char *manifest_path, size_t nbytes,
                        struct mxq_fault *fault)
{
    const char *suffix = ends_with(member, ".json") ? "" : ".json";
    const size_t start = (size_t)(member - path);

    return snprintf(manifest_path, nbytes, "%s%s", path, suffix) < (int)nbytes &&
           mxq_archive_has(archive, manifest_path + start, fault);
}

/* An archive is asked for its one manifest, as a folder is; but it may also hold anything else. */
static bool find_in_archive(const char *path, char *manifest_path, size_t nbytes, struct mxq_fault *fault)
{
    char member[PATH_NBYTES];
    const int nfound = mxq_count_archive_manifests(path, member, sizeof(member), fault);

    if (nfound > 1)
        mxq_set_fault(fault, path, 0, "an archive with several manifests: name one result in it, as in ARCHIVE/NAME");
    return nfound == 1 && snprintf(manifest_path, nbytes, "%s/%s", path, member) < (int)nbytes;
}

bool mxq_find_manifest(const char *path, char *manifest_path, size_t nbytes, struct mxq_fault *fault)
{
    char archive[PATH_NBYTES];
    const char *member;

    fault->text[0] = '\0';
    if (strcmp(path, "-") == 0)
        return false;
    if (is_folder(path))
        return find_in_folder(path, manifest_path, nbytes, fault);
    if (mxq_split_archive_path(path, archive, sizeof(archive), &member) && mxq_is_archive(archive))
        return find_member(archive, path, member, manifest_path, nbytes, fault);
    if (mxq_is_archive(path))
        return find_in_archive(path, manifest_path, nbytes, fault);
    if (ends_with(path, ".json"))
        return snprintf(manifest_path, nbytes, "%s", path) < (int)nbytes;
    return access(path, F_OK) != 0 && snprintf(manifest_path, nbytes, "%s.json", path) < (int)nbytes &&
           access(manifest_path, F_OK) == 0;
}

/* ---------------------------------------------------------------------------------------------- one buffer */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Copies a spooled Fortran-order buffer of rows x cols into a file in C order. */
static bool turn_buffer(struct mxq_stored_buffer *buffer, struct mxq_fault *fault)
{
    const uint64_t rows = buffer->tensor->shape[0];
    const uint64_t cols = buffer->tensor->shape[1];
    uint8_t *bytes = malloc(smaller(rows, TURN_ROWS) * cols);
    bool good = bytes != NULL;

    if (!good)
        mxq_set_fault(fault, buffer->path, ENOMEM, "cannot read");
    if (good)
        good = (buffer->copy_fd = mxq_open_spool(NULL, fault)) >= 0;
    for (uint64_t row = 0; row < rows && good; row += TURN_ROWS) {
        const struct mxq_panel panel = {row, 0, smaller(TURN_ROWS, rows - row), cols};
        good = mxq_read_panel(buffer->source, cols, &panel, bytes, NULL, fault) &&
               mxq_write_all(buffer->copy_fd, bytes, panel.rows * cols, "temporary file", fault);
    }
    free(bytes);
    return good;
}

/* Opens the file and makes it readable anywhere. */
static bool open_buffer(struct mxq_stored_buffer *buffer, const struct mxq_source_options *options, const char *path,
                        struct mxq_fault *fault)
{
    int found;

    buffer->path = strdup(path);
    if (buffer->path == NULL) {
        mxq_set_fault(fault, path, ENOMEM, "cannot open");
        return false;
    }
    if (!mxq_open_source(options, path, &buffer->source, fault))
        return false;
    found = mxq_next_tensor(buffer->source, &buffer->tensor, fault);
    if (found == 0)
        mxq_set_fault(fault, path, 0, "has no buffer");
    if (found != 1)
        return false;
    if (buffer->tensor->rank != 2) {
        mxq_set_fault(fault, path, 0, "a buffer of rank %u, not 2", buffer->tensor->rank);
        return false;
    }
    if (!buffer->tensor->fortran_order && mxq_tensor_is_seekable(buffer->source))
        return true;
    /* A stream has been read to its end, and only now it is known whether it was whole. */
    if (!mxq_spool_tensor(buffer->source, NULL, fault) || !mxq_finish_tensor(buffer->source, fault))
        return false;
    return !buffer->tensor->fortran_order || turn_buffer(buffer, fault);
}

static void close_buffer(struct mxq_stored_buffer *buffer)
{
    mxq_close_source(buffer->source);
    if (buffer->copy_fd >= 0)
        close(buffer->copy_fd);
    free(buffer->path);
}

/* ---------------------------------------------------------------------------------------------- with a manifest */

static bool check_size(const struct mxq_stored *stored, enum mxq_buffer b, struct mxq_fault *fault)
{
    const struct mxq_stored_buffer *buffer = &stored->buffers[b];
    const struct mxq_extent *extent = &stored->plan.extent[b];

    if (buffer->tensor->shape[0] == extent->rows && buffer->tensor->shape[1] == extent->cols)
        return true;
    mxq_set_fault(fault, buffer->path, 0,
                  "its shape is %" PRIu64 " x %" PRIu64 ", its manifest says %" PRIu64 " x %" PRIu64,
                  buffer->tensor->shape[0], buffer->tensor->shape[1], extent->rows, extent->cols);
    return false;
}

/* How a file of a result is read: as it was written. */
static void describe_file(const struct mxq_stored *stored, enum mxq_buffer b, const struct mxq_stored_spec *spec,
                          struct mxq_source_options *options)
{
    memset(options, 0, sizeof(*options));
    options->bytes = true;
    options->warn = spec->source.warn;
    options->warn_context = spec->source.warn_context;
    options->member = stored->manifest.buffer[b].member;
    options->raw = stored->manifest.format == MXQ_FORMAT_RAW;
    options->plain = !stored->manifest.gzip; /* codes may look like the start of a gzip */
    options->rank = 2;
    options->shape[0] = stored->plan.extent[b].rows;
    options->shape[1] = stored->plan.extent[b].cols;
}

static bool open_listed(struct mxq_stored *stored, enum mxq_buffer b, const char *manifest_path,
                        const struct mxq_stored_spec *spec, struct mxq_fault *fault)
{
    const char *slash = strrchr(manifest_path, '/');
    const int folder_nbytes = slash != NULL ? (int)(slash - manifest_path + 1) : 0;
    const char *file = stored->manifest.buffer[b].file;
    struct mxq_source_options options;
    const char *member;
    char archive[PATH_NBYTES];
    char path[PATH_NBYTES];

    if (file == NULL || strchr(file, '/') != NULL) {
        mxq_set_fault(fault, manifest_path, 0, "its %s has no file beside it", mxq_buffer_name(b));
        return false;
    }
    snprintf(path, sizeof(path), "%.*s%s", folder_nbytes, manifest_path, file);
    describe_file(stored, b, spec, &options);
    stored->present[b] = true;
    stored->high_first[b] = stored->manifest.buffer[b].high_first;
    if (mxq_split_archive_path(path, archive, sizeof(archive), &member)) {
        options.member = member;
        return open_buffer(&stored->buffers[b], &options, archive, fault) && check_size(stored, b, fault);
    }
    return open_buffer(&stored->buffers[b], &options, path, fault) && check_size(stored, b, fault);
}

static bool plan_listed(struct mxq_stored *stored, const char *path, struct mxq_fault *fault)
{
    const struct mxq_manifest *m = &stored->manifest;
    struct mxq_options options;

    mxq_init_options(&options, NULL);
    options.recipe = m->recipe;
    options.pad_fill = m->pad_fill;
    options.wanted[MXQ_ROWWISE] = m->buffer[MXQ_ROWWISE_DATA].present || m->buffer[MXQ_ROWWISE_SCALE].present;
    options.wanted[MXQ_COLUMNWISE] = m->buffer[MXQ_COLUMNWISE_DATA].present || m->buffer[MXQ_COLUMNWISE_SCALE].present;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        options.layout[b] = m->buffer[b].present ? m->buffer[b].layout : MXQ_LINEAR;
    if (mxq_make_plan(&stored->plan, &options, m->rows, m->cols) == MXQ_OK)
        return true;
    if (options.wanted[MXQ_ROWWISE] || options.wanted[MXQ_COLUMNWISE])
        mxq_set_fault(fault, path, 0, "not a usable manifest: its Hadamard transform does not fit its matrix");
    else
        mxq_set_fault(fault, path, 0, "a manifest without buffers");
    return false;
}

static bool open_manifest(struct mxq_stored *stored, const char *path, const struct mxq_stored_spec *spec,
                          struct mxq_fault *fault)
{
    struct stat st;

    if (!mxq_load_manifest(path, &stored->manifest, fault))
        return false;
    stored->has_manifest = true;
    if (stat(path, &st) == 0) {
        stored->manifest_device = (uint64_t)st.st_dev;
        stored->manifest_inode = (uint64_t)st.st_ino;
    }
    if (!plan_listed(stored, path, fault))
        return false;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (stored->manifest.buffer[b].present && !open_listed(stored, b, path, spec, fault))
            return false;
    return true;
}

/* ---------------------------------------------------------------------------------------------- without one */

/* What the name says: w.columnwise_scale.npy, or a member of that name. */
static enum mxq_buffer guess_buffer(const struct mxq_stored_spec *spec)
{
    const char *slash = strrchr(spec->path, '/');
    const char *name = slash != NULL ? slash + 1 : spec->path;

    if (spec->source.member != NULL)
        name = spec->source.member;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (strstr(name, mxq_buffer_name(b)) != NULL)
            return b;
    return strstr(name, "scale") != NULL ? MXQ_ROWWISE_SCALE : MXQ_ROWWISE_DATA;
}

static bool is_scale(enum mxq_buffer buffer)
{
    return buffer == MXQ_ROWWISE_SCALE || buffer == MXQ_COLUMNWISE_SCALE;
}

static bool is_columnwise(enum mxq_buffer buffer)
{
    return buffer == MXQ_COLUMNWISE_DATA || buffer == MXQ_COLUMNWISE_SCALE;
}

/* The logical matrix of a buffer's direction, from the stored shape; padding cannot be told from values. */
static bool infer_matrix(const struct mxq_stored *stored, enum mxq_buffer b, uint64_t *rows, uint64_t *cols)
{
    const uint64_t *shape = stored->buffers[b].tensor->shape;

    *rows = shape[0];
    return !__builtin_mul_overflow(shape[1], (uint64_t)(is_scale(b) ? MXQ_BLOCK_NELEMS : 2), cols);
}

/* The plan, from the matrix that is given, or else from the buffer, which has been opened then. */
static bool plan_alone(struct mxq_stored *stored, enum mxq_buffer b, const struct mxq_stored_spec *spec,
                       struct mxq_fault *fault)
{
    struct mxq_options options;
    uint64_t rows = is_columnwise(b) ? spec->cols : spec->rows;
    uint64_t cols = is_columnwise(b) ? spec->rows : spec->cols;

    if (!spec->has_matrix && !infer_matrix(stored, b, &rows, &cols)) {
        mxq_set_fault(fault, spec->path, 0, "too large");
        return false;
    }
    mxq_init_options(&options, NULL);
    options.wanted[MXQ_ROWWISE] = !is_columnwise(b);
    options.wanted[MXQ_COLUMNWISE] = is_columnwise(b);
    for (unsigned i = 0; i < MXQ_NUM_BUFFERS; i++) {
        const int layout = is_scale(i) ? spec->scale_layout : spec->data_layout;
        options.layout[i] = layout < 0 ? MXQ_LINEAR : (enum mxq_layout)layout;
    }
    if (mxq_make_plan(&stored->plan, &options, is_columnwise(b) ? cols : rows, is_columnwise(b) ? rows : cols) !=
        MXQ_OK) {
        mxq_set_fault(fault, spec->path, 0, "too large");
        return false;
    }
    stored->manifest.tensor.rank = 2;
    stored->manifest.tensor.shape[0] = stored->manifest.rows = stored->plan.rows;
    stored->manifest.tensor.shape[1] = stored->manifest.cols = stored->plan.cols;
    return true;
}

static bool check_alone(const struct mxq_stored *stored, enum mxq_buffer b, struct mxq_fault *fault)
{
    const struct mxq_stored_buffer *buffer = &stored->buffers[b];
    const struct mxq_extent *extent = &stored->plan.extent[b];

    if (buffer->tensor->shape[0] == extent->rows && buffer->tensor->shape[1] == extent->cols)
        return true;
    mxq_set_fault(fault, buffer->path, 0,
                  "its shape is %" PRIu64 " x %" PRIu64 "; %s of a matrix of %" PRIu64 " x %" PRIu64
                  " in layout %s is %" PRIu64 " x %" PRIu64,
                  buffer->tensor->shape[0], buffer->tensor->shape[1], mxq_buffer_name(b), stored->plan.rows,
                  stored->plan.cols, mxq_layout_name(stored->plan.options.layout[b]), extent->rows, extent->cols);
    return false;
}

/* Opens a buffer of a result that has been planned, so that a raw one has its shape from there. */
static bool open_planned(struct mxq_stored *stored, enum mxq_buffer b, const struct mxq_source_options *given,
                         const char *path, struct mxq_fault *fault)
{
    struct mxq_source_options options = *given;

    options.rank = 2;
    options.shape[0] = stored->plan.extent[b].rows;
    options.shape[1] = stored->plan.extent[b].cols;
    stored->present[b] = true;
    return open_buffer(&stored->buffers[b], &options, path, fault) && check_alone(stored, b, fault);
}

/* The plan needs the buffer, or the buffer the plan. */
static bool open_first(struct mxq_stored *stored, enum mxq_buffer b, const struct mxq_source_options *options,
                       const struct mxq_stored_spec *spec, struct mxq_fault *fault)
{
    if (spec->has_matrix)
        return plan_alone(stored, b, spec, fault) && open_planned(stored, b, options, spec->path, fault);
    stored->present[b] = true;
    return open_buffer(&stored->buffers[b], options, spec->path, fault) && plan_alone(stored, b, spec, fault) &&
           check_alone(stored, b, fault);
}

static bool open_alone(struct mxq_stored *stored, const struct mxq_stored_spec *spec, struct mxq_fault *fault)
{
    const enum mxq_buffer b = spec->buffer >= 0 ? (enum mxq_buffer)spec->buffer : guess_buffer(spec);
    const enum mxq_buffer scale = is_columnwise(b) ? MXQ_COLUMNWISE_SCALE : MXQ_ROWWISE_SCALE;
    struct mxq_source_options options = spec->source;

    options.bytes = true;
    stored->high_first[b] = spec->high_first && !is_scale(b);
    if (!open_first(stored, b, &options, spec, fault))
        return false;
    if (spec->scale_path == NULL || is_scale(b))
        return true;
    options.raw = options.raw && spec->has_matrix;
    options.member = NULL;
    return open_planned(stored, scale, &options, spec->scale_path, fault);
}

/* ---------------------------------------------------------------------------------------------- opening */

static bool open_any(struct mxq_stored *stored, const struct mxq_stored_spec *spec, struct mxq_fault *fault)
{
    char manifest_path[PATH_NBYTES];

    if (mxq_find_manifest(spec->path, manifest_path, sizeof(manifest_path), fault))
        return open_manifest(stored, manifest_path, spec, fault);
    return fault->text[0] == '\0' && open_alone(stored, spec, fault);
}

bool mxq_open_stored(const struct mxq_stored_spec *spec, struct mxq_stored **stored, struct mxq_fault *fault)
{
    struct mxq_stored *opened = calloc(1, sizeof(*opened));

    *stored = NULL;
    if (opened != NULL)
        opened->buffers = calloc(MXQ_NUM_BUFFERS, sizeof(*opened->buffers));
    if (opened == NULL || opened->buffers == NULL) {
        free(opened);
        mxq_set_fault(fault, spec->path, ENOMEM, "cannot open");
        return false;
    }
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        opened->buffers[b].copy_fd = -1;
    if (!open_any(opened, spec, fault)) {
        mxq_close_stored(opened);
        return false;
    }
    *stored = opened;
    return true;
}

/* ---------------------------------------------------------------------------------------------- reading */

static void swap_nibbles(uint8_t *bytes, uint64_t nbytes)
{
    for (uint64_t i = 0; i < nbytes; i++)
        bytes[i] = (uint8_t)(bytes[i] << 4 | bytes[i] >> 4);
}

/* A share as it is in the file. */
static bool read_runs(const struct mxq_stored *stored, enum mxq_buffer b, const struct mxq_share *share, uint8_t *bytes,
                      struct mxq_fault *fault)
{
    const struct mxq_stored_buffer *buffer = &stored->buffers[b];
    /* Seen as rows of one pitch each, a share is a rectangle. */
    struct mxq_panel rectangle = {0, 0, share->nruns, share->run_nbytes};

    if (buffer->copy_fd < 0) {
        rectangle.row0 = share->offset / share->pitch_nbytes;
        rectangle.col0 = share->offset % share->pitch_nbytes;
        return mxq_read_panel(buffer->source, share->pitch_nbytes, &rectangle, bytes, NULL, fault);
    }
    for (uint64_t run = 0; run < share->nruns; run++)
        if (!mxq_pread_all(buffer->copy_fd, bytes + run * share->run_nbytes, share->run_nbytes,
                           share->offset + run * share->pitch_nbytes, "temporary file", fault))
            return false;
    return true;
}

bool mxq_read_share(const struct mxq_stored *stored, enum mxq_buffer b, const struct mxq_share *share, uint8_t *bytes,
                    struct mxq_fault *fault)
{
    if (share->nruns == 0)
        return true;
    if (!read_runs(stored, b, share, bytes, fault))
        return false;
    if (stored->high_first[b])
        swap_nibbles(bytes, share->nruns * share->run_nbytes);
    return true;
}

/* ---------------------------------------------------------------------------------------------- checking */

static bool checksum_buffer(const struct mxq_stored *stored, enum mxq_buffer b, uint32_t *crc, struct mxq_fault *fault)
{
    const uint64_t nbytes = stored->plan.extent[b].nbytes;
    uint8_t *chunk = malloc(CHUNK_NBYTES);
    bool good = chunk != NULL;

    *crc = 0;
    if (!good)
        mxq_set_fault(fault, stored->buffers[b].path, ENOMEM, "cannot read");
    for (uint64_t at = 0; at < nbytes && good; at += CHUNK_NBYTES) {
        const struct mxq_share piece = {at, smaller(CHUNK_NBYTES, nbytes - at), 1, nbytes};
        good = read_runs(stored, b, &piece, chunk, fault);
        if (good)
            *crc = mxq_update_crc(*crc, chunk, (size_t)piece.run_nbytes);
    }
    free(chunk);
    return good;
}

bool mxq_verify_stored(const struct mxq_stored *stored, struct mxq_fault *fault)
{
    uint32_t crc;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS && stored->has_manifest; b++) {
        const uint32_t expected = stored->manifest.buffer[b].crc;
        if (!stored->present[b])
            continue;
        if (!checksum_buffer(stored, b, &crc, fault))
            return false;
        if (crc == expected)
            continue;
        mxq_set_fault(fault, stored->buffers[b].path, 0,
                      "its checksum is %08" PRIx32 ", its manifest says %08" PRIx32 ": it is not what was written", crc,
                      expected);
        return false;
    }
    return true;
}

bool mxq_finish_stored(const struct mxq_stored *stored, struct mxq_fault *fault)
{
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (stored->present[b] && !mxq_finish_tensor(stored->buffers[b].source, fault))
            return false;
    return true;
}

bool mxq_stored_has_file(const struct mxq_stored *stored, const char *path)
{
    uint64_t device, inode;

    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        if (stored->present[b] && mxq_source_is_file(stored->buffers[b].source, &device, &inode) &&
            mxq_path_is_file(path, device, inode))
            return true;
    return stored->has_manifest && mxq_path_is_file(path, stored->manifest_device, stored->manifest_inode);
}

void mxq_close_stored(struct mxq_stored *stored)
{
    if (stored == NULL)
        return;
    for (unsigned b = 0; b < MXQ_NUM_BUFFERS; b++)
        close_buffer(&stored->buffers[b]);
    if (stored->has_manifest)
        mxq_free_manifest(&stored->manifest);
    free(stored->buffers);
    free(stored);
}
